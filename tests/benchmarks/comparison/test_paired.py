from dataclasses import replace
from math import isnan

import numpy as np
import pytest
from synthetic_predictions import draw

from benchmarks.comparison.paired import differences
from benchmarks.evaluation import evaluate
from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.predictions import from_crops
from contracts.errors import DataError


def shifted(p, noise: float, seed: int = 1):
    logits = p.fused_logits + np.random.default_rng(seed).normal(0, noise, len(p)).astype(np.float32)
    return from_crops(
        logits, np.arange(len(p)), p.fused_labels, p.fused_generator_ids, p.fused_ids,
        generator_id_to_name=p.generator_id_to_name, provenance=p.about,
    )  # fmt: skip


def pooled(found, metric):
    return next(d for d in found if d.first.key == ("pooled", "", metric, ""))


def test_a_detector_does_not_differ_from_itself():
    for d in differences(draw(), draw(), Bootstrap(resamples=30)):
        assert isnan(d.value) or d.value == 0
        assert isnan(d.low) or d.low == d.high == 0


def test_pairing_narrows_the_interval_and_sign_follows_the_order():
    p = draw(images=200)
    q, bootstrap = shifted(p, 0.5), Bootstrap(resamples=200)
    d = pooled(differences(p, q, bootstrap), "auroc")
    back = pooled(differences(q, replace(p, group=q.group), bootstrap), "auroc")
    alone = [next(r for r in bootstrap(x, evaluate(x)) if r.key == d.first.key) for x in (p, q)]
    assert d.value == alone[0].value - alone[1].value == -back.value
    assert d.high - d.low < 0.7 * min(r.high - r.low for r in alone)
    assert d.low <= d.value <= d.high


def test_only_common_images_count_in_any_order():
    p = draw(images=100)
    q = shifted(p, 1.0)
    part = np.random.default_rng(0).permutation(100)[:60]
    expected = pooled(differences(p.select(np.sort(part)), q.select(np.sort(part)), Bootstrap(resamples=20)), "auroc")
    found = pooled(differences(p, q.select(part), Bootstrap(resamples=20)), "auroc")
    assert (found.value, found.low, found.high) == (expected.value, expected.low, expected.high)


def test_what_cannot_be_compared_is_refused():
    p = draw(images=20)
    with pytest.raises(DataError, match="no image in common"):
        differences(p.select(np.arange(10)), p.select(np.arange(10, 20)), Bootstrap(resamples=20))
    with pytest.raises(DataError, match="disagree on labels"):
        differences(p, draw(images=20, seed=3), Bootstrap(resamples=20))
