"""Results as tables: for the terminal, Markdown, LaTeX, and tidy CSV."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan

from rich import box
from rich.table import Table as RichTable
from rich.text import Text

from benchmarks.evaluation import Result
from benchmarks.metrics import METRICS
from contracts.files import csv_text
from contracts.words import printable

COLUMNS = (("auroc", ""), ("average_precision", ""), ("accuracy", "0.5"), ("accuracy", "validation"))
LATEX = {sign: f"\\{sign}" for sign in "&%$#_{}"} | {
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}",
}  # fmt: skip
TIDY = (
    "kind", "generator", "metric", "at", "threshold", "value", "low", "high", "real", "generated", "reason",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    section: str  # "" for totals, "seen", "unseen", or "generators" where it is not known which were seen
    name: str  # first cell
    images: int  # number of generated images; of all images in the line of totals
    cells: tuple[Result | None, ...]  # a result for each column, or None

    @property
    def count(self) -> str:
        """Number of images; "" for a mean, which has none of its own."""
        return "" if any(cell is not None and cell.kind == "macro" for cell in self.cells) else str(self.images)


@dataclass(frozen=True)
class Table:
    """Results per generator; generators that were never seen in training have a section of their own."""

    heads: tuple[str, ...]  # titles of the metric columns
    rows: tuple[Row, ...]  # totals first, then generators
    caption: str  # images counted, the threshold and the intervals
    first: str = "generator"  # title of the first column

    @staticmethod
    def of(
        results: Sequence[Result],
        seen_generators: Sequence[str] | None = None,
        columns: Sequence[tuple[str, str]] = COLUMNS,
        views: Sequence[str] = ("",),
        tracer: bool = False,
    ) -> "Table":
        """The table of these results.

        Args:
            results: results of `benchmarks.evaluation.evaluate`, with or without intervals.
            seen_generators: names present in training; None if that is not known.
            columns: (metric, threshold name); those without a result are left out.
            views: names of the views the images were seen through, see `benchmarks.views`.
            tracer: label 0 means outlier, not real.
        """
        by_key = {r.key: r for r in results}
        shown = [c for c in columns if ("pooled", "", *c) in by_key]
        names = sorted({r.generator for r in results if r.kind == "generator"}, key=_natural)
        totals = [("pooled", "all images"), ("seen", "seen generators"), ("unseen", "unseen generators")]
        if len(names) > 1:
            totals.append(("macro", f"mean of {len(names)} generators"))
        kinds = {r.kind for r in results}
        rows = [_row("", title, kind, "", shown, by_key) for kind, title in totals if kind in kinds]
        apart = seen_generators is not None and any(name not in seen_generators for name in names)
        for section in ("seen", "unseen") if apart else ("generators",):
            for name in names:
                if not apart or (name in (seen_generators or ())) == (section == "seen"):
                    rows.append(_row(section, name, "generator", name, shown, by_key))
        heads = tuple(column_title(metric, at) for metric, at in shown)
        return Table(heads, tuple(rows), _caption(results, shown, views, tracer))

    def rich(self) -> RichTable:
        """For a terminal; intervals dimmed."""
        table = RichTable(box=box.SIMPLE_HEAD, caption=self.caption, caption_justify="left", pad_edge=False)
        table.add_column(self.first, no_wrap=True)
        table.add_column("n", justify="right")
        for head in self.heads:
            table.add_column(head)
        section = ""
        for row in self.rows:
            if row.section != section:
                section = row.section
                table.add_section()
                if section in _SECTIONS:
                    table.add_row(Text(_SECTIONS[section], style="italic"))
            cells = [Text.assemble(value, (f" {bounds}".rstrip(), "dim")) for value, bounds in _cells(row)]
            table.add_row(Text(printable(row.name), style="" if row.section else "bold"), row.count, *cells)
        return table

    def markdown(self) -> str:
        """A pipe table."""
        lines = [f"| {self.first} | n | " + " | ".join(self.heads) + " |", "|---|--:|" + "---|" * len(self.heads)]
        section = ""
        for row in self.rows:
            if row.section != section and row.section in _SECTIONS:
                lines.append(f"| *{_SECTIONS[row.section]}* | |" + " |" * len(self.heads))
            section = row.section
            name = escape_markdown(row.name)
            cells = " | ".join(f"{value} {bounds}".strip() for value, bounds in _cells(row))
            lines.append(f"| {name if row.section else f'**{name}**'} | {row.count} | {cells} |")
        return "\n".join([*lines, "", self.caption, ""])

    def latex(self) -> str:
        """A ``tabular`` for booktabs."""
        lines = [r"\begin{tabular}{lr" + "l" * len(self.heads) + "}", r"\toprule"]
        lines += [" & ".join([self.first, "$n$", *map(escape_latex, self.heads)]) + r" \\", r"\midrule"]
        section = ""
        for row in self.rows:
            if row.section != section:
                lines.append(r"\midrule")
                if row.section in _SECTIONS:
                    lines.append(rf"\multicolumn{{{2 + len(self.heads)}}}{{l}}{{\emph{{{_SECTIONS[row.section]}}}}} \\")
            section = row.section
            cells = [f"{v} {{\\scriptsize {i.replace('–', '--')}}}" if i else v for v, i in _cells(row)]
            lines.append(" & ".join([escape_latex(row.name), row.count, *cells]) + r" \\")
        return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", f"% {self.caption}", ""])


def tidy_csv(results: Sequence[Result]) -> str:
    """One row per number; undefined ones are empty, with the reason."""
    return csv_text([TIDY, *(map(result.as_json().get, TIDY) for result in results)])


_SECTIONS = {"seen": "in training", "unseen": "never seen in training"}


def _row(
    section: str,
    title: str,
    kind: str,
    generator: str,
    shown: Sequence[tuple[str, str]],
    by_key: dict[tuple[str, str, str, str], Result],
) -> Row:
    cells = tuple(by_key.get((kind, generator, *column)) for column in shown)
    first = next((cell for cell in cells if cell is not None), None)
    images = 0 if first is None else first.generated + (first.real if kind == "pooled" else 0)
    return Row(section, title, images, cells)


def _cells(row: Row) -> list[tuple[str, str]]:
    """(value, interval) of each cell."""
    return [
        ("–", "") if cell is None or isnan(cell.value) else (f"{cell.value:.3f}", interval(cell)) for cell in row.cells
    ]


def interval(result: Result) -> str:
    """Its confidence interval in brief, e.g. ``.76–.88``; "" without one."""
    return "" if isnan(result.low) else f"{_short(result.low)}–{_short(result.high)}"


def _short(value: float) -> str:
    return "1.0" if 0.995 <= value < 1.005 else f"{value:.2f}".removeprefix("0")


def _natural(name: str) -> list[tuple[int, str]]:
    """Sorts "v2" before "v10", whatever the case."""
    return [(int(part), "") if part.isdigit() else (-1, part.lower()) for part in re.split(r"(\d+)", name)]


def column_title(metric: str, at: str) -> str:
    """Head of the column of a metric at a threshold."""
    title = METRICS[metric].title if metric in METRICS else metric
    return {"": title, "validation": f"{title} @ val."}.get(at, f"{title} @ {at}")


def _caption(results: Sequence[Result], shown: Sequence[tuple[str, str]], views: Sequence[str], tracer: bool) -> str:
    pooled = next((r for r in results if r.kind == "pooled"), None)
    if pooled is None:
        return "no labelled images"
    negative, others = ("outlier", "outliers") if tracer else ("real", "real ones")
    against = f"all {others}"
    if len(views) > 1:
        against = f"the {others} seen through the same view ({', '.join(views)}); totals are means over views"
    parts = [
        f"{pooled.real} {negative} and {pooled.generated} generated images; each generator against {against}",
        "n counts generated images, for all images those of both classes",
    ]
    chosen = next((r.threshold for r in results if r.at == "validation"), None)
    if chosen is not None:
        parts.append(f"threshold chosen on validation: {chosen:.4g}")
    if any(not isnan(r.low) for r in results if (r.metric, r.at) in shown):
        parts.append(
            "95 % bootstrap intervals, Wilson's for rates of 0 or 1, none of fewer than six photographs of a class"
        )
    return "; ".join(parts)


def escape_markdown(text: str) -> str:
    """A cell of a Markdown table: on one line, without a bar."""
    return printable(text).replace("|", r"\|")


def escape_latex(text: str) -> str:
    """Text on one line, with LaTeX's special characters escaped."""
    return "".join(LATEX.get(sign, sign) for sign in printable(text))
