import json
from fractions import Fraction
from math import isnan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from synthetic_predictions import draw

from benchmarks.evaluation import evaluate, subsets
from benchmarks.metrics import METRICS, UndefinedMetricError, choose, counts, reliability
from benchmarks.predictions import from_crops
from benchmarks.ranked import Ranked
from contracts.errors import ConfigError


@st.composite
def scored(draw_from):
    """Scores with many ties, both classes present."""
    n = draw_from(st.integers(2, 60))
    levels = draw_from(st.integers(1, 20))
    scores = np.array(draw_from(st.lists(st.integers(0, levels), min_size=n, max_size=n)), dtype=np.float32) / levels
    labels = np.array(draw_from(st.lists(st.integers(0, 1), min_size=n, max_size=n)))
    labels[:2] = 0, 1
    return scores.astype(np.float64), labels


REFERENCE = {
    "auroc": lambda s, y, _: sk.roc_auc_score(y, s),
    "average_precision": lambda s, y, _: sk.average_precision_score(y, s),
    "accuracy": lambda s, y, t: sk.accuracy_score(y, s > t),
    "balanced_accuracy": lambda s, y, t: sk.balanced_accuracy_score(y, s > t),
    "precision": lambda s, y, t: sk.precision_score(y, s > t),
    "recall": lambda s, y, t: sk.recall_score(y, s > t),
    "specificity": lambda s, y, t: sk.recall_score(y, s > t, pos_label=0),
    "f1": lambda s, y, t: sk.f1_score(y, s > t),
    "brier": lambda s, y, _: sk.brier_score_loss(y, s),
    "tpr_at_fpr_1": lambda s, y, _: _tpr_at(y, s, 0.01),
    "tpr_at_fpr_5": lambda s, y, _: _tpr_at(y, s, 0.05),
}


def _tpr_at(labels, scores, limit):
    fpr, tpr, _ = sk.roc_curve(labels, scores, drop_intermediate=False)
    return tpr[fpr <= limit].max()


@settings(max_examples=60)
@given(scored(), st.sampled_from([0.0, 0.3, 0.5, 1.0]))
def test_every_metric_agrees_with_scikit_learn(data, threshold):
    scores, labels = data
    assert REFERENCE.keys() == METRICS.keys() - {"ece", "aurc"}
    for name, reference in REFERENCE.items():
        if name == "precision" and not (scores > threshold).any():
            with pytest.raises(UndefinedMetricError, match="no image was called generated"):
                METRICS[name](scores, labels, threshold)
        else:
            assert METRICS[name](scores, labels, threshold) == pytest.approx(
                reference(scores, labels, threshold), abs=1e-12
            )


@settings(max_examples=40)
@given(scored(), st.randoms(use_true_random=False))
def test_the_order_of_images_changes_nothing(data, random):
    scores, labels = data
    order = list(range(len(labels)))
    random.shuffle(order)
    for name, spec in METRICS.items():
        if name == "precision":
            continue
        assert spec(scores, labels, 0.4) == pytest.approx(spec(scores[order], labels[order], 0.4), abs=1e-12), name


def test_the_area_under_the_risk_coverage_curve():
    area = METRICS["aurc"]
    labels = np.array([1, 1, 0, 0])
    assert area(np.array([0.9, 0.8, 0.2, 0.1]), labels, 0.5) == 0
    assert area(np.array([0.1, 0.2, 0.8, 0.9]), labels, 0.5) == 1
    assert area(np.full(4, 0.5), labels, 0.5) == 0.5  # confidence says nothing: the error rate
    # one error among four, as the least and as the most confident image: mean of (0, 0, 0, 1/4), of (1, 1/2, 1/3, 1/4)
    assert area(np.array([0.9, 0.8, 0.2, 0.6]), labels, 0.5) == pytest.approx(1 / 16)
    assert area(np.array([0.9, 0.8, 0.2, 0.99]), labels, 0.5) == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4)
    # two images of equal confidence, one of them wrong, count as in either order
    assert area(np.array([0.9, 0.9]), np.array([1, 0]), 0.5) == 0.5
    assert area(np.array([0.31, 0.02]), np.array([1, 0]), 0.3) == 0
    # a calibrated uniform score: risk at coverage c is c / 4, whose mean is 1 / 8
    scores = (np.arange(4000) + 0.5) / 4000
    drawn = (np.random.default_rng(0).uniform(size=4000) < scores).astype(int)
    assert area(scores, drawn, 0.5) == pytest.approx(1 / 8, abs=0.01)
    for extreme in (0.0, 1.0):
        assert 0 <= area(np.array([0.0, 1.0, 0.5]), np.array([0, 1, 1]), extreme) <= 1


def test_closed_forms():
    scores, labels = np.array([0.1, 0.4, 0.4, 0.9]), np.array([0, 0, 1, 1])
    assert METRICS["auroc"](scores, labels, 0.5) == 3.5 / 4
    assert METRICS["auroc"](1 - scores, labels, 0.5) == 0.5 / 4
    assert METRICS["auroc"](np.full(4, 0.3), labels, 0.5) == 0.5
    assert counts(np.array([0.5, 0.5]), np.array([0, 1]), 0.5) == (0, 1, 0, 1), "0.5 itself is called real"
    n = 1500
    honest, drawn = np.repeat(np.linspace(0.1, 0.9, 15), 100), np.zeros(n, int)
    for b, p in enumerate(np.linspace(0.1, 0.9, 15)):
        drawn[b * 100 : b * 100 + round(p * 100)] = 1
    assert METRICS["ece"](honest, drawn, 0.5) < 0.005
    assert METRICS["ece"](np.ones(10), np.zeros(10, int), 0.5) == 1


def test_bins_hold_equal_mass_and_ties_stay_together():
    size, confidence, frequency = reliability(np.linspace(0, 1, 300), np.arange(300) % 2)
    assert size.tolist() == [20.0] * 15
    assert np.allclose(frequency, 0.5)
    assert (np.diff(confidence) > 0).all()
    size, confidence, frequency = reliability(np.array([0.2] * 99 + [0.8]), np.array([0] * 99 + [1]))
    assert (size.tolist(), confidence.round(6).tolist(), frequency.tolist()) == ([99, 1], [0.2, 0.8], [0, 1])


@pytest.mark.parametrize("n", [7, 16, 22, 29, 44, 97])
def test_bins_of_equal_mass_where_15_does_not_divide_the_number_of_images(n):
    rng = np.random.default_rng(n)
    scores, labels = rng.permutation(np.linspace(0.1, 0.8, n) ** 2), rng.integers(0, 2, n)
    bins = [[] for _ in range(15)]
    for rank, image in enumerate(np.argsort(scores)):  # a bin's share of the ranks is 1/15, wherever it begins
        bins[Fraction(2 * rank + 1, 2 * n) // Fraction(1, 15)].append(image)
    size, confidence, frequency = reliability(scores, labels)
    assert size.tolist() == [len(images) for images in bins if images]
    assert {len(images) for images in bins} <= {n // 15, n // 15 + 1}
    assert np.allclose(confidence, [scores[images].mean() for images in bins if images], atol=1e-14)
    assert frequency.tolist() == [labels[images].mean() for images in bins if images]
    expected = sum(abs(scores[images].sum() - labels[images].sum()) for images in bins) / n
    assert METRICS["ece"](scores, labels, 0.5) == pytest.approx(expected, abs=1e-14)


@given(scored())
def test_bins_and_ece_of_images_sorted_before_are_the_same_to_the_last_bit(images):
    order = np.argsort(-images[0], kind="stable")
    scores, labels = images[0][order], images[1][order]
    sorted_before, unsorted = Ranked(scores, labels, sort=False), Ranked(scores, labels)
    ends = np.cumsum(np.bincount(unsorted.bins(15), minlength=15)[::-1])
    assert sorted_before.bin_ends(15).tolist() == ends.tolist()
    assert METRICS["ece"].of(sorted_before, 0.5) == METRICS["ece"].of(unsorted, 0.5)


def test_one_class_alone_gives_what_exists_and_a_reason_for_the_rest():
    real = from_crops(
        np.array([-1.0, 2.0], np.float32), np.arange(2), np.zeros(2, int), np.zeros(2, int), ["a", "b"],
        generator_id_to_name=[""],
    )  # fmt: skip
    found = {(r.metric, r.at): r for r in evaluate(real)}
    assert found["specificity", "0.5"].value == found["accuracy", "0.5"].value == 0.5
    assert isnan(found["auroc", ""].value)
    assert found["auroc", ""].reason == found["recall", "0.5"].reason == "no generated images"
    assert found["auroc", ""].as_json()["value"] is None
    assert json.dumps([r.as_json() for r in found.values()], allow_nan=False)


def test_each_generator_is_held_against_all_real_images_and_its_paired_ones():
    p = draw(images=200)
    labels, made = p.fused_labels, p.fused_generator_ids
    pairing = np.where(labels == 0, np.arange(200) % 3 + 1, -1)
    p = draw(images=200, pairing=pairing)
    found = {r.key: r for r in evaluate(p)}
    scores = p.fused_scores.astype(np.float64)
    for g in (1, 2, 3):
        name = str(p.generator_id_to_name[g])
        fake = (labels == 1) & (made == g)
        for kind, rows in (("generator", fake | (labels == 0)), ("paired", fake | (pairing == g))):
            assert found[kind, name, "auroc", ""].value == pytest.approx(
                sk.roc_auc_score(labels[rows], scores[rows]), abs=1e-12
            )
            assert found[kind, name, "auroc", ""].generated == fake.sum()
    seen = np.isin(made, (0, 1, 2))
    assert found["seen", "", "auroc", ""].value == pytest.approx(
        sk.roc_auc_score(labels[seen], scores[seen]), abs=1e-12
    )
    assert found["unseen", "", "recall", "0.5"].value == found["generator", "gamma-10", "recall", "0.5"].value
    of_each = [found["generator", n, "auroc", ""].value for n in ("alpha", "beta_2", "gamma-10")]
    assert found["macro", "", "auroc", ""].value == pytest.approx(np.mean(of_each), abs=1e-15)
    assert found["pooled", "", "accuracy", "validation"].threshold == 0.4


def test_unknown_labels_are_left_out():
    p = draw(images=60)
    unknown = p.fused_labels.copy()
    unknown[:20] = -1
    q = from_crops(
        p.fused_logits, np.arange(60), unknown, np.where(unknown == 1, p.fused_generator_ids, 0), p.fused_ids,
        generator_id_to_name=p.generator_id_to_name,
    )  # fmt: skip
    found = {r.key: r.value for r in evaluate(q) if not isnan(r.value)}
    rest = p.select(np.arange(20, 60)).with_provenance(threshold=None, seen_generators=None)
    expected = {r.key: r.value for r in evaluate(rest) if not isnan(r.value)}
    assert found == expected
    assert [s.kind for s in subsets(q)].count("pooled") == 1


def test_a_metric_of_ones_own_is_one_function():
    found = {r.key: r for r in evaluate(draw(), metrics={"share": lambda s, _, t: float((s > t).mean())})}
    assert found["pooled", "", "share", "0.5"].value == (draw().fused_scores > 0.5).mean()
    assert ("pooled", "", "auroc", "") in found
    with pytest.raises(ConfigError, match="did you mean 'auroc'"):
        choose(["aurok"])
    with pytest.raises(ConfigError, match="exists already"):
        choose({"auroc": lambda *_: 0.0})


@pytest.mark.golden
def test_figures_of_ai_genbench(golden_path):
    expected = json.loads(golden_path("aigenbench_metrics/metrics.json").read_text())["cases"]
    arrays = np.load(golden_path("aigenbench_metrics/predictions.npz"), allow_pickle=False)
    theirs = {"roc_auc": "auroc", "tnr": "specificity"}
    compared = 0
    for case, content in expected.items():
        labels = arrays[f"{case}/fused_labels"]
        for window, mechanisms in content["offline"].items():
            scores = arrays[f"{case}/{window}/fused_scores"]
            if f"{case}/{window}/crop_scores" in arrays:  # their evaluator fuses the crops anew
                image = arrays[f"{case}/{window}/crop_image_row"]
                sums = np.bincount(image, arrays[f"{case}/{window}/crop_scores"], labels.size)
                scores = (sums / np.bincount(image, minlength=labels.size)).astype(np.float32)
            scores = scores.astype(np.float64)
            for name, value in mechanisms["all"].items():
                spec = METRICS.get(theirs.get(name, name))
                if spec is None or (name == "precision" and not (scores > 0.5).any()):
                    continue
                assert spec(scores, labels, 0.5) == pytest.approx(value, abs=1e-12), (case, window, name)
                compared += 1
    assert compared


@pytest.mark.parametrize("decimals", [None, 1])
def test_metrics_that_share_one_order_equal_those_of_arrays(decimals):
    p = draw(images=120, decimals=decimals)
    scores, labels = p.fused_scores.astype(np.float64), p.fused_labels
    images = {(s.kind, s.name): s.images for s in subsets(p)}
    measured = [r for r in evaluate(p) if r.kind != "macro" and not r.reason]
    assert {r.metric for r in measured} == METRICS.keys()
    for r in measured:
        own = images[r.kind, r.generator]
        plain = METRICS[r.metric](scores[own], labels[own], r.threshold)
        if r.metric in ("average_precision", "brier", "ece", "aurc"):  # sums in another order
            assert r.value == pytest.approx(plain, abs=1e-14), r.key
        else:
            assert r.value == plain, r.key
