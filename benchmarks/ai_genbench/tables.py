"""AI-GenBench results as Markdown tables, together with the published rows, and as a heat map."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.ai_genbench.metrics import Headline, Period, StageMetrics, headline
from benchmarks.ai_genbench.protocol.seeds import Protocol

PROTOCOL_NOTES: dict[Protocol, str] = {
    "v1": "Protocol v1: evaluation images degraded as in the benchmark's first release, including its mistakes.",
    "fixed": (
        "Protocol fixed: corrected degradation, keyed by image id. "
        "Not comparable with the leaderboard, whose rows follow v1."
    ),
}
_MEANS_NOTE = (
    "AUROC in %, pooled, mean over stages. Next: the stages that have a next window. "
    "Past and Whole: mean without / with the last stage (published rows do not say which)."
)
_TABLE_PERIODS: tuple[Period, ...] = ("past", "next", "whole")
_TABLE_METRICS = {"roc_auc": "AUROC", "average_precision": "AP", "accuracy": "acc.", "balanced_accuracy": "bal. acc."}


@dataclass(frozen=True)
class PublishedRow:
    """One published result: AUROC in percent, None if it is not given."""

    model: str
    setting: str
    past: float | None
    next: float | None
    whole: float | None
    source: str


@cache
def load_leaderboard() -> tuple[PublishedRow, ...]:
    """Published results, the leaderboard's first."""
    with (Path(__file__).parent / "leaderboard.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    rows = []
    for line in lines:
        past, next_, whole = (float(line[name]) if line[name] else None for name in ("past", "next", "whole"))
        rows.append(PublishedRow(line["model"], line["setting"], past, next_, whole, line["source"]))
    return tuple(rows)


def over_time_table(runs: Mapping[str, Sequence[StageMetrics]], protocol: Protocol) -> str:
    """Mean AUROC over time of our runs, followed by the published rows.

    Args:
        runs: All stages of each run, by the run's name.
        protocol: Protocol of the runs, named below the table.
    """
    rows = [["model", "setting", "Past", "Next", "Whole", "source"]]
    for name, stages in runs.items():
        ours = headline(stages)
        rows.append(
            [name, protocol, _pair(ours, "past"), f"**{_percent(ours.next)}**", _pair(ours, "whole"), "this run"]
        )
    for row in load_leaderboard():
        figures = ["–" if value is None else f"{value:g}" for value in (row.past, row.next, row.whole)]
        rows.append([row.model, row.setting, *figures, row.source])
    return f"{markdown(rows)}\n\n{_MEANS_NOTE} {PROTOCOL_NOTES[protocol]}\n"


def stage_table(stages: Sequence[StageMetrics], protocol: Protocol) -> str:
    """AUROC, AP, accuracy and balanced accuracy of Past, Next and Whole after every stage."""
    columns = [(period, field) for period in _TABLE_PERIODS for field in _TABLE_METRICS]
    rows = [["stage", *(f"{period.capitalize()} {_TABLE_METRICS[field]}" for period, field in columns)]]
    for stage in stages:
        found = [stage.periods.get(period) for period, _ in columns]
        figures = [
            "–" if metrics is None else _percent(float(getattr(metrics, field)))
            for metrics, (_, field) in zip(found, columns, strict=True)
        ]
        rows.append([str(stage.stage), *figures])
    return f"{markdown(rows)}\n\nIn %. {PROTOCOL_NOTES[protocol]}\n"


def matrix_table(matrix: NDArray[np.float64], protocol: Protocol, trained: Sequence[int] | None = None) -> str:
    """AUROC after training up to a window (rows), tested on each single window (columns).

    Args:
        matrix: Shape (stages, windows); NaN where a window was not scored.
        protocol: Protocol of the run.
        trained: Window trained last of each row; 0, 1, … by default.
    """
    numbers = range(len(matrix)) if trained is None else trained
    rows = [["trained up to", *(f"window {w}" for w in range(matrix.shape[1]))]]
    rows += [
        [f"window {k}", *(_percent(value) for value in line)] for k, line in zip(numbers, matrix.tolist(), strict=True)
    ]
    return f"{markdown(rows)}\n\nAUROC in %. {PROTOCOL_NOTES[protocol]}\n"


def save_heat_map(
    matrix: NDArray[np.float64], path: Path, protocol: Protocol, trained: Sequence[int] | None = None
) -> None:
    """Plot the AUROC matrix (see `matrix_table`); the file's suffix chooses the format (svg, png, pdf)."""
    numbers = list(range(len(matrix)) if trained is None else trained)
    from matplotlib.figure import Figure  # slow to import and only needed here

    figure = Figure(figsize=(1.5 + 0.62 * matrix.shape[1], 1.3 + 0.5 * matrix.shape[0]), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(100 * matrix, vmin=50, vmax=100, cmap="viridis")
    for (k, w), value in np.ndenumerate(100 * matrix):
        color = "w" if value <= 80 else "k"  # black for NaN too, which is shown in white
        axes.text(w, k, _percent(value / 100), ha="center", va="center", fontsize=8, color=color)
    # a line before the first window that the model was not trained on, its Next
    for row, k in enumerate(numbers):
        if k + 1 < matrix.shape[1]:
            axes.plot([k + 0.5, k + 0.5], [row - 0.5, row + 0.5], color="w", linewidth=2)
    axes.set(
        xlabel="tested on window",
        ylabel="trained up to window",
        xticks=range(matrix.shape[1]),
        yticks=range(matrix.shape[0]),
        yticklabels=numbers,
        title=f"AI-GenBench AUROC, % (protocol {protocol})",
    )
    figure.colorbar(image, ax=axes)
    figure.savefig(path)


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose header is the first row."""
    head, *body = rows
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *body])


def _percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.2f}"


def _pair(means: Headline, period: str) -> str:
    without, with_last = getattr(means, f"{period}_without_last"), getattr(means, period)
    return f"{_percent(without)} / {_percent(with_last)}"
