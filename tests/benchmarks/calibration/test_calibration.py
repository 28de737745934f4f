"""Calibrations and their measures against closed forms."""

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import norm
from synthetic_predictions import draw

from benchmarks.calibration.bands import Band, undecidable
from benchmarks.calibration.forms import Affine, Beta, Isotonic
from benchmarks.calibration.measures import cllr, eer, measured, min_cllr, nll
from benchmarks.calibration.methods import METHODS, fit, shifted
from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.metrics import auroc
from contracts.errors import DataError

LOGITS = np.repeat(np.linspace(-3, 3, 25), 2000)


def labels(true: np.ndarray) -> np.ndarray:
    """Labels whose share at every logit is its probability, to within rounding."""
    share = np.round(expit(true.reshape(25, 2000)[:, :1]) * 2000)
    return (np.arange(2000) < share).astype(np.int64).ravel()


def test_every_method_recovers_what_was_done() -> None:
    found = fit("temperature", 2.5 * LOGITS, labels(LOGITS))
    assert isinstance(found, Affine)
    assert (found.slope, found.offset) == (pytest.approx(1 / 2.5, rel=1e-3), 0)
    found = fit("shift", LOGITS - 1.5, labels(LOGITS))
    assert isinstance(found, Affine)
    assert (found.slope, found.offset) == (1, pytest.approx(1.5, abs=1e-3))
    found = fit("platt", 2 * LOGITS - 1.5, labels(LOGITS))
    assert isinstance(found, Affine)
    assert (found.slope, found.offset) == (pytest.approx(0.5, rel=1e-3), pytest.approx(0.75, abs=1e-3))
    found = fit("beta", 2 * LOGITS - 1.5, labels(LOGITS))  # a = b is Platt's
    assert isinstance(found, Beta)
    assert (found.a, found.b, found.c) == pytest.approx((0.5, 0.5, 0.75), abs=0.01)
    truth = Beta(0.3, 1.7, -0.2, 0.5)
    found = fit("beta", LOGITS, labels(truth(LOGITS)))
    assert isinstance(found, Beta)
    assert (found.a, found.b, found.c) == pytest.approx((0.3, 1.7, -0.2), abs=0.01)
    assert fit("isotonic", LOGITS, labels(LOGITS))(LOGITS) == pytest.approx(LOGITS, abs=0.02)
    steep = fit("isotonic", np.array([-1.0, 0.0, 1.0, 2.0]), np.array([0, 1, 0, 1]))
    assert isinstance(steep, Isotonic)
    assert steep.p == pytest.approx((1 / 6, 0.5, 0.5, 5 / 6))  # Laplace's rule at the ends, one step between


def test_a_shift_needs_no_labels_but_a_share() -> None:
    for share in (0.5, 0.01):
        found = shifted(LOGITS * 40, share)
        assert expit(found(LOGITS * 40)).mean() == pytest.approx(share, rel=1e-6)
    with pytest.raises(DataError, match="share"):
        shifted(LOGITS, 1.0)


@pytest.mark.parametrize("method", METHODS)
def test_the_order_stays(method: str) -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 300)
    scores = rng.normal(truth, 1.0).round(1)
    before, after = auroc(scores, truth), auroc(fit(method, scores, truth)(scores), truth)
    assert after >= before if method == "isotonic" else after == before
    identical, both = np.tile(scores, 2), np.repeat([0, 1], 300)
    if method == "shift":
        calibrated = fit(method, identical, both)(identical)
        assert (auroc(calibrated, both), eer(calibrated, both)) == (0.5, 0.5)


@pytest.mark.parametrize("method", ["temperature", "platt", "beta"])
def test_separated_or_reversed_scores_have_no_best_slope(method: str) -> None:
    truth = np.repeat([0, 1], 50)
    for scores in (np.repeat([-1.0, 1.0], 50), np.tile(np.linspace(1, -1, 50), 2) - 3 * truth + 1.5):
        with pytest.raises(DataError, match="slope above 0"):
            fit(method, scores, truth)


def test_cllr_is_one_bit_where_nothing_is_known_and_zero_at_best() -> None:
    truth = np.repeat([0, 1], [30, 70])
    assert cllr(np.zeros(100), truth) == pytest.approx(1, abs=1e-12)
    assert min_cllr(np.zeros(100), truth) == pytest.approx(1, abs=1e-12)
    assert min_cllr(np.arange(100.0), truth) == 0
    assert min_cllr(LOGITS, labels(LOGITS)) <= cllr(LOGITS, labels(LOGITS)) + 1e-12


def test_eer_of_equal_gaussians_and_of_identical_images() -> None:
    quantiles = norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    truth = np.repeat([0, 1], 20_000)
    assert eer(np.concatenate([quantiles - 1, quantiles + 1]), truth) == pytest.approx(norm.cdf(-1), abs=1e-4)
    assert eer(np.tile(quantiles, 2), truth) == pytest.approx(0.5, abs=1e-12)
    assert measured(np.zeros(40_000), truth, np.full(40_000, 0.5)) == pytest.approx(
        {"nll": np.log(2), "brier": 0.25, "ece": 0, "ece_debiased": 0, "cllr": 1}
    )


@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (1e4, 0.0), (1e6, 5e6), (1e-3, -3.0), (1.0, 30.0)])
@pytest.mark.parametrize("method", ["platt", "beta", "temperature"])
def test_logits_of_any_scale_are_fitted(method: str, scale: float, offset: float) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(240) % 2
    x = rng.normal(1.2 * (2 * labels - 1), 1.5)
    if method == "temperature":
        offset = 0.0
    plain, far = fit(method, x, labels)(x), fit(method, scale * x + offset, labels)(scale * x + offset)
    loss = nll(far, labels)
    if method == "beta":  # the same function only of logits of the same scale
        assert nll(plain, labels) - 1e-3 < loss < nll(fit("platt", x, labels)(x), labels) + 1e-5
    else:
        assert loss == pytest.approx(nll(plain, labels), abs=1e-7)


def test_infinite_logits_are_refused_by_number() -> None:
    x = np.array([-np.inf, 0.5, 1.0, np.inf])
    for found in (lambda: fit("shift", x, np.array([0, 1, 0, 1])), lambda: shifted(x, 0.5)):
        with pytest.raises(DataError, match="2 logits of 4 not finite"):
            found()


def test_a_small_slope_is_shown() -> None:
    assert str(Affine(1.23e-5, -0.00001, 0.5)) == "1.23e-05 * logit +0.0000"
    assert str(Affine(0.75, -1.0, 0.5)) == "0.7500 * logit -1.0000"


def test_a_beta_calibration_far_from_0_is_not_steep_where_rounding_alone_tells_logits_apart() -> None:
    labels = np.arange(240) % 2
    x = np.random.default_rng(0).normal(1.2 * (2 * labels - 1), 1.5) + 30
    found = fit("beta", x, labels)
    assert isinstance(found, Beta)
    assert max(found.a, found.b) < 1000


def test_no_call_is_sure_with_too_few_photographs() -> None:
    few = draw(images=60, group=[f"p{i % 5}" for i in range(60)])
    assert undecidable("platt", few, 0.6, Bootstrap(40)) == Band(-np.inf, np.inf, 0.6)
    enough = draw(images=60, group=[f"p{i % 6}" for i in range(60)])
    assert np.isfinite(undecidable("platt", enough, 0.6, Bootstrap(40)).high)
