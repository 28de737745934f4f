"""Calibrations of the form slope · logit + offset with a positive slope, which never changes an order."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contracts.errors import DataError

Floats = NDArray[np.float64]
METHODS = ("temperature", "platt", "shift")
MOST = 100.0
"""Largest temperature, and largest inverse of one, that is searched."""


@dataclass(frozen=True)
class Affine:
    """A calibration of logits.

    Attributes:
        slope: above 0; one over the temperature.
        offset: added after it.
        share: of generated images that the probabilities assume.
    """

    slope: float
    offset: float
    share: float

    def __call__(self, logits: NDArray[np.floating]) -> Floats:
        """[N] logits → [N] calibrated logits."""
        return self.slope * np.asarray(logits, dtype=np.float64) + self.offset


def fit(method: str, logits: NDArray[np.floating], labels: NDArray[np.int64]) -> Affine:
    """Calibration of maximum likelihood.

    The slope alone is fitted by ``temperature`` (Guo et al. 2017), the offset alone by ``shift``, and both by ``platt``
    (Platt 1999, without his smoothing of the labels).

    Args:
        method: one of `METHODS`.
        logits: [N], finite.
        labels: [N] 0 (real) or 1 (generated), both present.

    Raises:
        DataError: the likelihood has no maximum with a positive slope.
    """
    x, share = np.asarray(logits, dtype=np.float64), float(labels.mean())
    if method == "shift":
        return shifted(x, share)
    if method == "temperature":
        from scipy.optimize import minimize_scalar  # slow to import

        sign = np.where(labels == 1, -1.0, 1.0)
        limit = np.log(MOST)
        found = minimize_scalar(
            lambda t: np.logaddexp(0, sign * x * np.exp(-t)).mean(),
            bounds=(-limit, limit),
            method="bounded",
            options={"xatol": 1e-10},
        )
        if abs(found.x) > limit - 1e-3:
            raise _unbounded(method)
        return Affine(float(np.exp(-found.x)), 0.0, share)
    from sklearn.linear_model import LogisticRegression  # slow to import

    if x[labels == 1].min() >= x[labels == 0].max():
        raise _unbounded(method)
    model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(x[:, None], labels)
    slope = float(model.coef_[0, 0])
    if slope <= 0:
        raise _unbounded(method)
    return Affine(slope, float(model.intercept_[0]), share)


def shifted(logits: NDArray[np.floating], share: float) -> Affine:
    """The offset at which the mean probability equals a share; labels are not needed.

    With the share of the labels this is the offset of maximum likelihood.

    Raises:
        DataError: the share is not between 0 and 1.
    """
    from scipy.optimize import brentq  # slow to import
    from scipy.special import expit, logit

    if not 0 < share < 1:
        raise DataError(f"a share of generated images of {share}", "Give a share between 0 and 1, such as 0.5.")
    x = np.asarray(logits, dtype=np.float64)
    ends = logit(share) - x.max() - 1, logit(share) - x.min() + 1
    return Affine(1.0, float(brentq(lambda b: expit(x + b).mean() - share, *ends, xtol=1e-12)), share)


def _unbounded(method: str) -> DataError:
    return DataError(
        f"calibrate.method={method} finds no best slope above 0: the scores separate the classes without an error, or "
        "do not rise with the share of generated images",
        "Give more or harder images, or calibrate.method=shift.",
    )
