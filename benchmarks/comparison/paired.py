"""Is one detector better than another on the same images? Differences with intervals of a paired bootstrap."""

from dataclasses import dataclass, replace
from math import isnan, nan

import numpy as np

from benchmarks.evaluation import Result, evaluate
from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.intervals.ends import interval_of
from benchmarks.predictions import Predictions
from contracts.errors import DataError


@dataclass(frozen=True)
class Difference:
    """A metric of the first detector minus that of the second."""

    first: Result  # result of the first detector on the common images
    second: Result  # of the second
    low: float  # lower end of the interval of ``value``, NaN where there is none
    high: float  # upper end

    @property
    def value(self) -> float:
        """First minus second."""
        return self.first.value - self.second.value


def differences(first: Predictions, second: Predictions, bootstrap: Bootstrap) -> list[Difference]:
    """Every metric on every subset of the images that both scored, each at its own thresholds.

    Both detectors get the same resamples, which cancels the difficulty of the photographs they share: the interval of
    a difference is narrower than two intervals side by side suggest.

    Raises:
        DataError: no image was scored by both, or they disagree on labels.
    """
    _, mine, theirs = np.intersect1d(first.fused_ids, second.fused_ids, assume_unique=True, return_indices=True)
    if mine.size == 0:
        raise DataError("The two dumps have no image in common", "Compare dumps of one data set.")
    a, b = first.select(np.sort(mine)), second.select(theirs[np.argsort(mine)])
    if not np.array_equal(a.fused_labels, b.fused_labels):
        raise DataError("The two dumps disagree on labels", "Compare dumps of one data set.")
    b = replace(b, group=a.group).with_provenance(seen_generators=a.about.get("seen_generators"))
    results = evaluate(a), evaluate(b)
    draws = bootstrap.draw(a, results[0]), bootstrap.draw(b, results[1])
    others = {r.key: r for r in results[1]}
    found = []
    for result in results[0]:
        if result.key not in others:
            continue
        low = high = nan
        if not isnan(result.value - others[result.key].value):
            low, high = interval_of(draws[0][result.key] - draws[1][result.key], bootstrap.level)
        found.append(Difference(result, others[result.key], low, high))
    return found
