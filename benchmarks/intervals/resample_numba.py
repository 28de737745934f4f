"""Resamples counted as they are drawn, with the numbers that NumPy's generator would give."""

import numba
import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint32]


class Sampler:
    """``np.bincount(rng.integers(n, size=n), minlength=n)`` for one n after another, without the array between.

    NumPy bounds the generator's words of 32 bits by Lemire's method (2019), which is repeated here.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng, self._words, self._at = rng, np.zeros(0, np.uint32), 0

    def __call__(self, members: int) -> Words:
        """[members] how often each is drawn, in as many draws."""
        if members == 1:  # draws no word
            return np.ones(1, np.uint32)
        counts, left = np.zeros(members, np.uint32), members
        while left:
            if self._at == self._words.size:
                self._words = self._rng.bit_generator.random_raw(8192).astype("<u8").view("<u4")
                self._at = 0
            self._at, left = _count(self._words, self._at, counts, left)
        return counts


@numba.njit(cache=True, nogil=True)
def _count(words: Words, at: int, counts: Words, left: int) -> tuple[int, int]:
    """Count draws until none is left or the words end; the place in these, and how many are left."""
    members = np.uint64(counts.size)
    unfair = (np.uint64(2**32) - members) % members
    while left > 0 and at < words.size:
        product = np.uint64(words[at]) * members
        at += 1
        if product & np.uint64(2**32 - 1) >= unfair:
            counts[product >> np.uint64(32)] += np.uint32(1)
            left -= 1
    return at, left
