import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from benchmarks.fusion import FUSIONS, fuse
from contracts.errors import ConfigError

LOGITS = arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.floats(-30, 30))


@given(LOGITS)
def test_mean_probability_is_the_mean_of_sigmoids(logits):
    fused = FUSIONS["mean_probability"](logits)
    expected = (1 / (1 + np.exp(-logits))).mean(axis=1)
    assert np.allclose(1 / (1 + np.exp(-fused)), expected, rtol=1e-12, atol=1e-15)


def test_mean_probability_keeps_order_where_float_probabilities_are_all_one():
    low, high = FUSIONS["mean_probability"](np.array([[60.0, 61.0], [60.0, 62.0]]))
    assert 60 < low < high < 62


@given(LOGITS, st.randoms(use_true_random=False))
def test_crops_may_come_in_any_order_and_number(logits, random):
    n, k = logits.shape
    counts = [random.randint(1, k) for _ in range(n)]
    crops = [(logits[i, j], i) for i in range(n) for j in range(counts[i])]
    expected = [logits[i, : counts[i]].max() for i in range(n)]
    random.shuffle(crops)
    values, image = np.array(crops).T
    assert np.array_equal(fuse(values, image.astype(np.int64), n, "maximum"), expected)


def test_one_crop_keeps_its_logit_bit_for_bit():
    logits = np.array([1e-3, -7.25, 44.0])
    for name in FUSIONS:
        assert np.array_equal(fuse(logits, np.array([2, 0, 1]), 3, name), logits[[1, 2, 0]])


def test_a_fusion_of_ones_own_is_one_function():
    fused = fuse(np.array([1.0, 2.0, 9.0, 4.0]), np.array([0, 0, 0, 1]), 2, lambda logits: np.median(logits, axis=1))
    assert fused.tolist() == [2.0, 4.0]


def test_errors_name_the_mistake():
    with pytest.raises(ConfigError, match="mean_probability"):
        fuse(np.zeros(1), np.zeros(1, int), 1, "mean_probabilty")
    with pytest.raises(ValueError, match="1 of 2"):
        fuse(np.zeros(1), np.zeros(1, int), 2, "maximum")
    with pytest.raises(ValueError, match=r"\[1, 2\] logits"):
        fuse(np.zeros(2), np.zeros(2, int), 1, lambda logits: logits)
