from dataclasses import replace
from math import isnan

import numpy as np
import pytest
from synthetic_predictions import draw

from benchmarks.evaluation import Subset, evaluate, measure, subsets
from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.intervals.clusters import clusters
from benchmarks.intervals.ends import bounded, centred, interval_of
from benchmarks.metrics import METRICS
from contracts.errors import ConfigError


@pytest.mark.parametrize("decimals", [None, 1])
def test_a_draw_equals_measuring_repeated_images(decimals):
    p = draw(images=90, decimals=decimals)
    p = draw(images=90, decimals=decimals, pairing=np.where(p.fused_labels == 0, np.arange(90) % 3 + 1, -1))
    results = evaluate(p)
    bootstrap = Bootstrap(resamples=20)
    drawn = bootstrap.draw(p, results)
    scores = p.fused_scores.astype(np.float64)
    compared = 0
    for index, weights in enumerate(bootstrap.weights(p)):
        for subset in subsets(p):
            repeated = np.repeat(subset.images, weights[subset.images].astype(int))
            again = Subset(subset.kind, subset.name, repeated)
            for r in measure(again, scores, p.fused_labels, {"0.5": 0.5, "validation": 0.4}, METRICS):
                if r.metric in ("ece", "aurc") and r.kind != "pooled":
                    continue
                assert drawn[r.key][index] == pytest.approx(r.value, abs=1e-10, nan_ok=True), (index, r.key)
                compared += 1
    assert compared > 2000


def test_photographs_are_resampled_whole_and_classes_keep_their_size():
    p = draw(images=60, group=[f"photo{i // 4}" for i in range(60)])
    p_alone = draw(images=60, group=[""] * 60)
    for weights in Bootstrap(resamples=20).weights(p):
        assert all(len(set(weights[i : i + 4])) == 1 for i in range(0, 60, 4))
    for weights in Bootstrap(resamples=20).weights(p_alone):
        assert weights[p_alone.fused_labels == 0].sum() == weights[p_alone.fused_labels == 1].sum() == 30
    assert np.unique(clusters(p)).size == 15
    assert np.unique(clusters(p_alone)).size == 60


def test_repeating_every_image_widens_nothing_when_copies_share_a_photograph():
    one = draw(images=80, group=[f"p{i}" for i in range(80)])
    copies = np.repeat(np.arange(80), 5)
    many = draw(images=400)
    from benchmarks.predictions import from_crops

    def repeated(group):
        return from_crops(
            one.fused_logits[copies], np.arange(400), one.fused_labels[copies], one.fused_generator_ids[copies],
            many.fused_ids, generator_id_to_name=one.generator_id_to_name, group=group,
        )  # fmt: skip

    def width(p):
        found = Bootstrap(resamples=400)(p, evaluate(p, metrics=["auroc"]), ["auroc"])
        return next(r.high - r.low for r in found if r.kind == "pooled")

    clustered, naive = width(repeated(one.group[copies])), width(repeated([""] * 400))
    assert clustered == pytest.approx(width(one), rel=0.15)
    assert naive < 0.6 * clustered


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    truth = 0.5 * (1 + float(np.sign(2))) * 0.8618  # Φ(2 / (1.3 √2)): logits N(±1, 1.3)
    hits = 0
    for seed in range(60):
        p = draw(seed=seed, images=100, group=[""] * 100)
        found = Bootstrap(resamples=200, seed=seed)(p, evaluate(p, metrics=["auroc"]), ["auroc"])
        pooled = next(r for r in found if r.kind == "pooled")
        hits += pooled.low <= truth <= pooled.high
    assert 51 <= hits <= 60


def test_seeded_and_ordered():
    p = draw()
    results = evaluate(p)
    first, again = Bootstrap(resamples=100)(p, results), Bootstrap(resamples=100)(p, results)
    assert [repr(r) for r in first] == [repr(r) for r in again]
    assert repr(Bootstrap(resamples=100, seed=1)(p, results)[0]) != repr(first[0])
    for r in first:
        assert isnan(r.low) or r.low <= r.high
    bounded = {r.key for r in first if not isnan(r.low)}
    assert {r.key for r in results if r.metric not in ("ece", "aurc") and not isnan(r.value)} <= bounded
    assert Bootstrap(resamples=100).as_json(p) == {
        "resamples": 100,
        "seed": 0,
        "level": 0.95,
        "clusters": 64,
        "clustered": True,
    }


def test_metrics_of_ones_own_are_resampled_too():
    p, own = draw(), {"share": lambda s, _, t: float((s > t).mean())}
    found = {r.key: r for r in Bootstrap(resamples=40)(p, evaluate(p, metrics=own), own)}
    share = found["pooled", "", "share", "0.5"]
    assert share.low < share.value < share.high
    assert not isnan(found["macro", "", "share", "0.5"].low)


def test_absent_classes_have_no_interval_and_nonsense_is_refused():
    p = draw()
    real = p.select(p.fused_labels == 0)
    found = Bootstrap(resamples=20)(real, evaluate(real))
    assert all(isnan(r.low) for r in found if r.metric in ("auroc", "recall"))
    assert any(not isnan(r.low) for r in found if r.metric == "specificity")
    with pytest.raises(ConfigError, match="resamples=3"):
        Bootstrap(resamples=3)


def test_the_interval_of_a_calibration_error_holds_it():
    bootstrap = Bootstrap(resamples=200)
    missed = 0
    for seed in range(5):
        p = draw(images=120, seed=seed)
        (result,) = (r for r in evaluate(p, metrics=["ece"]) if r.kind == "pooled")
        draws = bootstrap.draw(p, [result], ["ece"])[result.key]
        found = bounded(result, draws, bootstrap.level)
        assert 0 <= found.low < result.value < found.high
        low, high = interval_of(draws, bootstrap.level)
        assert found.high - found.low <= high - low + 1e-12
        missed += low > result.value
    assert missed, "resampling inflates none of these, so that the test shows nothing"


def test_centred_draws_have_the_figure_as_their_mean_and_no_negative_values():
    moved = centred(np.array([0.3, 0.5, np.nan, 0.4]), 0.2)
    np.testing.assert_allclose(moved, [0.1, 0.3, np.nan, 0.2])
    np.testing.assert_allclose(centred(np.array([0.1, 0.5]), 0.1), [0, 0.3])
    assert np.isnan(centred(np.full(3, np.nan), 0.1)).all()


def test_there_is_no_interval_for_fewer_photographs_than_its_coverage_needs():
    assert [Bootstrap(level=level).least for level in (0.5, 0.9, 0.95, 0.99)] == [2, 5, 6, 8]
    for photographs in (1, 5, 6):
        p = draw(images=60)
        group = [f"real{i % photographs}" if label == 0 else f"p{i}" for i, label in enumerate(p.fused_labels)]
        p = replace(p, group=np.array(group), pairing=np.where(p.fused_labels == 0, np.arange(60) % 3 + 1, -1))
        bootstrap = Bootstrap(resamples=50)
        found = {r.key: r for r in bootstrap(p, evaluate(p))}
        assert bootstrap.enough(p) == (photographs == 6)
        for kind in ("pooled", "macro", "seen"):
            for metric, at in (("auroc", ""), ("brier", ""), ("accuracy", "0.5"), ("specificity", "0.5")):
                assert isnan(found[kind, "", metric, at].low) == (photographs < 6), (photographs, kind, metric)
            assert not isnan(found[kind, "", "recall", "0.5"].low)  # real photographs do not matter to it


def test_a_generator_of_few_images_has_no_interval_but_the_mean_over_generators_has():
    p = draw(images=60)
    fakes = np.flatnonzero(p.fused_labels == 1)
    made = np.where(p.fused_labels == 1, 1, 0)
    made[fakes[:5]] = 2
    p = replace(p, fused_generator_ids=made, crop_generator_ids=made, group=np.full(60, ""))
    found = {
        r.key: r for r in Bootstrap(resamples=50)(p, evaluate(p, metrics=["auroc", "recall"]), ["auroc", "recall"])
    }
    for metric, at in (("auroc", ""), ("recall", "0.5")):
        assert isnan(found["generator", "beta_2", metric, at].low)
        assert not isnan(found["generator", "alpha", metric, at].low)
        assert not isnan(found["macro", "", metric, at].low)


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_a_photograph_that_is_alone_in_its_stratum_still_varies(kind):
    """One photograph of both classes among others of one, or the reverse."""
    labels, group = np.arange(60) % 2, np.array([f"p{i // 2 if kind < 2 else i}" for i in range(60)])
    lone = np.flatnonzero(labels == kind)[:3] if kind < 2 else np.arange(6)
    group[lone] = "lone"
    p = replace(draw(images=60), fused_labels=labels, crop_labels=labels, group=group)
    seen = {weights[lone[0]] for weights in Bootstrap(resamples=50).weights(p)}
    assert len(seen) > 1
