"""A comparison as Markdown, tidy CSV, for the terminal, and as a heat map."""

from math import isnan
from pathlib import Path

import matplotlib as mpl
import numpy as np
from rich import box
from rich.table import Table as RichTable

from benchmarks.comparison.compare import METRICS, Change, Comparison
from benchmarks.forensynths_tables.results import POOLED
from benchmarks.tables import column_title, escape_markdown
from contracts.files import csv_text
from contracts.words import counted, printable

TIDY = ("run", "set", "metric", "at", "first", "other", "difference", "low", "high")


def markdown(found: Comparison) -> str:
    """One table per metric: the first run's value, then value and difference of each other run."""
    lines = [
        f"# {found.names[0]} against {', '.join(found.names[1:])}",
        "",
        f"{counted(found.images, 'image')} scored by all runs. In brackets the 95 % interval of the difference, from a "
        "bootstrap with the same resamples of photographs for both.",
        "",
    ]
    for metric, at in METRICS:
        body = _rows(found, metric, at)
        if all(cell == "–" for row in body for cell in row[1:]):
            continue
        heads = ["set", found.names[0], *found.names[1:]]
        lines += [f"## {column_title(metric, at)}", ""]
        lines += [
            "| " + " | ".join(map(escape_markdown, row)) + " |"
            for row in (heads, ["---", *["--:"] * (len(heads) - 1)], *body)
        ]
        lines += ["", *(f"* {_sentence(found, run, metric, at)}" for run in range(1, len(found.names))), ""]
    lines += ["## Do they make mistakes on different images?", "", *(f"* {text}" for text in mcnemar_lines(found)), ""]
    return "\n".join(lines)


def mcnemar_lines(found: Comparison) -> list[str]:
    """McNemar's test of every run but the first, in sentences."""
    return [
        f"{name}: right where {found.names[0]} is wrong on {counted(test.gained, 'image')}, wrong where it is right on "
        f"{test.lost}; McNemar's exact p = {test.p:.2g} (threshold 0.5, images treated as independent)"
        for name, test in zip(found.names[1:], found.tests, strict=True)
    ]


def tidy(found: Comparison) -> str:
    """One line per run, set and metric; the mean over sets has the name "mean"."""
    rows = [
        [name, c.name or "mean", c.metric, c.at, c.first, c.other, c.value, c.low, c.high]
        for name, changes in zip(found.names[1:], found.changes, strict=True)
        for c in changes
    ]
    return csv_text([TIDY, *rows])


def terminal(found: Comparison, metric: str, at: str) -> RichTable:
    """One metric for the screen, which is too narrow for the sets' intervals; `summary` goes below it."""
    table = RichTable(
        box=box.SIMPLE_HEAD,
        title=f"{column_title(metric, at)}, {counted(found.images, 'image')}",
        pad_edge=False,
    )
    for position, name in enumerate(("set", *found.names)):
        table.add_column(name, justify="right" if position else "left", overflow="fold")
    for row in _rows(found, metric, at, intervals=False):
        table.add_row(*row, style="bold" if row[0] == POOLED or row[0].startswith("mean of ") else "")
    return table


def summary(found: Comparison, metric: str, at: str) -> list[str]:
    """The findings, one per line: mean and pooled difference with intervals, sets improved, McNemar's test."""
    return [*(_sentence(found, run, metric, at) for run in range(1, len(found.names))), *mcnemar_lines(found)]


def heat_map(found: Comparison, metric: str, at: str, path: Path) -> None:
    """Sets by runs, the mean last, as PNG; the colour is the value, below it the difference from the first run."""
    from matplotlib.figure import Figure

    rows = [*found.sets, "", POOLED]
    values = np.array([[run.get((name, metric, at), np.nan) for run in found.values] for name in rows])
    figure = Figure(figsize=(2.6 + 1.3 * len(found.names), 1.6 + 0.42 * len(rows)), dpi=110, layout="constrained")
    axes = figure.subplots()
    low = min(0.5, float(np.nanmin(values))) if np.isfinite(values).any() else 0.0
    shown = axes.imshow(values, vmin=low, vmax=1, cmap=mpl.colormaps["viridis"], aspect="auto")
    axes.set_xticks(range(len(found.names)), found.names, rotation=20, ha="right")
    axes.set_yticks(range(len(rows)), [*found.sets, f"mean of {len(found.sets)}", POOLED])
    for y, x in np.ndindex(values.shape):
        if np.isfinite(values[y, x]):
            change = "" if x == 0 else f"\n{100 * (values[y, x] - values[y, 0]):+.1f}"
            dark = values[y, x] < (low + 1) / 2
            axes.text(
                x, y, f"{100 * values[y, x]:.1f}{change}", ha="center", va="center", fontsize=7.5,
                color="white" if dark else "black", linespacing=0.95,
            )  # fmt: skip
    axes.axhline(len(rows) - 2.5, color="white", linewidth=2)
    axes.set_title(column_title(metric, at), fontsize=10)
    figure.colorbar(shown, ax=axes, fraction=0.05)
    figure.savefig(path)


def _rows(found: Comparison, metric: str, at: str, intervals: bool = True) -> list[list[str]]:
    by_run = [{c.name: c for c in changes if (c.metric, c.at) == (metric, at)} for changes in found.changes]
    rows = []
    for name in (*found.sets, "", POOLED):
        value = found.values[0].get((name, metric, at), np.nan)
        if all(name not in changes for changes in by_run):
            continue
        title = printable(name) or f"mean of {len(found.sets)}"
        rows.append([title, _percent(value), *(_cell(changes.get(name), intervals) for changes in by_run)])
    return rows


def _sentence(found: Comparison, run: int, metric: str, at: str) -> str:
    better, of = found.improved(run, metric, at)
    parts = []
    for name, title in (("", "mean"), (POOLED, POOLED)):
        change = next((c for c in found.changes[run - 1] if (c.name, c.metric, c.at) == (name, metric, at)), None)
        if change is not None and not isnan(change.value):
            parts.append(f"{title} {100 * change.value:+.1f}{_interval(change)}")
    parts.append(f"better on {better} of {counted(of, 'set')}" if of else "no set has both classes")
    return f"{found.names[run]}: {'; '.join(parts)}"


def _percent(value: float) -> str:
    return "–" if isnan(value) else f"{100 * value:.1f}"


def _cell(change: Change | None, interval: bool) -> str:
    if change is None or isnan(change.value):
        return "–"
    return f"{_percent(change.other)}  {100 * change.value:+.1f}{_interval(change) if interval else ''}"


def _interval(change: Change) -> str:
    return "" if isnan(change.low) else f" ({100 * change.low:+.1f} to {100 * change.high:+.1f})"
