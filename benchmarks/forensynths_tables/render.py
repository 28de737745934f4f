"""A measured table as CSV, Markdown, LaTeX, for the terminal, and in the form the authors print."""

from collections.abc import Sequence
from math import isnan

from rich import box
from rich.table import Table as RichTable

from benchmarks.evaluation import Result
from benchmarks.forensynths_tables.published import Figures
from benchmarks.forensynths_tables.results import SetResults
from contracts.files import csv_text

COLUMNS = (
    ("ACC", "accuracy", "0.5"), ("ACC @ val.", "accuracy", "validation"), ("AP", "average_precision", ""),
    ("AUROC", "auroc", ""), ("real ACC", "specificity", "0.5"), ("fake ACC", "recall", "0.5"),
)  # fmt: skip
"""Title, metric and threshold; a column without any result is left out."""

TIDY = (
    "table", "set", "metric", "at", "value", "low", "high", "published", "difference", "real", "generated", "reason",
)  # fmt: skip


def tidy(results: SetResults, method: str) -> str:
    """One row per number, shares as fractions of 1; missing sets are listed with their reason."""
    table = results.assigned.table.name
    lines: list[Sequence[object]] = [TIDY]
    for r in results.results:
        printed = _published(results, method, r.generator)[0 if r.metric == "accuracy" else 1]
        comparable = (r.metric, r.at) in (("accuracy", "0.5"), ("average_precision", "")) and printed is not None
        against = printed / 100 if comparable and printed is not None else None
        difference = None if against is None or isnan(r.value) else round(r.value - against, 6)
        row = [table, r.generator or "mean", r.metric, r.at, r.value, r.low, r.high, against, difference]
        lines.append([*row, r.real, r.generated, r.reason])
    lines += [[table, name, *[""] * 9, "missing"] for name in results.assigned.missing]
    return csv_text(lines)


def rows(results: SetResults, method: str, intervals: bool = True) -> tuple[list[str], list[list[str]]]:
    """Heads and cells, the mean last; percent with one decimal and, where wanted, the interval behind it."""
    shown = [column for column in COLUMNS if any(results.of(name, *column[1:]) for name in results.assigned.sets)]
    printed = method in results.assigned.table.published
    heads = ["set", "n", *(title for title, _, _ in shown), *([f"{method} ACC/AP", "difference"] if printed else [])]
    lines = []
    for name in (*results.assigned.table.sets, ""):
        if name in results.assigned.missing:
            lines.append(
                [name, "missing", *[""] * len(shown), *([_pair(_published(results, method, name)), ""] * printed)]
            )
            continue
        cells = [results.of(name, metric, at) for _, metric, at in shown]
        first = next(cell for cell in cells if cell is not None)
        count = str(first.real + first.generated) if name else ""  # sets may share their real images
        line = [name or f"mean of {len(results.assigned.sets)}", count]
        line += [_cell(cell, intervals) for cell in cells]
        if printed:
            own = (results.of(name, "accuracy", "0.5"), results.of(name, "average_precision"))
            figures = _published(results, method, name)
            line += [_pair(figures), _difference(own, figures)]
        lines.append(line)
    return heads, lines


def markdown(results: SetResults, method: str) -> str:
    """Ours beside the method's, then all that is published."""
    heads, lines = rows(results, method)
    table = results.assigned.table
    text = [f"## {table.title}", "", *_pipes(heads, lines), "", caption(results, method), ""]
    if table.published:
        known = any(column.sets for column in table.published.values())
        heads = ["ACC/AP", *(table.sets if known else ()), "mean"]
        lines = [
            [name, *(map(_pair, column.sets or [(None, None)] * len(table.sets)) if known else ()), _pair(column.mean)]
            for name, column in table.published.items()
        ]
        text += [f"Published ({table.source}):", "", *_pipes(heads, lines), ""]
    return "\n".join(text)


def latex(results: SetResults, method: str) -> str:
    """A ``tabular`` for booktabs: the published methods and ours, ACC/AP of each set."""
    table = results.assigned.table
    lines = [r"\begin{tabular}{l" + "c" * (len(table.sets) + 1) + "}", r"\toprule"]
    lines += [" & ".join(["method", *map(_escape, table.sets), "mean"]) + r" \\", r"\midrule"]
    for name, column in table.published.items():
        cells = [_pair(f) for f in column.sets or [(None, None)] * len(table.sets)]
        lines.append(" & ".join([_escape(name), *cells, _pair(column.mean)]) + r" \\")
    own = [
        _pair((_percent(results.of(name, "accuracy", "0.5")), _percent(results.of(name, "average_precision"))))
        for name in (*table.sets, "")
    ]
    rule = [r"\midrule"] if table.published else []
    ours = " & ".join(["this run", *own]) + r" \\"
    note = f"% {caption(results, method, intervals=False)}"
    return "\n".join([*lines, *rule, ours, r"\bottomrule", r"\end{tabular}", note, ""])


def terminal(results: SetResults, method: str) -> RichTable:
    """For the screen, which is too narrow for intervals."""
    heads, lines = rows(results, method, intervals=False)
    made = RichTable(
        box=box.SIMPLE_HEAD,
        title=results.assigned.table.title,
        caption=caption(results, method, intervals=False),
        caption_justify="left",
        pad_edge=False,
    )
    for position, head in enumerate(heads):
        made.add_column(head, justify="left" if position == 0 else "right", no_wrap=position < 2)
    for line in lines[:-1]:
        made.add_row(*line, style="dim" if line[1] == "missing" else "")
    made.add_section()
    made.add_row(*lines[-1], style="bold")
    return made


def authors_form(results: SetResults) -> str:
    """One line per set as the NPR authors' script prints it, percent with one decimal; missing sets are named."""
    lines = []
    for number, name in enumerate((*results.assigned.table.sets, "")):
        title = name or "Mean"
        if name in results.assigned.missing:
            lines.append(f"({number} {title:>12}) missing")
            continue
        parts = [
            f"{short}: {'-' if (v := _percent(results.of(name, metric, at))) is None else f'{v:.1f}'}"
            for short, metric, at in (
                ("acc", "accuracy", "0.5"), ("ap", "average_precision", ""), ("r_acc", "specificity", "0.5"),
                ("f_acc", "recall", "0.5"),
            )
        ]  # fmt: skip
        lines.append(f"({number} {title:>12}) " + "; ".join(parts))
    return "\n".join([results.assigned.table.title, *lines, ""])


def caption(results: SetResults, method: str, intervals: bool = True) -> str:
    """Notes for a reader of the table.

    Args:
        results: results in the table.
        method: published method beside it.
        intervals: whether the table shows them where there are any.
    """
    assigned = results.assigned
    bounded = any(not isnan(r.low) for r in results.results)
    shown = ", with 95 % bootstrap intervals" if intervals else "; intervals are in the files in tables/"
    parts = [f"Percent{shown if bounded else ''}."]
    if not assigned.named and assigned.table.published:
        parts.append("No folder has this table's name: its sets were recognised by their own names.")
    if assigned.missing:
        parts.append(f"Missing, and left out of the mean: {', '.join(assigned.missing)}.")
    single = [r.generator for s in assigned.sets if (r := results.of(s, "accuracy", "0.5")) and r.reason]
    if single:
        parts.append(f"Sets with images of one class only, which have no ACC, AP or AUROC: {', '.join(single)}.")
    undefined = {r.reason for r in results.results if r.kind == "mean" and r.reason}
    if undefined:
        parts.append(f"Means that need both classes are {' or '.join(sorted(undefined))}.")
    lenders: dict[str, list[str]] = {}
    for name, origin in assigned.borrowed.items():
        lenders.setdefault(origin, []).append(name)
    parts += [f"Real images of {', '.join(names)}: those in {origin}." for origin, names in lenders.items()]
    if assigned.others:
        parts.append(f"In the data, but not in this table: {', '.join(assigned.others)}.")
    chosen = next((r.threshold for r in results.results if r.at == "validation"), None)
    if chosen is not None:
        parts.append(f"Threshold chosen on validation: {chosen:.4g}.")
    if method in assigned.table.published:
        mean = _pair(assigned.table.published[method].mean)
        parts.append(f"{method}: {assigned.table.source}; mean of all {len(assigned.table.sets)} sets {mean}.")
    if not assigned.table.published:
        parts.append("No figures are published for these sets.")
    return " ".join([*parts, assigned.table.note]).strip()


def _published(results: SetResults, method: str, name: str) -> Figures:
    """The published figures of a set, or for "" their means over the sets that our mean covers."""
    table = results.assigned.table
    if name:
        return table.figures(method, name)
    column = table.published.get(method)
    if column is None or not column.sets:
        return (None, None)
    means: list[float | None] = []
    for k, (metric, at) in enumerate((("accuracy", "0.5"), ("average_precision", ""))):
        there = [s for s in results.assigned.sets if _percent(results.of(s, metric, at)) is not None]
        figures = [value for s in there if (value := table.figures(method, s)[k]) is not None]
        means.append(sum(figures) / len(figures) if figures else None)
    return means[0], means[1]


def _percent(result: Result | None) -> float | None:
    return None if result is None or isnan(result.value) else 100 * result.value


def _cell(result: Result | None, interval: bool) -> str:
    value = _percent(result)
    if result is None or value is None:
        return "–"
    return f"{value:.1f}" + (
        "" if isnan(result.low) or not interval else f" ({100 * result.low:.1f}–{100 * result.high:.1f})"
    )


def _pair(figures: Figures) -> str:
    if figures == (None, None):
        return "–"
    return "/".join("–" if value is None else f"{value:.1f}" for value in figures if value is not None)


def _difference(own: tuple[Result | None, Result | None], figures: Figures) -> str:
    found = [
        f"{value - printed:+.1f}"
        for result, printed in zip(own, figures, strict=True)
        if (value := _percent(result)) is not None and printed is not None
    ]
    return "/".join(found) or "–"


def _pipes(heads: list[str], lines: list[list[str]]) -> list[str]:
    cells = [[cell.replace("|", r"\|") for cell in line] for line in (heads, *lines)]
    cells.insert(1, ["---", *["--:"] * (len(heads) - 1)])
    return ["| " + " | ".join(line) + " |" for line in cells]


def _escape(text: str) -> str:
    return text.replace("_", r"\_")
