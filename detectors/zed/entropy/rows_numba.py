"""Shared by the CPU kernels: they process mixtures in blocks of rows and divide the rows between threads."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise, starmap
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

BLOCK = 128  # Rows whose exponentials are computed together: loops long enough to become vector code
MIN_ROWS = 2048  # Fewest rows worth a thread


@numba.njit(cache=True, nogil=True, error_model="numpy")
def load_block(
    start: int, logits: FloatArray, mu: FloatArray, log_s: FloatArray, x: NDArray[np.floating]
) -> tuple[int, FloatArray, FloatArray]:
    """Number of rows in the block at ``start``, and their means and log-scales, each ``[rows * K]``.

    ``x`` gets the rows' logits, each less the largest of its row.
    """
    N, K = logits.shape
    rows = min(BLOCK, N - start)
    here = slice(start * K, (start + rows) * K)
    g = logits.ravel()[here]
    for n in range(rows):
        top = g[n * K]
        for j in range(n * K, (n + 1) * K):
            top = max(top, g[j])
        for j in range(n * K, (n + 1) * K):
            x[j] = g[j] - top
    return rows, mu.ravel()[here], log_s.ravel()[here]


def in_threads(kernel: Callable[..., None], arrays: tuple[NDArray[Any], ...], threads: int) -> None:
    """Run a kernel on slices of arrays of equal length, several slices a thread.

    The threads are Python's, not numba's, whose pools end the process after a fork or when two Python threads enter at
    once.

    Args:
        kernel: Releases the GIL and treats each row independently.
        arrays: Its arguments; the last one is written to.
        threads: How many threads share the rows.
    """
    count = len(arrays[0])
    parts = max(1, min(4 * threads, count // MIN_ROWS))
    if threads == 1 or parts == 1:
        return kernel(*arrays)
    bounds = np.linspace(0, count, parts + 1).astype(int).tolist()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda part: kernel(*(array[part] for array in arrays)), starmap(slice, pairwise(bounds))))
    return None
