"""Calibrations of maximum likelihood, non-decreasing by construction, so that no two scores change their order."""

import numpy as np
from numpy.typing import NDArray

from benchmarks.calibration.forms import Affine, Beta, Calibration, Isotonic
from contracts.errors import DataError
from contracts.words import counted

Floats = NDArray[np.float64]
METHODS = ("temperature", "platt", "beta", "isotonic", "shift")
MOST = 100.0  # Largest temperature of logits of unit size, and largest inverse of one, that is searched


def fit(method: str, logits: NDArray[np.floating], labels: NDArray[np.int64]) -> Calibration:
    """The calibration under which the labels are most likely.

    The method determines what is fitted: the slope of the logit (``temperature``, Guo et al. 2017), its offset
    (``shift``), both (``platt``, Platt 1999, without his smoothing of the labels), the three numbers of ``beta`` (Kull,
    Silva Filho & Flach 2017, with their a, b ≥ 0), or any non-decreasing function (``isotonic``, Zadrozny & Elkan
    2002). The probabilities of ``isotonic`` are kept from 1/(n + 2) to 1 − 1/(n + 2) for n images (Laplace's rule of
    succession), since n images never show a probability of 0.

    Args:
        method: one of `METHODS`.
        logits: [N] of any scale.
        labels: [N] 0 (real) or 1 (generated), both present.

    Raises:
        DataError: the likelihood has no maximum with a positive slope, or a logit is infinite.
    """
    refuse_infinite(logits)
    x, share = np.asarray(logits, dtype=np.float64), float(labels.mean())
    if method == "shift":
        return shifted(x, share)
    if method == "isotonic":
        return _isotonic(x, labels)
    if method == "temperature":
        return Affine(_temperature(x, labels), 0.0, share)
    if x[labels == 1].min() >= x[labels == 0].max():
        raise _unbounded(method)
    if method == "beta":
        return Beta(*_beta(x, labels), share)
    from sklearn.linear_model import LogisticRegression  # slow to import

    mean, deviation = x.mean(), x.std()  # the solver does not converge on logits far from 0 or of large scale
    model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit((x[:, None] - mean) / deviation, labels)
    slope = float(model.coef_[0, 0] / deviation)
    if slope <= 0:
        raise _unbounded(method)
    return Affine(slope, float(model.intercept_[0] - slope * mean), share)


def refuse_infinite(logits: NDArray[np.floating]) -> None:
    """Checks that logits are finite.

    Raises:
        DataError: they are not.
    """
    if infinite := int((~np.isfinite(logits)).sum()):
        raise DataError(
            f"{counted(infinite, 'logit')} of {len(logits)} not finite, so no probability can be fitted",
            "Give a dump whose logits are finite.",
        )


def _temperature(x: Floats, labels: NDArray[np.int64]) -> float:
    from scipy.optimize import minimize_scalar  # slow to import

    sign, limit = np.where(labels == 1, -1.0, 1.0), np.log(MOST)
    scale = float(np.sqrt(np.square(x).mean())) or 1.0
    margin = sign * x / scale
    found = minimize_scalar(
        lambda t: np.logaddexp(0, margin * np.exp(-t)).mean(),
        bounds=(-limit, limit),
        method="bounded",
        options={"xatol": 1e-10},
    )
    if abs(found.x) > limit - 1e-3:
        raise _unbounded("temperature")
    return float(np.exp(-found.x)) / scale


def _beta(x: Floats, labels: NDArray[np.int64]) -> tuple[float, float, float]:
    from scipy.optimize import minimize  # slow to import
    from scipy.special import expit

    parts = np.stack([-np.logaddexp(0, -x), np.logaddexp(0, x)], axis=1)
    mean, deviation = parts.mean(0), parts.std(0)
    deviation[deviation == 0] = 1.0
    most = 2 * MOST * deviation / x.std()  # far from 0, one part is constant but for rounding
    features = np.column_stack([(parts - mean) / deviation, np.ones_like(x)])
    sign = np.where(labels == 1, -1.0, 1.0)

    def loss(weights: Floats) -> tuple[float, Floats]:
        margin = sign * (features @ weights)
        return float(np.logaddexp(0, margin).mean()), (sign * expit(margin)) @ features / len(x)

    found = minimize(
        loss, np.array([1.0, 1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=[(0, most[0]), (0, most[1]), (None, None)],
        options={"ftol": 1e-14, "gtol": 1e-9, "maxiter": 1000},
    )  # fmt: skip
    if not 1 / MOST <= found.x[:2].sum() <= 2 * MOST:
        raise _unbounded("beta")
    a, b = (found.x[:2] / deviation).tolist()
    return a, b, float(found.x[2] - (a, b) @ mean)


def _isotonic(x: Floats, labels: NDArray[np.int64]) -> Isotonic:
    from sklearn.isotonic import IsotonicRegression  # slow to import

    values, place = np.unique(x, return_inverse=True)  # scikit-learn merges scores that are almost equal
    p = np.clip(IsotonicRegression().fit_transform(place.astype(np.float64), labels), 0, 1)
    level = np.empty(len(values))
    level[place] = np.clip(p, 1 / (len(x) + 2), 1 - 1 / (len(x) + 2))
    ends = np.append(True, np.diff(level) != 0) | np.append(np.diff(level) != 0, True)  # of each step
    return Isotonic(tuple(values[ends].tolist()), tuple(level[ends].tolist()), float(labels.mean()))


def shifted(logits: NDArray[np.floating], share: float) -> Affine:
    """The offset at which the mean probability equals a share; labels are not needed.

    With the share of the labels this is the offset of maximum likelihood.

    Raises:
        DataError: the share is not between 0 and 1, or a logit is infinite.
    """
    refuse_infinite(logits)
    from scipy.optimize import brentq  # slow to import
    from scipy.special import expit, logit

    if not 0 < share < 1:
        raise DataError(f"a share of generated images of {share}", "Give a share between 0 and 1, such as 0.5.")
    x = np.asarray(logits, dtype=np.float64)
    ends = logit(share) - x.max() - 1, logit(share) - x.min() + 1
    return Affine(1.0, float(brentq(lambda b: expit(x + b).mean() - share, *ends, xtol=1e-12)), share)


def _unbounded(method: str) -> DataError:
    side = ", lie on one side of 0 (calibrate.method=platt fits an offset too)" if method == "temperature" else ""
    return DataError(
        f"calibrate.method={method} finds no best slope above 0: the scores separate the classes without an "
        f"error{side}, or do not rise with the share of generated images",
        "Give more or harder images, or calibrate.method=shift or isotonic.",
    )
