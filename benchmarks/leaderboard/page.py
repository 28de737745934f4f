"""The page: one file that needs no network."""

from collections.abc import Sequence
from datetime import UTC, datetime
from math import isfinite, log10
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from benchmarks.drawing.svg import Plot, short
from benchmarks.leaderboard.board import Board
from benchmarks.leaderboard.show import link_to, sentences, table
from contracts.words import counted

TEMPLATES = Path(__file__).parent / "templates"
MOST_SETS = 20  # Sets of which the page shows the rank correlation; the table of figures holds all


def render(found: Sequence[Board], out: Path) -> str:
    """The page of some boards; links to configurations are relative to the folder ``out``."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("leaderboard.html.j2").render(
        boards=[_section(board, out) for board in found],
        detectors=counted(sum(len(board.lines) for board in found), "detector"),
        protocols=counted(len(found), "protocol"),
        css=Markup((TEMPLATES / "leaderboard.css").read_text(encoding="utf-8")),  # noqa: S704  our own file
        script=Markup((TEMPLATES / "sort.js").read_text(encoding="utf-8")),  # noqa: S704  our own file
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def _section(board: Board, out: Path) -> dict[str, Any]:
    heads, rows = table(board)
    configs = [line.entry.config for line in board.lines]
    titles = [", ".join(line.entry.trained_on or ()) for line in board.lines]
    correlated = board.ranked[:MOST_SETS] if board.ranking is not None and len(board.lines) > 2 else ()
    return {
        "protocol": board.protocol,
        "heads": heads,
        "rows": [
            (row, title, config.name if config else "", link_to(config, out) if config else "")
            for row, title, config in zip(rows, titles, configs, strict=True)
        ],
        "sentences": sentences(board),
        "front": board.front,
        "plots": [plot for plot in (pareto_plot(board), rank_plot(board)) if plot is not None],
        "sets": correlated,
        "correlation": [] if board.ranking is None else board.ranking.correlation.tolist(),
        "more": len(board.ranked) - len(correlated) if correlated else 0,
    }


def pareto_plot(board: Board) -> tuple[str, Markup] | None:
    """AUROC against cost (logarithmic), the front joined by a line; None with fewer than two known points."""
    points = [
        (log10(cost), line.auroc, line.entry.name)
        for line, cost in zip(board.lines, board.costs(), strict=True)
        if cost > 0 and isfinite(cost) and isfinite(line.auroc)
    ]
    if len(points) < 2:
        return None
    x, y, _ = zip(*points, strict=True)
    margin = max(0.1, 0.1 * (max(x) - min(x))), max(0.01, 0.1 * (max(y) - min(y)))
    low, high = min(x) - margin[0], max(x) + margin[0]
    title = "CPU seconds per image" if board.cost == "cpu_seconds" else "parameters"
    decades = range(int(np.floor(low)), int(np.ceil(high)) + 1)
    ticks = [log10(m) + d for d in decades for m in (1, 2, 5) if low <= log10(m) + d <= high]
    plot = Plot(
        f"AUROC against {title}", (low, high), (min(y) - margin[1], min(1.005, max(y) + margin[1])), 460, 260, title,
        x_ticks=ticks[:: 1 + len(ticks) // 8], label=lambda value: short(10**value),
    )  # fmt: skip
    front = sorted(point for point in points if point[2] in board.front)
    plot.line([(a, b) for a, b, _ in front], "frontline")
    for a, b, name in points:
        plot.point(a, b, "on" if name in board.front else "off", name, f"{name}: {b:.3f}, {short(10**a)}")
    return f"AUROC against {title}; the line joins the detectors that no other beats in both", plot.svg()


def rank_plot(board: Board) -> tuple[str, Markup] | None:
    """Mean ranks with a bar over each group without significant differences (Demšar's diagram), or None."""
    if board.ranking is None:
        return None
    ranks, names = board.ranking.mean_ranks, [line.entry.name for line in board.lines]
    order = np.argsort(ranks, kind="stable")
    rows, bars = len(names), [group for group in board.ranking.groups if len(group) > 1]
    levels = rows + len(bars)
    plot = Plot(
        "Mean ranks", (0.8, rows + 0.2), (0.0, levels + 1.0), 460, 60 + 20 * levels, "mean rank (1 is best)",
        x_ticks=range(1, rows + 1), y_ticks=[],
    )  # fmt: skip
    for place, k in enumerate(order.tolist()):
        plot.point(float(ranks[k]), levels - place, "on", names[k], f"{names[k]}: {ranks[k]:.2f}")
    for place, group in enumerate(bars):
        ends = float(ranks[list(group)].min()), float(ranks[list(group)].max())
        middle = len(bars) - place
        text = f"no significant difference: {', '.join(names[k] for k in group)}"
        plot.bar((ends[0] - 0.03, ends[1] + 0.03), (middle - 0.15, middle + 0.15), "group", text)
    caption = "a bar joins detectors that do not differ significantly"
    return f"Mean rank over {counted(len(board.ranked), 'set')}; {caption}", plot.svg()
