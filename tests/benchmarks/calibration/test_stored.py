"""Calibrations as plain values, applied to a dump, and the band of scores that cannot be decided."""

import json
from dataclasses import replace
from math import inf

import numpy as np
import pytest
import synthetic_predictions
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from benchmarks.calibration.bands import Band, undecidable
from benchmarks.calibration.fitted import cross_fitted, figures, reliability_curve, to_halve
from benchmarks.calibration.forms import Affine, Beta, Calibration, Isotonic, as_plain, from_plain
from benchmarks.calibration.measures import debiased_error
from benchmarks.calibration.methods import fit
from benchmarks.calibration.stored import RAW, Stored, stored
from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.metrics import auroc
from benchmarks.predictions import Predictions, from_crops
from contracts.errors import CheckpointError, ConfigError

FORMS = (Affine(0.5, -1.0, 0.4), Beta(0.4, 1.2, 0.1, 0.5), Isotonic((-1.0, 0.0, 2.0), (0.1, 0.5, 0.5), 0.5))


def dump(logits: np.ndarray, truth: np.ndarray, groups: list[str] | None = None) -> Predictions:
    count = len(logits)
    ids = [str(k) for k in range(count)]
    return from_crops(
        logits, np.arange(count), truth, truth, ids, generator_id_to_name=["", "gan"], group=groups or [""] * count
    )


@pytest.mark.parametrize("form", FORMS)
def test_plain_values_come_back_and_nothing_else_does(form: Calibration) -> None:
    assert from_plain(json.loads(json.dumps(as_plain(form)))) == form
    for band in (None, Band(-inf, 1.5, 0.8)):
        one = Stored("beta", form, "w", "d", band)
        assert stored(json.loads(json.dumps(one.plain()))) == one
    wrong = {"affine": {"slope": 0}, "beta": {"a": -0.1}, "isotonic": {"p": [0.5, 0.4, 0.6]}}
    plain = as_plain(form)
    for change in ({"share": 1}, {"form": "cubic"}, wrong[str(plain["form"])]):
        with pytest.raises(ValueError, match=r"is not a calibration|is unknown"):
            from_plain(plain | change)


@given(st.lists(st.floats(-30, 30), min_size=2, max_size=30), st.sampled_from(FORMS))
@settings(deadline=None, max_examples=40)
def test_no_calibration_changes_an_order(values: list[float], form: Calibration) -> None:
    after = form(np.sort(np.array(values)))
    assert (np.diff(after) >= -1e-9).all()


@pytest.mark.parametrize("form", FORMS)
def test_a_calibrated_dump_keeps_its_calls_and_its_own_logits(form: Calibration) -> None:
    before = synthetic_predictions.draw()
    one = Stored("platt", form, "w", "d")
    after = one.applied(before)
    assert after.extra[RAW].tolist() == before.fused_logits.tolist()
    assert after.fused_scores == pytest.approx(expit(form(before.fused_logits)), abs=1e-6)
    called = before.fused_scores > 0.4
    moved = after.fused_scores > one.threshold(0.4)
    if isinstance(form, Isotonic):  # which merges scores
        assert (moved <= called).all()
    else:
        assert moved.tolist() == called.tolist()
        assert auroc(after.fused_scores.astype(float), after.fused_labels) == pytest.approx(
            auroc(before.fused_scores.astype(float), before.fused_labels), abs=1e-4
        )
    assert one.threshold(0.0) <= one.threshold(1.0) <= 1


@pytest.mark.parametrize("method", ["shift", "isotonic"])
def test_identical_images_as_real_and_generated_stay_indistinguishable(method: str) -> None:
    scores = np.random.default_rng(0).normal(0, 2, 60)
    truth = np.repeat([0, 1], 60)
    calibrated = fit(method, np.tile(scores, 2), truth)(np.tile(scores, 2))
    assert auroc(calibrated, truth) == 0.5


def test_a_calibration_is_of_one_detector_alone() -> None:
    one = Stored("shift", FORMS[0], "weights", "options")
    one.refuse_other("weights", "options", "a.ckpt")
    with pytest.raises(CheckpointError, match="another checkpoint"):
        one.refuse_other("others", "options", "a.ckpt")
    with pytest.raises(CheckpointError, match="other options"):
        one.refuse_other("weights", "others", "a.ckpt")


def test_the_debiased_error_is_none_for_calibrated_scores_and_the_true_one_for_others() -> None:
    """Kumar, Liang & Ma 2019: the plug-in estimate of few images a bin is mostly noise, the debiased one is not."""
    rng = np.random.default_rng(1)
    squares, off = [], []
    for _ in range(60):
        p = rng.uniform(0, 1, 150)
        squares.append(debiased_error(p, (rng.uniform(size=150) < p).astype(np.int64)) ** 2)
        low = np.full(150, 0.3)
        off.append(debiased_error(low, (rng.uniform(size=150) < 0.5).astype(np.int64)) ** 2)
    plug_in = 1 / 150 * 15 * (1 / 6)  # of 15 bins: noise p (1 - p) / 10, whose mean is 1/60
    assert np.mean(squares) < plug_in / 2
    assert np.mean(off) == pytest.approx(0.2**2, abs=0.003)
    assert debiased_error(np.array([0.2, 0.2]), np.array([0, 1])) == 0


def test_the_debiased_error_has_two_images_in_every_bin_of_few() -> None:
    """One image shows no noise: with 15 bins, all of the noise of 20 images would count as error."""
    p = np.linspace(0.05, 0.95, 20)
    labels = np.arange(20) % 2  # of each pair of neighbours one is generated: a noise of 1/4
    middles = (p[::2] + p[1::2]) / 2
    assert debiased_error(p, labels) == pytest.approx(np.sqrt(max(0, (np.square(middles - 0.5) - 0.25).mean())))
    wrong = np.repeat([1, 0], 10)
    assert debiased_error(p, wrong) == pytest.approx(np.sqrt(np.square(middles - np.repeat([1, 0], 5)).mean()))
    rng = np.random.default_rng(3)
    p = rng.uniform(0, 1, (400, 20))
    squares = [debiased_error(one, (rng.uniform(size=20) < one).astype(np.int64)) ** 2 for one in p]
    assert np.mean(squares) < 0.03  # what cutting off at 0 leaves; 0.09 with bins of one image
    tied = np.array([0.3] * 9 + [0.9]), np.array([0] * 6 + [1] * 3 + [0])
    assert debiased_error(*tied) == pytest.approx(0)  # one image of 0.9 alone proves nothing


def test_a_band_is_where_a_call_may_be_wrong() -> None:
    rng = np.random.default_rng(2)
    truth = np.arange(600) % 2
    logits = rng.normal(np.where(truth == 1, 1.5, -1.5), 1.5)
    wide, narrow = (undecidable("platt", dump(logits, truth), sure, Bootstrap(100)) for sure in (0.9, 0.5))
    assert wide.low < narrow.low < 0.5 < wide.high
    assert -0.5 < narrow.low < narrow.high < 0.5
    x = np.array([wide.low, 0.0, wide.high])
    assert wide.unsure(x, x > 0).tolist() == [False, True, False]
    assert wide.unsure(x, x <= 0).tolist() == [True, True, True]  # called otherwise
    random = undecidable("platt", dump(rng.normal(0, 1, 100), np.arange(100) % 2), 0.8, Bootstrap(50))
    assert random.unsure(np.array([-2.0, 2.0]), np.array([False, True])).all()
    with pytest.raises(ConfigError, match="sure"):
        undecidable("platt", dump(logits, truth), 0.4, Bootstrap(50))


def test_reliability_has_clustered_intervals() -> None:
    rng = np.random.default_rng(3)
    truth = np.repeat(np.arange(80) % 2, 5)
    groups = [str(k // 5) for k in range(400)]
    logits = np.repeat(rng.normal(np.where(truth[::5] == 1, 0.5, -0.5), 1), 5)
    alone, together = dump(logits, truth), dump(logits, truth, groups)
    p = expit(logits)
    curves = [reliability_curve(p, one, 4, Bootstrap(200)) for one in (alone, together)]
    widths = [np.mean([one["high"] - one["low"] for one in curve]) for curve in curves]
    assert widths[1] > widths[0]
    assert all(one["low"] <= one["share"] <= one["high"] for curve in curves for one in curve)
    assert sum(one["images"] for one in curves[0]) == 400
    assert to_halve(together) == (80, 320)


@pytest.mark.parametrize("method", ["beta", "isotonic"])
def test_figures_improve_where_scores_were_too_sure(method: str) -> None:
    rng = np.random.default_rng(4)
    truth = np.arange(400) % 2
    predictions = dump(rng.normal(np.where(truth == 1, 4.0, -4.0), 6), truth)
    calibrated, shares = cross_fitted(method, predictions, 0)
    found = figures(predictions, calibrated, shares, Bootstrap(20))
    for name in ("nll", "brier", "ece", "ece_debiased", "cllr"):
        assert found["after"][name][0] < found["before"][name][0]
    assert found["order"]["min_cllr"][0] <= found["after"]["cllr"][0]
    again = cross_fitted(method, replace(predictions), 0)
    assert again[0].tolist() == calibrated.tolist()
