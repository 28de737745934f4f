"""Compiled draws equal plain ones: to the last bit where sums are whole numbers, else up to rounding."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_predictions import draw

from benchmarks.evaluation import Subset, evaluate
from benchmarks.intervals import bootstrap, swept, weighted
from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.metrics import METRICS, UndefinedMetricError

ROUNDED = {"average_precision", "brier", "aurc"}
"""Metrics whose sums depend on the order of additions."""


def both(monkeypatch, predictions, resamples=40):
    """Draws in the plain and in the compiled way."""
    results, found = evaluate(predictions), []
    for least in (10**9, 0):
        monkeypatch.setattr(bootstrap, "COMPILED", least)
        found.append(Bootstrap(resamples).draw(predictions, results))
    return found


@pytest.mark.parametrize("decimals", [None, 1, 0])
@pytest.mark.parametrize("alone", [False, True])
def test_compiled_draws_equal_plain_ones(monkeypatch, decimals, alone):
    p = draw(images=150, decimals=decimals, **({"group": [""] * 150} if alone else {}))
    p = draw(
        images=150, decimals=decimals, group=p.group, pairing=np.where(p.fused_labels == 0, np.arange(150) % 3 + 1, -1)
    )
    plain, compiled = both(monkeypatch, p)
    assert plain.keys() == compiled.keys()
    assert {key[0] for key in plain} >= {"pooled", "generator", "paired", "seen", "unseen"}
    for key, values in plain.items():
        np.testing.assert_allclose(compiled[key], values, rtol=0, atol=1e-13 if key[2] in ROUNDED else 0, err_msg=key)


def test_identical_images_as_real_and_generated_give_one_half_in_every_draw(monkeypatch):
    one = draw(images=80)
    logits = np.tile(one.fused_logits, 2)
    labels = np.repeat([0, 1], 80)
    p = draw(images=160, decimals=None)
    from benchmarks.predictions import from_crops

    p = from_crops(
        logits,
        np.arange(160),
        labels,
        labels,
        p.fused_ids,
        generator_id_to_name=["", "g"],
        group=[f"p{k % 80}" for k in range(160)],
    )
    for found in both(monkeypatch, p):
        assert (found["pooled", "", "auroc", ""] == 0.5).all()


def test_one_class_alone_has_no_value_where_it_needs_the_other(monkeypatch):
    p = draw(images=60)
    for label in (0, 1):
        plain, compiled = both(monkeypatch, p.select(p.fused_labels == label))
        for key, values in plain.items():
            np.testing.assert_allclose(compiled[key], values, rtol=0, atol=1e-13)
        assert np.isnan(compiled["pooled", "", "auroc", ""]).all()


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), st.integers(0, 1), st.integers(0, 3)), min_size=1),
    st.lists(st.integers(0, 300), min_size=4, max_size=4),
)
def test_weights_are_repetitions(images, weights):
    scores, labels, photo = (np.array(column) for column in zip(*images, strict=True))
    subset = Subset("pooled", "", np.arange(scores.size))
    counts = swept.stacked([np.array(weights, np.float64)])
    assert counts.dtype == (np.uint8 if max(weights) < 256 else np.uint16)
    found = {
        metric: values[0, 0]
        for (metric, _), values in swept.Family([subset], scores, labels, {"": 0.5}, photo)(counts).items()
    }
    found["ece"] = swept.Calibration(subset, scores, labels, photo)(counts)[0]
    found["aurc"] = swept.Selective(subset, scores, labels, 0.5, photo)(counts)[0]
    repeated = np.repeat(np.arange(scores.size), np.array(weights)[photo])
    for metric, value in found.items():
        try:
            wanted = METRICS[metric](scores[repeated], labels[repeated], 0.5)
        except UndefinedMetricError:
            assert np.isnan(value), metric
        else:
            assert value == pytest.approx(wanted, abs=1e-13), metric
    plain = weighted.Family([subset], scores, labels, {"": 0.5}, photo)(weighted.stacked([np.array(weights, float)]))
    for (metric, _), values in plain.items():
        np.testing.assert_allclose(found[metric], values[0, 0], rtol=0, atol=1e-12, err_msg=metric)


@pytest.mark.parametrize("members", [1, 2, 3, 7, 96, 1000, 70_000])
def test_counted_draws_are_those_of_numpys_generator(members):
    plain, compiled = (way.Sampler(np.random.default_rng(members)) for way in (weighted, swept))
    for size in (members, 5, 1, members):
        for _ in range(4):
            np.testing.assert_array_equal(compiled(size), plain(size))
