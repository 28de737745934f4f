"""AI-GenBench's metrics (arXiv 2504.20865): per stage over the periods Past, Next and Whole, and over time.

All are pure functions of predictions; nothing here imports torch. Every AUROC pools the images of the selected
generators and the real images paired with them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.ai_genbench.binary_metrics import THRESHOLD, BinaryMetrics, RankedScores
from benchmarks.predictions import Predictions
from contracts.errors import DataError

Period = Literal["past", "next", "whole", "strict_past", "all"]
PERIODS: tuple[Period, ...] = ("past", "next", "whole", "strict_past", "all")
"""At stage k: `past` is windows 0..k (the current one included), `next` window k+1, `whole` 0..k+1, `strict_past`
0..k−1, `all` every window. Generators of overlapping windows belong to the earliest."""


@dataclass(frozen=True)
class Evaluated:
    """Predictions of one stage, one entry per image."""

    scores: NDArray[np.floating]  # Shape (N,), probability of "generated", fused over crops
    labels: NDArray[np.int64]  # Shape (N,), 1 generated, 0 real
    generator_ids: NDArray[np.int64]  # Shape (N,), 0 for a real image
    pairing: NDArray[np.int64]  # Shape (N,), generator id whose counterpart a real image is, −1 for a generated one

    def __post_init__(self) -> None:
        shapes = {name: np.shape(getattr(self, name)) for name in ("scores", "labels", "generator_ids", "pairing")}
        if len(set(shapes.values())) > 1:
            raise ValueError(f"predictions disagree in shape: {shapes}.")
        if np.any((np.asarray(self.labels) == 1) != (np.asarray(self.generator_ids) != 0)):
            raise DataError("labels and generator ids disagree", "An image is generated exactly when its id is not 0.")

    @classmethod
    def of(cls, dump: Predictions) -> Evaluated:
        """The columns of a dump, ours or the original's."""
        return cls(dump.fused_scores, dump.fused_labels, dump.fused_generator_ids, dump.pairing)


def windows_of(dump: Predictions) -> list[list[int]]:
    """Generator ids of each window, from the dump itself.

    Raises:
        DataError: The dump has no windows, names a generator it has no id for, or holds images of a generator that no
            window contains.
    """
    if not dump.windows_timeline.size:
        raise DataError("the dump holds no windows_timeline", "Give a dump of an AI-GenBench run.")
    ids = {str(name): number for number, name in enumerate(dump.generator_id_to_name)}
    timeline = [[str(name) for name in window if name] for window in dump.windows_timeline]
    if unknown := [name for window in timeline for name in window if name not in ids]:
        raise DataError(
            f"windows_timeline names {', '.join(unknown)}, which generator_id_to_name lacks", "Write the dump again."
        )
    windows = [[ids[name] for name in window] for window in timeline]
    known = {0, *(one for window in windows for one in window)}
    if foreign := sorted(set(np.unique(dump.fused_generator_ids).tolist()) - known):
        names = ", ".join(str(dump.generator_id_to_name[one]) for one in foreign)
        raise DataError(f"the dump holds images of {names}, which no window contains", "Write the dump again.")
    return windows


@dataclass(frozen=True)
class StageMetrics:
    """Metrics after training on windows up to one."""

    stage: int  # Window k trained last
    periods: Mapping[Period, BinaryMetrics]
    """Metrics by period; periods without images are absent (such as `next` of the last stage)."""
    recall_per_generator: Mapping[int, float]  # True positive rate of each generator's images at the threshold, by id
    roc_auc_per_window: NDArray[np.float64]  # Shape (windows,), AUROC of each window alone; NaN where it has no images


@dataclass(frozen=True)
class Headline:
    """Means of one metric over stages; NaN if no stage has the period."""

    next: float  # Mean of Next over the stages that have a next window (k = 0..7 of 9): the leaderboard's figure
    past_without_last: float  # Mean of Past over the same stages
    past: float  # Mean of Past over all stages
    whole_without_last: float  # Mean of Whole over the stages that have a next window
    whole: float  # Mean of Whole over all stages; the last stage's Whole is its Past


def period_windows(period: Period, stage: int, windows: int) -> range:
    """Windows of a period at a stage; empty if there are none, such as Next of the last stage.

    Raises:
        ValueError: Unknown period, or a stage that does not exist.
    """
    if not 0 <= stage < windows:
        raise ValueError(f"stage {stage} does not exist: there are windows 0..{windows - 1}.")
    spans: dict[Period, range] = {
        "past": range(stage + 1),
        "next": range(stage + 1, min(stage + 2, windows)),
        "whole": range(min(stage + 2, windows)),
        "strict_past": range(stage),
        "all": range(windows),
    }
    if period not in spans:
        raise ValueError(f"period {period!r} is none of {', '.join(PERIODS)}.")
    return spans[period]


def window_of_images(
    predictions: Evaluated, windows: Sequence[Sequence[int]], paired: bool = True
) -> NDArray[np.int64]:
    """Window of every image, shape (N,): that of its generator, or of the generator paired with it; −1 for none.

    Args:
        predictions: The images.
        windows: Generator ids of each window.
        paired: Give real images the window of their pair; otherwise −2, which means every window.
    """
    ids = np.asarray(predictions.generator_ids)
    reference = np.where(ids == 0, np.asarray(predictions.pairing), ids)
    highest = max(int(reference.max(initial=0)), max((max(window) for window in windows if window), default=0))
    table = np.full(highest + 2, -1, dtype=np.int64)  # index −1, unpaired, reads the last entry
    for number in range(len(windows) - 1, -1, -1):
        table[list(windows[number])] = number
    result = table[reference]
    return result if paired else np.where(ids == 0, -2, result)


def stage_metrics(
    predictions: Evaluated,
    stage: int,
    windows: Sequence[Sequence[int]],
    threshold: float = THRESHOLD,
    paired: bool = True,
    bfloat16: bool = False,
) -> StageMetrics:
    """All metrics of one stage.

    Args:
        predictions: The stage's predictions; images of generators outside `windows` get a recall but are in no period.
        stage: Window trained last, k.
        windows: Generator ids of each window.
        threshold: Scores strictly above it are decided "generated".
        paired: Use only the real images paired with a period's generators; otherwise all real images.
        bfloat16: Whether the scores were computed in bfloat16, see `RankedScores`.
    """
    ranked = RankedScores(predictions.scores, predictions.labels, bfloat16)
    window = window_of_images(predictions, windows, paired)
    always = window == -2

    def metrics(chosen: range) -> BinaryMetrics:
        return ranked.select(((window >= chosen.start) & (window < chosen.stop)) | always, threshold)

    count = len(windows)
    spans = {period: period_windows(period, stage, count) for period in PERIODS}
    computed: dict[range, BinaryMetrics] = {}
    for span in spans.values():
        if span and span not in computed:
            computed[span] = metrics(span)
    per_window = [computed.get(range(w, w + 1)) or metrics(range(w, w + 1)) for w in range(count)]
    return StageMetrics(
        stage,
        {period: computed[span] for period, span in spans.items() if span},
        recall_per_generator(predictions, threshold),
        np.array([one.roc_auc for one in per_window]),
    )


def recall_per_generator(predictions: Evaluated, threshold: float = THRESHOLD) -> dict[int, float]:
    """Fraction of each generator's images scored above the threshold, by generator id."""
    ids = np.asarray(predictions.generator_ids)
    generated = ids != 0
    totals = np.bincount(ids[generated])
    found = np.bincount(ids[generated], weights=np.asarray(predictions.scores)[generated] > threshold)
    return {int(one): float(found[one] / totals[one]) for one in np.flatnonzero(totals)}


def auroc_matrix(stages: Sequence[StageMetrics]) -> NDArray[np.float64]:
    """Rows: trained up to window k; columns: AUROC of window w alone."""
    return np.stack([stage.roc_auc_per_window for stage in stages])


def headline(stages: Sequence[StageMetrics], metric: str = "roc_auc") -> Headline:
    """Average a metric over time.

    The last stage has no next window and does not count towards Next. The paper does not say whether its Past and
    Whole include the last stage, so both means are given.

    Args:
        stages: Metrics of all stages, in any order.
        metric: A field of `BinaryMetrics`.

    Raises:
        ValueError: Unknown metric, or a stage given twice or missing.
    """
    if metric not in BinaryMetrics.__dataclass_fields__:
        raise ValueError(f"metric {metric!r} is none of {', '.join(BinaryMetrics.__dataclass_fields__)}.")
    numbers = sorted(stage.stage for stage in stages)
    count = len(stages[0].roc_auc_per_window) if stages else 0
    if numbers != list(range(count)):
        raise ValueError(f"the mean over time needs every stage 0..{count - 1} once, not {numbers}.")

    def mean(period: Period, last: bool) -> float:
        values = [
            float(getattr(stage.periods[period], metric))
            for stage in stages
            if period in stage.periods and (last or stage.stage < count - 1)
        ]
        return math.fsum(values) / len(values) if values else math.nan

    return Headline(
        mean("next", False), mean("past", False), mean("past", True), mean("whole", False), mean("whole", True)
    )
