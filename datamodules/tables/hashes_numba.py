"""64-bit hashes of texts, one after another in memory."""

import numba
import numpy as np
from numpy.typing import NDArray

_FACTOR, _SHIFT = np.uint64(0x9E3779B97F4A7C15), np.uint64(29)


@numba.njit(
    numba.void(
        numba.types.Array(numba.uint8, 1, "C", readonly=True), numba.types.Array(numba.int32, 1, "C", readonly=True),
        numba.uint64[::1],
    ),
    cache=True, nogil=True, error_model="numpy",
)  # fmt: skip
def hash_texts(content: NDArray[np.uint8], starts: NDArray[np.int32], out: NDArray[np.uint64]) -> None:
    """Hash each text, eight bytes at a time.

    Args:
        content: bytes of all texts.
        starts: [N + 1] where each text begins, and where the last one ends.
        out: [N], filled.
    """
    for row in range(out.size):
        begin, end = np.int64(starts[row]), np.int64(starts[row + 1])
        hashed = np.uint64(end - begin)
        while begin < end:
            word = np.uint64(0)
            if begin + 8 <= end:
                eight = content[begin : begin + 8]
                for byte in range(8):
                    word |= np.uint64(eight[byte]) << np.uint64(8 * byte)
            else:
                for byte in range(end - begin):
                    word |= np.uint64(content[begin + byte]) << np.uint64(8 * byte)
            hashed = (hashed ^ word) * _FACTOR
            hashed ^= hashed >> _SHIFT
            begin += 8
        out[row] = hashed
