"""Noise added to levels in one pass."""

import numba
import numpy as np
from numpy.typing import NDArray

_BLACK, _WHITE = np.int32(0), np.int32(255)


@numba.njit(
    numba.void(
        numba.types.Array(numba.uint8, 1, "C", readonly=True), numba.float32[::1], numba.boolean, numba.uint8[::1]
    ),
    cache=True, nogil=True, error_model="numpy",
)  # fmt: skip
def add_values(levels: NDArray[np.uint8], values: NDArray[np.float32], truncate: bool, out: NDArray[np.uint8]) -> None:
    """Add values to levels and clip to 0..255.

    Args:
        levels: [N].
        values: [N], 1.0 = white.
        truncate: whether the fraction of a level is dropped, towards zero, instead of rounded.
        out: [N], filled.
    """
    if truncate:
        for i in range(levels.size):
            added = np.int32(values[i] * np.float32(255)) + np.int32(levels[i])
            out[i] = np.uint8(min(max(added, _BLACK), _WHITE))
    else:
        for i in range(levels.size):
            added = np.int32(np.rint(values[i] * np.float32(255))) + np.int32(levels[i])
            out[i] = np.uint8(min(max(added, _BLACK), _WHITE))
