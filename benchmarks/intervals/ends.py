"""Ends of intervals: percentiles of resampled values, and Wilson's interval for shares of 0 or 1.

Of such a share every resample is the same and the percentile interval has no width, although another image may well
differ. Wilson's interval of such a share (Wilson, JASA 1927) reaches z² / (n + z²) from the end, 0.39 for six
photographs; clusters count, not images.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import isnan, nan
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from benchmarks.evaluation import Result, Subset

SHARES = {"accuracy": (0, 1), "recall": (1,), "specificity": (0,)}
"""Metrics that are a share of images, with the labels of these."""


def interval_of(values: NDArray[np.float64], level: float) -> tuple[float, float]:
    """Ends of the percentile interval of resampled values; NaN if there is none, or more than half are undefined."""
    if not values.size or np.isnan(values).mean() > 0.5:
        return nan, nan
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2]).tolist()
    return low, high


def bounded(result: Result, values: NDArray[np.float64] | None, level: float) -> Result:
    """The result with its interval, if it is defined and was resampled."""
    if values is None or isnan(result.value):
        return result
    low, high = interval_of(centred(values, result.value) if result.metric == "ece" else values, level)
    return replace(result, low=low, high=high)


def centred(values: NDArray[np.float64], value: float) -> NDArray[np.float64]:
    """Resampled values of a figure that resampling inflates, moved so that their mean is the figure, and never below 0.

    Each bin of an expected calibration error adds the size of its sampling error, to which a resample adds its own.
    Without this the interval may lie above the figure (bias of the bootstrap: Efron & Tibshirani 1993, chapter 10).
    """
    defined = values[~np.isnan(values)]
    return np.maximum(values - (defined.mean() - value), 0) if defined.size else values


def without_width(result: Result) -> bool:
    """Whether it is a share whose interval has no width."""
    return result.metric in SHARES and result.low == result.high  # NaN where there is no interval


def at_an_end(result: Result, cluster: NDArray[np.int64], level: float) -> Result:
    """A share of 0 or 1 with Wilson's interval; another figure as it is.

    Args:
        result: a share.
        cluster: numbers of the clusters that its images are in.
        level: nominal coverage.
    """
    if result.value not in (0.0, 1.0):
        return result
    number, square = np.unique(cluster).size, NormalDist().inv_cdf((1 + level) / 2) ** 2
    reach = square / (number + square)
    low, high = (1 - reach, 1.0) if result.value == 1 else (0.0, reach)
    return replace(result, low=low, high=high)


def widened(
    results: Sequence[Result],
    found: Sequence[Subset],
    cluster: NDArray[np.int64],
    labels: NDArray[np.int64],
    level: float,
) -> list[Result]:
    """The results, in which shares of 0 or 1 that have an interval have Wilson's.

    Args:
        results: with their intervals.
        found: the subsets they were measured on.
        cluster: [N] number of the cluster that each image is in.
        labels: [N].
        level: nominal coverage.
    """
    images = {(subset.kind, subset.name): subset.images for subset in found}

    def own(result: Result) -> Result:
        measured = images.get((result.kind, result.generator))
        if measured is None or not without_width(result):
            return result
        return at_an_end(result, cluster[measured[np.isin(labels[measured], SHARES[result.metric])]], level)

    return [own(result) for result in results]
