"""Boards as Markdown, LaTeX, tidy comma-separated text, for the terminal, and in sentences."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import isfinite, isinf, isnan
from os.path import relpath
from pathlib import Path

from rich import box
from rich.table import Table as RichTable

from benchmarks.evaluation import Result
from benchmarks.leaderboard.board import Board, Line
from benchmarks.leaderboard.ranks import letters
from benchmarks.tables import column_title, escape_latex, escape_markdown, interval
from contracts.files import csv_text
from contracts.words import counted, printable

TIDY = ("protocol", "detector", "figure", "of", "at", "value", "low", "high", "images")
FIGURES = (
    ("auroc", ""), ("average_precision", ""), ("tpr_at_fpr_5", ""), ("balanced_accuracy", "0.5"),
    ("balanced_accuracy", "validation"), ("ece", ""), ("brier", ""),
)  # fmt: skip
COSTS: tuple[tuple[str, Callable[[Line], float], str], ...] = (
    ("parameters", lambda line: line.entry.cost.get("parameters", float("nan")), "M"),
    ("weights_mb", lambda line: line.entry.cost.get("weights_mb", float("nan")), ""),
    ("images_per_second", lambda line: 1 / line.entry.per_image("seconds"), ""),
    ("cpu_seconds_per_image", lambda line: line.entry.per_image("cpu_seconds"), ""),
    ("memory_mb", lambda line: line.entry.cost.get("memory_mb", float("nan")), ""),
)
COST_TITLES = ("parameters", "weights, MB", "images/s", "CPU s/image", "peak MB")


@dataclass(frozen=True)
class Cell:
    """A cell of the table."""

    text: str  # the figure
    small: str = ""  # its interval, or what it is of
    value: float = float("nan")  # to sort by; NaN for texts

    def __str__(self) -> str:
        return f"{self.text} {self.small}".rstrip()


def table(board: Board) -> tuple[list[str], list[list[Cell]]]:
    """Titles, and a row of cells for each detector; columns without any figure are left out."""
    groups = [""] * len(board.lines) if board.ranking is None else letters(board.ranking.groups, len(board.lines))
    columns: list[tuple[str, list[Cell]]] = [
        ("detector", [Cell(line.entry.name, line.entry.method) for line in board.lines]),
        ("trained on", [_trained(line) for line in board.lines]),
    ]
    columns += [(column_title(*key), [figure(line.of(*key)) for line in board.lines]) for key in FIGURES]
    columns += [
        ("lowest set", [figure(line.lowest_set, named=True) for line in board.lines]),
        ("worst delivery", [figure(line.worst_delivery, True, board.images) for line in board.lines]),
    ]
    if board.ranking is not None:
        ranks = [Cell(f"{rank:.2f}", group, rank) for rank, group in zip(board.ranking.mean_ranks, groups, strict=True)]
        columns.append(("mean rank", ranks))
    for title, (_, value, unit) in zip(COST_TITLES, COSTS, strict=True):
        columns.append((title, [_cost(value(line), unit) for line in board.lines]))
    kept = [(title, cells) for title, cells in columns if any(cell.text != "–" for cell in cells)]
    return [title for title, _ in kept], [list(row) for row in zip(*(cells for _, cells in kept), strict=True)]


def figure(result: Result | None, named: bool = False, images: int = 0) -> Cell:
    """A result with its interval, and its set or delivery if ``named``; with its images if fewer than ``images``."""
    if result is None or isnan(result.value):
        return Cell("–")
    scored = result.real + result.generated
    parts = [interval(result), result.generator if named else ""]
    parts += [f"({scored:,} images)"] if scored < images else []
    return Cell(f"{result.value:.3f}", " ".join(part for part in parts if part), result.value)


def _trained(line: Line) -> Cell:
    seen = line.entry.trained_on
    if seen is None:
        return Cell("–")
    return Cell(counted(len(seen), "generator"), value=len(seen))


def _cost(value: float, unit: str) -> Cell:
    if not isfinite(value):
        return Cell("–")
    if unit == "M":
        return Cell(f"{value / 1e6:.3g} M", value=value)
    return Cell(f"{value:.3g}" if value < 1000 else f"{value:,.0f}", value=value)


def sentences(board: Board) -> list[str]:
    """How the figures of a board were measured, and whether its ranks differ significantly."""
    found = [
        f"{counted(board.images, 'image')} that {'all detectors have' if len(board.lines) > 1 else 'the detector has'} "
        "scored; 95 % intervals from a bootstrap of photographs; lowest set and worst delivery are chosen by AUROC"
    ]
    shared = sorted({name for line in board.lines for name in line.deliveries})
    if shared:
        found.append(f"The worst delivery is one that all detectors with deliveries have scored: {', '.join(shared)}")
    elif any(line.entry.deliveries for line in board.lines):
        found.append("No delivery was scored by all detectors with deliveries, so the worst ones cannot be compared")
    if len(board.machines) > 1:
        found.append(f"Costs were measured on different machines: {'; '.join(board.machines)}. Do not compare speeds")
    elif board.machines:
        found.append(f"Costs: reading, decoding and scoring on {board.machines[0]}")
    if board.front and len(board.lines) > 1:
        cost = "CPU seconds per image" if board.cost == "cpu_seconds" else "number of parameters"
        found.append(f"Pareto front of AUROC against {cost}: {', '.join(board.front)}")
    return [f"{printable(text)}." for text in [*found, *_ranks(board)]]


def _ranks(board: Board) -> list[str]:
    ranking, sets = board.ranking, len(board.ranked)
    if ranking is None:
        return []
    found = []
    if len(board.lines) > 2 and not isnan(ranking.p):
        verdict = "the detectors differ" if ranking.p < 0.05 else "the detectors may be equally good"
        found.append(f"Friedman's test over {counted(sets, 'set')}: p = {ranking.p:.2g}, so {verdict} (level 0.05)")
    found.append(
        f"Nemenyi's critical difference is {ranking.difference:.2f} mean ranks: detectors that share a letter (column "
        "mean rank) do not differ significantly. The tests treat sets as independent, even if they share real images"
    )
    order = sorted(range(len(board.lines)), key=lambda k: (ranking.mean_ranks[k], k))
    first, second = (board.lines[k].entry.name for k in order[:2])
    if isinf(ranking.needed):
        found.append(f"{first} and {second} have the same mean rank, which no number of sets would make significant")
    elif ranking.needed > sets:
        needed = counted(int(ranking.needed), "set")
        found.append(f"With these mean ranks, {first} and {second} would differ significantly on {needed}, not {sets}")
    else:
        enough = counted(int(ranking.needed), "set")
        found.append(f"{first} differs significantly from {second}; {enough} would suffice")
    pairs = [
        (float(ranking.correlation[a, b]), board.ranked[a], board.ranked[b])
        for a, b in combinations(range(sets), 2)
        if not isnan(ranking.correlation[a, b])
    ]
    if pairs:
        low, high = min(pairs), max(pairs)
        found.append(
            f"Rank correlation between sets (Spearman): {low[0]:.2f} ({low[1]}, {low[2]}) to {high[0]:.2f} "
            f"({high[1]}, {high[2]})"
        )
    return found


def markdown(found: Sequence[Board], out: Path) -> str:
    """A section for each protocol; links to configurations are relative to the folder ``out``."""
    lines = ["# Leaderboard", ""]
    for board in found:
        heads, rows = table(board)
        lines += [f"## {board.protocol}", "", "| " + " | ".join([*heads, "configuration"]) + " |"]
        lines.append("|" + "|".join(["---", *["--:"] * (len(heads) - 1), "---"]) + "|")
        for line, row in zip(board.lines, rows, strict=True):
            link = f"[{line.entry.config.name}](<{link_to(line.entry.config, out)}>)" if line.entry.config else "–"
            lines.append("| " + " | ".join([*(escape_markdown(str(cell)) for cell in row), link]) + " |")
        lines += ["", *(f"* {text}" for text in sentences(board)), ""]
    return "\n".join(lines)


def link_to(file: Path, out: Path) -> str:
    """A file as seen from a folder."""
    return Path(relpath(file.resolve(), out.resolve())).as_posix()


def latex(found: Sequence[Board]) -> str:
    """A ``tabular`` for booktabs for each protocol."""
    lines = []
    for board in found:
        heads, rows = table(board)
        lines += [f"% {board.protocol}", r"\begin{tabular}{l" + "r" * (len(heads) - 1) + "}", r"\toprule"]
        lines += [" & ".join(map(escape_latex, heads)) + r" \\", r"\midrule"]
        for row in rows:
            cells = [
                escape_latex(cell.text) + (rf" {{\scriptsize {escape_latex(cell.small)}}}" if cell.small else "")
                for cell in row
            ]
            lines.append(" & ".join(cells).replace("–", "--") + r" \\")
        lines += [r"\bottomrule", r"\end{tabular}", *(f"% {text}" for text in sentences(board)), ""]
    return "\n".join(lines)


def tidy(found: Sequence[Board]) -> str:
    """One line for each protocol, detector and figure; sets and deliveries are named in ``of``."""
    lines: list[list[object]] = []
    for board in found:
        for place, line in enumerate(board.lines):
            name = line.entry.name
            named = [*(("", r) for r in line.results), *line.sets.items(), *line.deliveries.items()]
            lines += [
                [board.protocol, name, r.metric, of, r.at, r.value, r.low, r.high, r.real + r.generated]
                for of, r in named
            ]
            lines += [[board.protocol, name, key, "", "", value(line), "", "", ""] for key, value, _ in COSTS]
            if board.ranking is not None:
                lines.append([board.protocol, name, "mean_rank", "", "", board.ranking.mean_ranks[place], "", "", ""])
    return csv_text([TIDY, *lines])


def terminal(board: Board) -> RichTable:
    """A board for the screen, without intervals."""
    heads, rows = table(board)
    title = f"{board.protocol}, {counted(board.images, 'image')}"
    shown = RichTable(box=box.SIMPLE_HEAD, title=title, pad_edge=False)
    for place, head in enumerate(heads):
        shown.add_column(head, justify="right" if place else "left", overflow="fold")
    for row in rows:
        shown.add_row(*(cell.text for cell in row))
    return shown
