"""Thresholds, decision rules and the classifier: closed forms and guarantees."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from detectors.tracer.deciding.decisions import with_frequencies
from detectors.tracer.deciding.linear_classifier import fit_linear_classifier
from detectors.tracer.deciding.thresholds import (
    family_features,
    gaussian_threshold,
    percentile_threshold,
    supervised_threshold,
    threshold_rule,
)

rows = hnp.arrays(np.float64, st.integers(1, 12), elements=st.floats(0.01, 10))


def test_percentile_and_gaussian_closed_forms() -> None:
    assert percentile_threshold(np.arange(101.0), 0.95) == 95.0
    logs = np.array([0.0, 1.0, 2.0])  # mean 1, deviation 1
    assert gaussian_threshold(np.exp(logs), 2.0) == pytest.approx(np.exp(3.0))


@settings(max_examples=60)
@given(rows, rows, st.sampled_from(["youden", "accuracy", "fpr"]))
def test_no_threshold_beats_the_supervised_one(own: np.ndarray, other: np.ndarray, criterion: str) -> None:
    max_fpr = 0.2

    def value(tau: float) -> float:
        tpr, fpr = float((own <= tau).mean()), float((other <= tau).mean())
        if criterion == "youden":
            return tpr - fpr
        if criterion == "accuracy":
            return float((own <= tau).sum() + (other > tau).sum())
        return tpr if fpr <= max_fpr else -1.0

    tau = supervised_threshold(own, other, criterion, max_fpr)  # type: ignore[arg-type]
    scores = np.unique(np.concatenate([own, other]))
    every = [-1.0, *scores, *((scores[1:] + scores[:-1]) / 2)]
    assert value(tau) >= max(value(t) for t in every) - 1e-12


def test_supervised_threshold_lies_between_separable_scores() -> None:
    assert supervised_threshold(np.array([1.0, 2.0]), np.array([4.0, 5.0])) == 3.0


def test_bad_scores_are_refused() -> None:
    with pytest.raises(ValueError, match="share must be"):
        percentile_threshold(np.ones(3), 95)
    with pytest.raises(ValueError, match="two positive scores"):
        gaussian_threshold(np.array([0.0, 1.0]))
    with pytest.raises(ValueError, match="own: needs"):
        percentile_threshold(np.array([np.nan]))
    with pytest.raises(ValueError, match="other: needs"):
        supervised_threshold(np.ones(1), np.array([]))
    with pytest.raises(ValueError, match="unknown criterion"):
        supervised_threshold(np.ones(1), np.ones(1), "best")  # type: ignore[arg-type]


def test_published_rule_on_all_four_outcomes() -> None:
    scores = {"var": np.array([1.0, 9.0, 1.0, 9.0, 1.0]), "rar": np.array([9.0, 1.0, 1.0, 9.0, 1.0])}
    losses = {"var": np.array([5.0, 5.0, 5.0, 5.0, 1.0]), "rar": np.array([1.0, 1.0, 3.0, 1.0, 2.0])}
    got = threshold_rule(scores, {"var": 2.0, "rar": 2.0}, losses, "outlier")
    assert got.tolist() == ["var", "rar", "rar", "outlier", "var"]
    with pytest.raises(ValueError, match="the same families"):
        threshold_rule(scores, {"var": 2.0}, losses, "outlier")


def clusters(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.array(["var"] * 30 + ["rar"] * 20 + ["outlier"] * 60)
    centre = {"var": (-2.0, 0.0), "rar": (2.0, 0.0), "outlier": (0.0, 300.0)}
    return np.array([centre[name] for name in y]) + rng.normal(size=(len(y), 2)) * [0.3, 30.0], y


def test_classifier_learns() -> None:
    x, y = clusters(0)
    model = fit_linear_classifier(x, y, ["a", "b"], classes=("var", "rar", "outlier"))
    fresh, truth = clusters(1)
    assert (model.classes[model.log_proba(fresh).argmax(1)] == truth).mean() > 0.97
    np.testing.assert_allclose(np.exp(model.log_proba(fresh)).sum(1), 1.0)
    overwhelming = with_frequencies(model.log_proba(fresh), {"var": 1e-12, "rar": 1e-12, "outlier": 1.0})
    np.testing.assert_allclose(np.exp(overwhelming).sum(1), 1.0)
    assert (overwhelming.argmax(1) == 2).sum() > (truth == "outlier").sum()
    with pytest.raises(ValueError, match="rows of 2 features"):
        model.log_proba(fresh[:, :1])


def test_classifier_agrees_with_scikit_learn_for_two_and_three_classes() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, y = clusters(0)
    for keep in (y != "rar", y != ""):
        reference = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=2000))
        expected = reference.fit(x[keep], y[keep]).predict_proba(x)
        got = np.exp(fit_linear_classifier(x[keep], y[keep], ["a", "b"]).log_proba(x))
        np.testing.assert_allclose(got, expected, atol=1e-6)


def test_classifier_refuses_bad_rows() -> None:
    x, y = clusters(0)
    x[0, 1] = np.inf
    with pytest.raises(ValueError, match="not finite: b"):
        fit_linear_classifier(x, y, ["a", "b"])
    with pytest.raises(ValueError, match="disagree on: llamagen"):
        fit_linear_classifier(x[1:], y[1:], ["a", "b"], classes=("var", "rar", "outlier", "llamagen"))
    with pytest.raises(ValueError, match="do not match"):
        fit_linear_classifier(x, y, ["a"])


def test_constant_features_do_no_harm() -> None:
    x, y = clusters(0)
    x[:, 1] = 5.0
    assert np.isfinite(fit_linear_classifier(x, y, ["a", "b"]).log_proba(x)).all()


def test_family_features_are_log_losses() -> None:
    quant, enc = {"var": np.array([1.0, np.e]), "rar": np.array([1.0, 1.0])}, {"var": np.ones(2), "rar": np.zeros(2)}
    got = family_features(quant, enc)
    np.testing.assert_allclose(got[:, 0], [0.0, 1.0])
    assert got.shape == (2, 4)
    assert np.isfinite(got).all()
