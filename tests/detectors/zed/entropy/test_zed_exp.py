"""Exponentials of the kernels against the library's, over all they are defined for."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from detectors.zed.entropy.exp_numba import exp32, exp64


@given(hnp.arrays(np.float32, st.integers(1, 70), elements=st.floats(-120, 120, width=32)))
def test_float32_exponentials(x: np.ndarray) -> None:
    out = np.empty_like(x)
    exp32(x, out, np.empty(x.size, np.int32))
    np.testing.assert_allclose(out, np.exp(x.clip(-87, 87).astype(np.float64)), rtol=4e-7)


@given(hnp.arrays(np.float64, st.integers(1, 70), elements=st.floats(-900, 900)))
def test_float64_exponentials(x: np.ndarray) -> None:
    out = np.empty_like(x)
    exp64(x, out, np.empty(x.size, np.int64))
    np.testing.assert_allclose(out, np.exp(x.clip(-700, 700)), rtol=5e-15)
