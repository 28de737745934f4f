"""Entropy of 256-bin logistic mixtures on a CPU: one pass over the bins each component reaches, one over their sum.

Beyond `REACH` scales of its mean a component's cumulative function is 0 or 1 to 2e-8, so only the edges within are
evaluated. There it is 1 / (1 + t) with t = exp(-(edge - mu) / s), which shrinks by one factor from edge to edge: the
table of t is filled by doubling, one multiplication an edge. Inner loops hold neither branch nor call: they vectorise.
"""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from math import ceil, exp, floor, isfinite

import numba
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

REACH = 18.0
NEGLIGIBLE = np.float32(1e-8)
MIN_BLOCK = 2048
"""Fewest subpixels worth a thread of their own."""

_BINS = 256
_TINY = np.float32(1e-30)
_ONE, _ZERO = np.float32(1), np.float32(0)
_LN2 = np.float32(np.log(2))
_C3, _C5, _C7 = np.float32(1 / 3), np.float32(1 / 5), np.float32(1 / 7)
# float32 bit patterns: a mantissa is taken from [sqrt(1/2), sqrt(2)) so that its logarithm's series converges fast
_SQRT_HALF = np.int32(0x3F3504F3)
_MANTISSA = np.int32(0x7FFFFF)
_MANTISSA_BITS = np.int32(23)
_FAST = {"contract", "reassoc", "nsz", "arcp"}


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _add_component(cdf: FloatArray, table: FloatArray, lo: int, hi: int, w: float, first: float, factor: float) -> None:
    """Add ``w / (1 + first * factor**j)`` at edges ``lo + j < hi``, and ``w`` at every edge from ``hi`` on."""
    if hi > lo:
        # unsigned indices: signed ones may be negative, whose wrap-around test would keep the loops scalar
        count, start, filled = np.uint64(hi - lo), np.uint64(lo), np.uint64(1)
        table[0] = np.float32(first)
        while filled < count:
            ratio = np.float32(factor)
            for j in range(filled):
                table[filled + j] = table[j] * ratio
            factor *= factor
            filled = filled + filled
        for j in range(count):
            cdf[start + j] += w / (_ONE + table[j])
    beyond = cdf[hi:]
    for j in range(beyond.size):
        beyond[j] += w


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _entropy_of_steps(cdf: FloatArray, p: FloatArray, bits: NDArray[np.int32]) -> np.float32:
    """-sum p log p over the steps of ``cdf``; ``bits`` is scratch of the size of ``p``.

    log p = e ln 2 + 2 artanh((m - 1) / (m + 1)) for p = m 2^e; four terms of artanh leave 3e-8.
    """
    p[0] = max(cdf[0], _TINY)
    upper, lower, tail = cdf[1:], cdf[:-1], p[1 : cdf.size]
    for j in range(tail.size):
        tail[j] = max(upper[j] - lower[j], _TINY)
    mass = p[: cdf.size]
    patterns, mantissas, shifted = mass.view(np.int32), bits[: cdf.size].view(np.float32), bits[: cdf.size]
    total = _ZERO
    for j in range(mass.size):
        shifted[j] = ((patterns[j] - _SQRT_HALF) & _MANTISSA) + _SQRT_HALF
    for j in range(mass.size):
        power = np.float32((patterns[j] - _SQRT_HALF) >> _MANTISSA_BITS)
        f = (mantissas[j] - _ONE) / (mantissas[j] + _ONE)
        g = f * f
        log = power * _LN2 + (f + f) * (_ONE + g * (_C3 + g * (_C5 + g * _C7)))
        total -= mass[j] * log
    return total


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _kernel(weights: FloatArray, mu: FloatArray, inv_s: FloatArray, out: FloatArray) -> None:
    N, K = weights.shape
    # cdf[j] is the mass up to edge j + 1/2; the last entry is all of it
    cdf = np.empty(_BINS, np.float32)
    table = np.empty(2 * _BINS, np.float32)
    p = np.empty(_BINS, np.float32)
    bits = np.empty(_BINS, np.int32)
    for n in range(N):
        cdf[:] = _ZERO
        begin, end, valid = _BINS - 1, 0, True
        for k in range(K):
            w = weights[n, k]
            if w < NEGLIGIBLE:
                continue
            m, inv = np.float64(mu[n, k]), np.float64(inv_s[n, k])
            if not (isfinite(w) and isfinite(m) and isfinite(inv) and inv > 0):
                valid = False
                break
            reach = REACH / inv
            lo = ceil(min(max(m - reach - 0.5, 0.0), 255.0))
            hi = max(floor(min(max(m + reach + 0.5, 0.0), 255.0)), lo)
            _add_component(cdf, table, lo, hi, w, exp(min((m - lo - 0.5) * inv, REACH)), exp(-inv))
            begin, end = min(begin, lo), max(end, hi)
        out[n] = _entropy_of_steps(cdf[begin : end + 1], p, bits) if valid and begin <= end else np.float32(np.nan)


def entropy_numpy(weights: FloatArray, mu: FloatArray, inv_s: FloatArray, threads: int = 1) -> FloatArray:
    """Entropy in nats of ``N`` mixtures of ``K`` logistics; within 2e-5 of float64.

    Args:
        weights: ``[N, K]``, each row summing to one.
        mu: Means ``[N, K]`` in pixel units.
        inv_s: Inverse scales ``[N, K]``, positive.
        threads: Threads to share the rows between.

    Returns:
        ``[N]``; NaN where a parameter is not finite or a scale not positive.
    """
    N = weights.shape[0]
    out = np.empty(N, np.float32)
    blocks = max(1, min(threads * 4, N // MIN_BLOCK))
    bounds = np.linspace(0, N, blocks + 1).astype(int)
    parts = [slice(a, b) for a, b in pairwise(bounds)]
    if blocks == 1 or threads == 1:
        _kernel(weights, mu, inv_s, out)
        return out
    # own threads, not numba's: its pools end the process after a fork or when two Python threads enter at once
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda part: _kernel(weights[part], mu[part], inv_s[part], out[part]), parts))
    return out
