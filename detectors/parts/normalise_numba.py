"""Normalisation of bytes by a table: one pass that writes each float once, at the speed of memory."""

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(cache=True, nogil=True)
def look_up(source: NDArray[np.uint8], table: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """``out[r, 3 · w + c] = table[c, source[r, 3 · w + c]]``: rows of interleaved RGB."""
    red, green, blue = table[0], table[1], table[2]
    for row in range(source.shape[0]):
        found, made = source[row], out[row]  # indexing one axis at a time is vector code, two axes are not
        for pixel in range(len(found) // 3):
            at = 3 * pixel
            made[at] = red[found[at]]
            made[at + 1] = green[found[at + 1]]
            made[at + 2] = blue[found[at + 2]]
