"""Accuracy at the best threshold of the test images, as UnivFD reports it: an upper bound, not an estimate."""

import numpy as np

from benchmarks.metrics import UndefinedMetricError
from benchmarks.ranked import Labels, Scores


def oracle_threshold(scores: Scores, labels: Labels) -> float:
    """The threshold of UnivFD's ``find_best_threshold``, from P(generated) [N] and labels [N] with both 0 and 1.

    Midway between the classes where they can be separated; otherwise the score t with the highest accuracy of
    "generated if score >= t", the last of several in the order real, generated.
    """
    real, generated = scores[labels == 0], scores[labels == 1]
    if real.max() <= generated.min():
        return float((real.max() + generated.min()) / 2)
    every = np.concatenate([real, generated])
    kept = np.searchsorted(np.sort(real), every, "left")  # real images below each score
    found = len(generated) - np.searchsorted(np.sort(generated), every, "left")
    best = np.flatnonzero(kept + found == (kept + found).max())
    return float(every[best[-1]])


def oracle_accuracy(scores: Scores, labels: Labels, threshold: float) -> float:  # noqa: ARG001 - a metric's signature
    """Accuracy of "generated if score > t" at `oracle_threshold`, strictly, as the original computes it again.

    Raises:
        UndefinedMetricError: a class is absent.
    """
    if len(np.unique(labels)) < 2:
        raise UndefinedMetricError("only one class is present")
    return float(((scores > oracle_threshold(scores, labels)) == (labels == 1)).mean())
