"""Scores that cannot be decided: their calibrated probability, with its interval, is not clear enough for a call."""

from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

from benchmarks.calibration.forms import Floats
from benchmarks.calibration.methods import fit
from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.predictions import Predictions
from contracts.errors import ConfigError, DataError

REFITS = 200  # Calibrations fitted to resampled photographs
GRID = 1000  # Largest number of logits at which they are compared


@dataclass(frozen=True)
class Band:
    """Logits, before calibration, between which no call is sure."""

    low: float  # up to this logit an image is surely real; -inf if none of the fitted images is
    high: float  # from this logit on it is surely generated; inf if none of the fitted images is
    sure: float  # probability from which a call is sure

    def unsure(self, logits: NDArray[np.floating], generated: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """[N] whether the calls ``generated`` [N] of logits [N] are unsure: inside the band, or on the wrong side."""
        x = np.asarray(logits, dtype=np.float64)
        return np.where(generated, x < self.high, x > self.low)


def undecidable(method: str, predictions: Predictions, sure: float, bootstrap: Bootstrap) -> Band:
    """The band of a method on labelled predictions.

    The method is fitted to `REFITS` resamples of the photographs. A logit is surely generated if its calibrated
    probability is at least ``sure`` at the lower end of its interval, and surely real if it is at most 1 - ``sure`` at
    the upper end. None is sure with too few photographs for an interval.

    Args:
        method: see `benchmarks.calibration.methods.fit`.
        predictions: labelled.
        sure: probability of a sure call, from 0.5 to below 1.
        bootstrap: resampling of photographs; at most `REFITS` resamples of it are used.

    Raises:
        ConfigError: ``sure`` is out of range.
    """
    check_sure(sure)
    logits, labels = predictions.fused_logits.astype(np.float64), predictions.fused_labels
    grid = np.unique(logits)
    if len(grid) > GRID:
        grid = np.unique(np.quantile(grid, np.linspace(0, 1, GRID), method="nearest"))
    refits = Bootstrap(min(bootstrap.resamples, REFITS), bootstrap.seed, bootstrap.level)
    curves = []
    for weights in refits.weights(predictions):
        images = np.repeat(np.arange(len(labels)), weights.astype(np.int64))
        try:
            curves.append(_probability(method, logits[images], labels[images], grid))
        except DataError:  # the resample has one class only, or its scores separate the classes
            continue
    if 2 * len(curves) < refits.resamples:
        return Band(-inf, inf, sure)
    low, high = np.quantile(np.stack(curves), [(1 - refits.level) / 2, (1 + refits.level) / 2], axis=0)
    real, generated = grid[high <= 1 - sure], grid[low >= sure]
    return Band(float(real.max(initial=-inf)), float(generated.min(initial=inf)), sure)


def check_sure(sure: float) -> None:
    """Checks the probability from which a call is sure.

    Raises:
        ConfigError: it is not from 0.5 to below 1.
    """
    if not 0.5 <= sure < 1:
        raise ConfigError(f"calibrate.sure={sure}", "Give a probability from 0.5 to below 1, such as 0.8.")


def _probability(method: str, logits: Floats, labels: NDArray[np.int64], grid: Floats) -> Floats:
    if np.unique(labels).size < 2:
        raise DataError("images of one class only")
    return np.exp(-np.logaddexp(0, -fit(method, logits, labels)(grid)))
