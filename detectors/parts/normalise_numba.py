"""Normalisation of bytes by a table: one pass that writes each float once, at the speed of memory."""

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(cache=True, nogil=True)
def look_up(source: NDArray[np.uint8], table: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """``out[r, 3 · w + c] = table[c, source[r, 3 · w + c]]``: rows of interleaved RGB."""
    for row in range(source.shape[0]):
        for pixel in range(0, source.shape[1], 3):
            out[row, pixel] = table[0, source[row, pixel]]
            out[row, pixel + 1] = table[1, source[row, pixel + 1]]
            out[row, pixel + 2] = table[2, source[row, pixel + 2]]
