"""The vector instructions put together by hand, against the formula."""

import numba
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from detectors.zed.entropy.lanes_numba import STRIDE, add_logistic

ROOM = 3 * STRIDE


@numba.njit
def add(cdf: np.ndarray, start: int, strides: int, weight: float, first: float, factor: float) -> None:
    add_logistic(cdf, start, strides, np.float32(weight), np.float32(first), factor)


@given(
    st.integers(0, STRIDE),
    st.integers(0, 2),
    st.floats(0.001, 1),
    st.floats(-18, 18),
    st.floats(0.05, 3),
)
def test_a_logistic_is_added_where_it_was_asked_for(
    start: int, strides: int, weight: float, log_first: float, steepness: float
) -> None:
    first, factor = np.exp(np.float32(log_first)), np.exp(-steepness)
    cdf = np.linspace(0, 1, ROOM, dtype=np.float32)
    expected = cdf.astype(np.float64)
    count = strides * STRIDE
    expected[start : start + count] += weight / (1 + first * factor ** np.arange(count))
    add(cdf, start, strides, weight, first, factor)
    np.testing.assert_allclose(cdf, expected, rtol=0, atol=5e-7)
