"""Cross-fitted figures of a calibration on a dump, with clustered intervals."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.calibration.forms import Floats
from benchmarks.calibration.measures import measured, ordered
from benchmarks.calibration.methods import fit
from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.intervals.clusters import clusters
from benchmarks.intervals.ends import centred, interval_of
from benchmarks.metrics import reliability_bins
from benchmarks.predictions import Predictions
from contracts.errors import DataError

FOLDS = 5  # Fewer where a class has fewer photographs
Figures = dict[str, dict[str, tuple[float, float, float]]]
"""For each of ``before``, ``after`` and ``order``, the value of each figure and the ends of its interval."""


def cross_fitted(method: str, predictions: Predictions, seed: int) -> tuple[Floats, Floats]:
    """[N] calibrated logits of labelled predictions, and the shares they assume.

    For each image they are fitted (`benchmarks.calibration.methods.fit`) on the folds without its photograph.

    Raises:
        DataError: there are too few photographs of a class.
    """
    from sklearn.model_selection import StratifiedGroupKFold  # slow to import

    labels, groups = predictions.fused_labels, clusters(predictions)
    fewest = min(len(np.unique(groups[labels == kind])) for kind in (0, 1))
    if fewest < 2:
        raise DataError("one photograph of a class is too few for cross-fitting", "Give at least 2 of each class.")
    folds = StratifiedGroupKFold(min(FOLDS, fewest), shuffle=True, random_state=seed)
    logits = predictions.fused_logits.astype(np.float64)
    calibrated, shares = np.empty(len(logits)), np.empty(len(logits))
    for train, held in folds.split(logits, labels, groups):
        if np.unique(labels[train]).size < 2:
            raise DataError("a fold has images of one class only", "Give more photographs of both classes.")
        one = fit(method, logits[train], labels[train])
        calibrated[held], shares[held] = one(logits[held]), one.share
    return calibrated, shares


def figures(predictions: Predictions, calibrated: Floats, shares: Floats, bootstrap: Bootstrap) -> Figures:
    """Figures before and after with clustered intervals; those of the order (minCllr, EER) are the same for both.

    Intervals are NaN where a class has too few photographs (`Bootstrap.least`).

    Args:
        predictions: labelled; uncalibrated scores are taken to assume equal shares.
        calibrated: [N] from `cross_fitted`.
        shares: [N] from `cross_fitted`.
        bootstrap: resampling of photographs.
    """
    logits, labels = predictions.fused_logits.astype(np.float64), predictions.fused_labels
    equal = np.full(len(labels), 0.5)

    def all_of(images: NDArray[np.int64], samplings: int) -> dict[str, dict[str, float]]:
        y = labels[images]
        return {
            "before": measured(logits[images], y, equal[images], samplings),
            "after": measured(calibrated[images], y, shares[images], samplings),
            "order": ordered(logits[images], y),
        }

    values = all_of(np.arange(len(labels)), 1)
    drawn = [all_of(np.repeat(np.arange(len(labels)), w.astype(np.int64)), 2) for w in bootstrap.weights(predictions)]

    def ends(kind: str, name: str, value: float) -> tuple[float, float]:
        draws = np.array([one[kind][name] for one in drawn])
        return interval_of(centred(draws, value) if name == "ece" else draws, bootstrap.level)

    return {
        kind: {name: (value, *ends(kind, name, value)) for name, value in found.items()}
        for kind, found in values.items()
    }


def reliability_curve(p: Floats, predictions: Predictions, bins: int, bootstrap: Bootstrap) -> list[dict[str, Any]]:
    """For each bin of equal mass: ``images``, ``mean`` probability, and ``share`` generated from ``low`` to ``high``.

    There are at most ``bins`` of them; p is [N] P(generated). Photographs are resampled, and images keep their bin.
    """
    labels, place = predictions.fused_labels, reliability_bins(p, bins)
    weights = np.stack([np.ones(len(p)), *bootstrap.weights(predictions)])
    curve = []
    for one in np.unique(place):
        inside = place == one
        with np.errstate(invalid="ignore"):  # a resample may have no image in the bin
            shares = (weights[:, inside] * labels[inside]).sum(1) / weights[:, inside].sum(1)
        low, high = interval_of(shares[1:], bootstrap.level)
        values = {"mean": float(p[inside].mean()), "share": float(shares[0]), "low": low, "high": high}
        curve.append({"images": int(inside.sum())} | values)
    return curve


def to_halve(predictions: Predictions) -> tuple[int, int]:
    """Number of photographs, and about how many would halve the intervals, whose width falls with its square root."""
    now = len(np.unique(clusters(predictions)))
    return now, 4 * now
