"""Exact metrics of a binary score for many subsets of one set of scores, which is sorted once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

THRESHOLD = 0.5  # Default decision threshold; a score must exceed it to count as generated

F1_STEPS = 1001  # Points of the grid on which the benchmark searches for the threshold of highest F1


@dataclass(frozen=True)
class BinaryMetrics:
    """Metrics of one subset; "positive" means generated. A metric that is undefined for the subset is NaN."""

    n_real: int  # Real images
    n_generated: int  # Generated images
    roc_auc: float  # Exact area under the pooled ROC curve, ties counted half
    average_precision: float  # Step-wise area under the precision-recall curve
    accuracy: float  # Fraction of correct decisions
    balanced_accuracy: float  # Mean of recall and specificity
    precision: float  # Fraction of generated images among positive decisions; 0 if there are none
    recall: float  # True positive rate
    specificity: float  # True negative rate
    f1: float  # Harmonic mean of precision and recall; 0 if both are 0
    best_f1_threshold: float  # First grid point (score >= point) of highest F1
    best_f1: float  # That F1
    true_positives: int  # Count
    true_negatives: int  # Count
    false_positives: int  # Count
    false_negatives: int  # Count


@cache
def f1_grid() -> NDArray[np.float32]:
    """The benchmark's 1001 thresholds: i / 1000 in float32, rounded as torch's `linspace` rounds them.

    `linspace` steps up from 0 in the lower half and down from 1 in the upper half, with one rounding each.
    """
    steps = F1_STEPS - 1
    step = float(np.float32(1 / steps))
    index = np.arange(F1_STEPS)
    return np.where(index < F1_STEPS // 2, index * step, 1 - (steps - index) * step).astype(np.float32)


def round_to_bfloat16(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The nearest bfloat16 numbers (ties to even), as float32."""
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)).astype(np.uint32).view(np.float32)


class RankedScores:
    """Scores sorted once; metrics of any subset follow without another sort."""

    def __init__(self, scores: ArrayLike, labels: ArrayLike, bfloat16: bool = False) -> None:
        """Sort the scores.

        Args:
            scores: Shape (N,), probability of "generated".
            labels: Shape (N,), 1 generated, 0 real.
            bfloat16: Whether the scores were computed in bfloat16; the original then rounds the thresholds to it.

        Raises:
            ValueError: Shapes differ, a label is neither 0 nor 1, or a score is outside [0, 1] or not finite.
        """
        score = np.asarray(scores)
        if not np.issubdtype(score.dtype, np.floating):
            score = score.astype(np.float64)
        label = np.asarray(labels)
        if score.shape != label.shape or score.ndim != 1:
            raise ValueError(f"{score.shape} scores do not match {label.shape} labels.")
        if not np.isin(label, (0, 1)).all():
            raise ValueError(
                f"labels {np.setdiff1d(label, (0, 1))[:5].tolist()} are neither 0 (real) nor 1 (generated)."
            )
        if not (np.all(score >= 0) and np.all(score <= 1)):
            raise ValueError("scores must be finite probabilities in [0, 1]; take the float32 sigmoid of logits first.")
        self._compared = round_to_bfloat16(f1_grid()) if bfloat16 else f1_grid()
        self.order = np.argsort(-score, kind="stable")  # (N,) positions in descending order
        self._score = score[self.order]
        self._positive = label[self.order] == 1

    def select(self, mask: NDArray[np.bool_] | None = None, threshold: float = THRESHOLD) -> BinaryMetrics:
        """Metrics of the images of a subset.

        Args:
            mask: Shape (N,), True for an image of the subset, in the order the scores were given; all by default.
            threshold: Scores strictly above it, in the scores' own precision, are decided "generated".
        """
        score, positive = self._score, self._positive
        if mask is not None:
            kept = np.asarray(mask, dtype=bool)[self.order]
            score, positive = score[kept], positive[kept]
        hits = np.cumsum(positive, dtype=np.int64)
        n_generated = int(hits[-1]) if hits.size else 0
        n_real = positive.size - n_generated
        # the last of each series of equal scores is a point of the ROC and precision-recall curves
        ends = np.flatnonzero(np.append(score[1:] != score[:-1], True)) if score.size else np.zeros(0, dtype=np.int64)
        tp = hits[ends]
        fp = ends + 1 - tp
        roc_auc, average_precision = _areas(tp, fp, n_generated, n_real)
        above = int(np.searchsorted(-score, -score.dtype.type(threshold), side="left"))
        true_positives = int(hits[above - 1]) if above else 0
        false_positives = above - true_positives
        false_negatives, true_negatives = n_generated - true_positives, n_real - false_positives
        recall = true_positives / n_generated if n_generated else math.nan
        specificity = true_negatives / n_real if n_real else math.nan
        wrong = false_positives + false_negatives
        best_threshold, best_f1 = _best_f1(score, hits, n_generated, self._compared)
        return BinaryMetrics(
            n_real=n_real,
            n_generated=n_generated,
            roc_auc=roc_auc,
            average_precision=average_precision,
            accuracy=(true_positives + true_negatives) / positive.size if positive.size else math.nan,
            balanced_accuracy=(recall + specificity) / 2,
            precision=true_positives / above if above else 0.0,
            recall=recall,
            specificity=specificity,
            f1=2 * true_positives / (2 * true_positives + wrong) if true_positives + wrong else 0.0,
            best_f1_threshold=best_threshold,
            best_f1=best_f1,
            true_positives=true_positives,
            true_negatives=true_negatives,
            false_positives=false_positives,
            false_negatives=false_negatives,
        )


def _areas(tp: NDArray[np.int64], fp: NDArray[np.int64], positives: int, negatives: int) -> tuple[float, float]:
    """Area under the ROC curve (trapezoids) and average precision (steps), from cumulated counts."""
    roc_auc = average_precision = math.nan
    before_tp = np.concatenate([[0], tp[:-1]]) if tp.size else tp
    before_fp = np.concatenate([[0], fp[:-1]]) if fp.size else fp
    if positives and negatives:
        # whole numbers up to 2 P N are exact, and are divided once
        twice = int(((fp - before_fp) * (tp + before_tp)).sum())
        roc_auc = twice / (2 * positives * negatives)
    if positives:
        average_precision = float(((tp - before_tp) / positives * (tp / (tp + fp))).sum())
    return roc_auc, average_precision


def _best_f1(
    score: NDArray[np.floating], hits: NDArray[np.int64], positives: int, compared: NDArray[np.float32]
) -> tuple[float, float]:
    """First threshold of highest F1 among `score >= threshold`, and that F1; NaN without positives."""
    if not positives:
        return math.nan, math.nan
    predicted = score.size - np.searchsorted(score[::-1], compared.astype(score.dtype), side="left")
    tp = np.where(predicted > 0, hits[predicted - 1], 0)
    f1 = 2 * tp / (predicted + positives)
    best = int(np.argmax(f1))
    return float(f1_grid()[best]), float(f1[best])
