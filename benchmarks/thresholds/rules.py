"""A threshold on P(generated), chosen on validation images and carried into test and predict.

Strictly above the threshold means "generated", whatever the rule that chose it; its sign is that of the score.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.metrics import curve
from benchmarks.ranked import Labels, Scores
from contracts.errors import ConfigError, DataError, nearest

Rates = NDArray[np.float64]
Objective = Callable[[Rates, Rates], Rates]


def balanced_accuracy(tpr: Rates, fpr: Rates) -> Rates:
    """(TPR + TNR) / 2; the same choice as Youden's J."""
    return (tpr + 1 - fpr) / 2


def youden(tpr: Rates, fpr: Rates) -> Rates:
    """J = TPR − FPR (Youden 1950)."""
    return tpr - fpr


def fpr_1(tpr: Rates, fpr: Rates) -> Rates:
    """TPR where at most 1 % of the real images are called generated."""
    return np.where(fpr <= 0.01 + 1e-12, tpr, -fpr)


def fpr_5(tpr: Rates, fpr: Rates) -> Rates:
    """TPR where at most 5 % of the real images are called generated."""
    return np.where(fpr <= 0.05 + 1e-12, tpr, -fpr)


OBJECTIVES: dict[str, Objective] = {
    "balanced_accuracy": balanced_accuracy,
    "youden": youden,
    "fpr_1": fpr_1,
    "fpr_5": fpr_5,
}


@dataclass(frozen=True)
class Threshold:
    """A chosen threshold."""

    value: float  # exactly representable in float32, so that float32 and float64 comparisons agree
    rule: str  # name of the objective
    tpr: float  # true positive rate on the images it was chosen on
    fpr: float  # false positive rate on them
    images: int  # number of images it was chosen on


def choose_threshold(scores: NDArray[np.float32], labels: Labels, rule: str = "balanced_accuracy") -> Threshold:
    """The threshold at which the rule is best on these images.

    Candidates are the midpoints between neighbouring distinct scores, and the ends. Of equally good ones the one with
    the fewest false positives wins (the highest threshold), so the choice depends on nothing but the scores.

    Args:
        scores: [N] P(generated), float32.
        labels: [N]; images with label -1 are left out.
        rule: name of an objective in `OBJECTIVES`.

    Raises:
        ConfigError: no rule has that name.
        DataError: real or generated images are absent.
    """
    if rule not in OBJECTIVES:
        raise ConfigError(f"threshold rule {rule!r} is unknown", nearest(rule, OBJECTIVES))
    known = labels >= 0
    kept: Scores = np.asarray(scores, dtype=np.float64)[known]
    truth = labels[known]
    for kind, name in enumerate(("real", "generated")):
        if not (truth == kind).any():
            raise DataError(
                f"No threshold can be chosen: there is no {name} image among the {truth.size} validation images",
                "Give a validation split that holds both.",
            )
    distinct, tp, fp = curve(kept, truth)
    tpr, fpr = np.append(0, tp) / tp[-1], np.append(0, fp) / fp[-1]
    goal = OBJECTIVES[rule](tpr, fpr)
    best = int(np.flatnonzero(goal >= goal.max() - 1e-12)[0])
    return Threshold(_between(distinct, best), rule, float(tpr[best]), float(fpr[best]), truth.size)


def _between(distinct: Scores, best: int) -> float:
    """Threshold that calls exactly the ``best`` highest of the descending distinct scores generated."""
    if best == 0:
        return float(distinct[0])
    above = distinct[best - 1]
    below = distinct[best] if best < distinct.size else min(0.0, float(above))
    middle = float(np.float32((above + below) / 2))
    if middle < above:
        return middle
    return float(below) if below < above else float(np.nextafter(np.float32(above), np.float32(-1)))
