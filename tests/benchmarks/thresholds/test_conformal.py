"""Conformal thresholds: the bound on 2,000 draws, p-values, too few photographs, and Bayes' rule."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.thresholds.columns import as_json, choose_conformal, load
from benchmarks.thresholds.conformal import (
    calibration,
    conformal_threshold,
    expected_precision,
    p_values,
    posterior,
)
from contracts.errors import ConfigError, DataError

DRAWS = 2000


@pytest.mark.parametrize(
    ("photographs", "rate", "decimals"), [(99, 0.01, 8), (50, 0.1, 8), (23, 0.05, 8), (50, 0.1, 1)]
)
def test_the_bound_holds_on_2000_draws(photographs: int, rate: float, decimals: int) -> None:
    """Photographs of one to four similar images; the chance of a false alarm on a new one, over draws of both."""
    rng = np.random.default_rng(3)
    alarms = small = 0.0
    for _ in range(DRAWS):
        count = rng.integers(1, 5, photographs + 1)
        group = np.repeat(np.arange(photographs + 1), count)
        scores = np.round(rng.normal(size=photographs + 1)[group] + 0.3 * rng.normal(size=len(group)), decimals)
        known = group < photographs
        units = calibration(scores[known], [str(one) for one in group[known]])
        new = scores[~known].astype(np.float32)
        alarms += bool((new > np.float32(conformal_threshold(units, rate))).any())
        small += p_values(units, new).min() <= rate
    slack = 3 * np.sqrt(rate * (1 - rate) / DRAWS)
    assert alarms / DRAWS <= rate + slack
    assert small / DRAWS <= rate + slack
    if decimals == 8:  # without ties the bound is nearly reached
        reached = np.floor(rate * (photographs + 1) + 1e-9) / (photographs + 1)
        assert alarms / DRAWS >= reached - slack


@given(st.lists(st.integers(-20, 20), min_size=1, max_size=40), st.floats(0.03, 0.9), st.integers(-25, 25))
@settings(deadline=None)
def test_above_the_threshold_means_a_small_p_value(values: list[int], rate: float, score: int) -> None:
    units = calibration(np.array(values, float), [""] * len(values))
    try:
        threshold = conformal_threshold(units, rate)
    except DataError:
        assert (len(values) + 1) * rate < 1 + 1e-6
        return
    (p,) = p_values(units, np.array([float(score)]))
    assert p == (1 + sum(value >= score for value in values)) / (len(values) + 1)
    assert (score > threshold) == (p <= rate + 1e-9)


def test_a_photograph_counts_once_and_each_source_has_its_own_bound() -> None:
    scores = np.array([0.1, 0.9, 0.2, 0.3, 0.8])
    units = calibration(scores, ["a", "a", "", "", "b"], ["x", "x", "x", "y", "y"])
    assert {name: np.round(v, 6).tolist() for name, v in units.items()} == {"x": [0.2, 0.9], "y": [0.3, 0.8]}
    assert conformal_threshold(units, 0.4) == pytest.approx(0.9)
    assert p_values(units, np.array([0.85, 0.95])).tolist() == pytest.approx([2 / 3, 1 / 3])


def test_too_few_photographs_are_refused_with_the_number_needed() -> None:
    units = calibration(np.arange(98.0), [""] * 98)
    with pytest.raises(DataError, match=r"98 real photographs cannot bound .* at 0.01, only at 1/99") as caught:
        conformal_threshold(units, 0.01)
    assert "at least 99 real photographs" in str(caught.value)
    assert conformal_threshold(calibration(np.arange(99.0), [""] * 99), 0.01) == 98
    for rate in (0, 1, -0.1):
        with pytest.raises(ConfigError, match=r"threshold\.fpr"):
            conformal_threshold(units, rate)
    with pytest.raises(DataError, match="there is no real image"):
        conformal_threshold({}, 0.1)


def test_scores_of_real_images_may_be_the_higher_ones() -> None:
    scores, labels = np.array([5.0, 6, 7, 8, 1, 2]), np.array([0, 0, 0, 0, 1, 1])
    groups = np.array([""] * 6)
    found = choose_conformal("energy", (scores, labels, groups, None), False, 0.2)
    assert (found.value, found.fpr, found.tpr, found.auroc) == (5, 0, 1, 1)
    assert found.p_values(np.array([5.5, 4.0])).tolist() == pytest.approx([2 / 5, 1 / 5])


def test_bayes() -> None:
    logits = np.array([-3.0, 0, 2])
    assert posterior(logits, 0.5) == pytest.approx(1 / (1 + np.exp(-logits)))
    odds = np.exp(logits) * 0.01 / 0.99
    assert posterior(logits, 0.01) == pytest.approx(odds / (1 + odds))
    odds = np.exp(logits) * (0.01 / 0.99) / (0.2 / 0.8)
    assert posterior(logits, 0.01, share=0.2) == pytest.approx(odds / (1 + odds))
    assert expected_precision(0.9, 0.01, 0.01) == pytest.approx(0.009 / (0.009 + 0.0099))
    assert np.isnan(expected_precision(0, 0, 0.5))
    with pytest.raises(ConfigError, match="prevalence"):
        posterior(logits, 0)


def test_infinite_scores_tie_at_the_ends_and_nan_has_no_p_value(tmp_path: Path) -> None:
    real = np.array([0.0, 1, 2, np.inf, np.inf, -np.inf])
    scores, labels = np.append(real, [np.inf, 1e300, 1.5]), np.array([0] * 6 + [1] * 3)
    found = choose_conformal("x", (scores, labels, np.array([""] * 9), None), True, 0.3)
    (tmp_path / "t.json").write_text(as_json(found, [found], {}))
    for rule in (found, load(tmp_path / "t.json")):  # JSON has no infinity
        assert rule.called(np.array([np.inf, 3, np.nan])).tolist() == [False, False, False]
        values = rule.p_values(np.array([np.inf, 1.5, -np.inf, np.nan]))
        assert values == pytest.approx([3 / 7, 4 / 7, 1, np.nan], nan_ok=True)
    assert (found.tpr, found.fpr) == (0, 0)


def test_scores_of_bytes_may_mean_generated_where_they_are_low() -> None:
    scores = np.array([200, 210, 220, 230, 10, 20], np.uint8)
    found = choose_conformal("byte", (scores, np.array([0] * 4 + [1] * 2), np.array([""] * 6), None), False, 0.2)
    assert found.called(scores).tolist() == [False] * 4 + [True] * 2
    assert found.p_values(scores).tolist() == pytest.approx([2 / 5, 3 / 5, 4 / 5, 1, 1 / 5, 1 / 5])
