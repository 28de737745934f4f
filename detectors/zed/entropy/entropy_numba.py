"""Entropy of 256-bin logistic mixtures on a CPU: one pass over the bins each component reaches, one over their sum.

Beyond `REACH` scales of its mean a component's cumulative function is 0 or 1 to 2e-8, so only the edges within are
evaluated. There it is 1 / (1 + t) with t = exp(-(edge - mu) / s), which shrinks by one factor from edge to edge. Inner
loops hold neither branch nor call: they vectorise. Exponentials are taken of `BLOCK` subpixels together for the same
reason.
"""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from math import isfinite

import numba
import numpy as np
from numpy.typing import NDArray

from detectors.zed.entropy.exp_numba import exp32, exp64
from detectors.zed.entropy.lanes_numba import STRIDE, add_logistic

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int32]

REACH = np.float32(18)
NEGLIGIBLE = np.float32(1e-8)
BLOCK = 128
MIN_BLOCK = 2048
"""Fewest subpixels worth a thread of their own."""

_BINS = 256
_LAST = np.float32(_BINS - 1)
_TINY = np.float32(1e-30)
_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
_LN2 = np.float32(np.log(2))
_C3, _C5, _C7 = np.float32(1 / 3), np.float32(1 / 5), np.float32(1 / 7)
# float32 bit patterns: a mantissa is taken from [sqrt(1/2), sqrt(2)) so that its logarithm's series converges fast
_SQRT_HALF = np.int32(0x3F3504F3)
_MANTISSA = np.int32(0x7FFFFF)
_MANTISSA_BITS = np.int32(23)
_FAST = {"contract", "reassoc", "nsz", "arcp"}


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _entropy_of_steps(cdf: FloatArray, left: FloatArray, p: FloatArray, bits: IntArray) -> np.float32:
    """-sum p log p over the steps of ``cdf``, to which what has ``left`` it is added; ``p`` and ``bits`` are scratch.

    log p = e ln 2 + 2 artanh((m - 1) / (m + 1)) for p = m 2^e; four terms of artanh leave 3e-8.
    """
    p[0] = max(cdf[0] + left[0], _TINY)
    upper, lower, leaving, tail = cdf[1:], cdf[:-1], left[1:], p[1 : cdf.size]
    for j in range(tail.size):
        tail[j] = max(upper[j] - lower[j] + leaving[j], _TINY)
    mass = p[: cdf.size]
    patterns, mantissas, shifted = mass.view(np.int32), bits[: cdf.size].view(np.float32), bits[: cdf.size]
    for j in range(mass.size):
        shifted[j] = ((patterns[j] - _SQRT_HALF) & _MANTISSA) + _SQRT_HALF
    total = _ZERO
    for j in range(mass.size):
        power = np.float32((patterns[j] - _SQRT_HALF) >> _MANTISSA_BITS)
        f = (mantissas[j] - _ONE) / (mantissas[j] + _ONE)
        g = f * f
        log = power * _LN2 + (f + f) * (_ONE + g * (_C3 + g * (_C5 + g * _C7)))
        total -= mass[j] * log
    return total


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _kernel(logits: FloatArray, mu: FloatArray, log_s: FloatArray, out: FloatArray) -> None:
    N, K = logits.shape
    size = BLOCK * K
    # cdf[j] is the mass up to edge j + 1/2 of the components that reach it; left[j] is the weight of those whose reach
    # ends there, so that nothing has to be added at all edges behind
    cdf, left = np.empty(_BINS + STRIDE, np.float32), np.empty(_BINS, np.float32)
    p, bits = np.empty(_BINS, np.float32), np.empty(_BINS, np.int32)
    scratch = np.empty(size, np.int32)
    x, w, inv = np.empty(size, np.float32), np.empty(size, np.float32), np.empty(size, np.float32)
    first, exponent, factor, scratch64 = (
        np.empty(size, np.float32),
        np.empty(size),
        np.empty(size),
        np.empty(size, np.int64),
    )
    lo, strides = np.empty(size, np.int32), np.empty(size, np.int32)
    for start in range(0, N, BLOCK):
        rows = min(BLOCK, N - start)
        count = rows * K
        here = slice(start * K, start * K + count)
        g, m, s = logits.ravel()[here], mu.ravel()[here], log_s.ravel()[here]
        for n in range(rows):
            top = g[n * K]
            for j in range(n * K, (n + 1) * K):
                top = max(top, g[j])
            for j in range(n * K, (n + 1) * K):
                x[j] = g[j] - top
        exp32(x[:count], w[:count], scratch[:count])
        for j in range(count):
            x[j] = -s[j]
        exp32(x[:count], inv[:count], scratch[:count])
        for j in range(count):
            exponent[j] = -inv[j]
        exp64(exponent[:count], factor[:count], scratch64[:count])
        for j in range(count):
            reach = REACH / inv[j]
            low = np.ceil(min(max(m[j] - reach - _HALF, _ZERO), _LAST))
            lo[j] = np.int32(low)
            high = max(np.floor(min(max(m[j] + reach + _HALF, _ZERO), _LAST)), low)
            strides[j] = (np.int32(high - low) + np.int32(STRIDE - 1)) // np.int32(STRIDE)
            x[j] = min((m[j] - low - _HALF) * inv[j], REACH)
        exp32(x[:count], first[:count], scratch[:count])
        for n in range(rows):
            cdf[:] = _ZERO
            left[:] = _ZERO
            begin, end, valid, total = _BINS - 1, 0, True, _ZERO
            for j in range(n * K, (n + 1) * K):
                total += w[j]
            for j in range(n * K, (n + 1) * K):
                share = w[j] / total
                if share < NEGLIGIBLE:
                    continue
                if not (isfinite(share) and isfinite(m[j]) and isfinite(s[j])):
                    valid = False
                    break
                add_logistic(cdf, lo[j], strides[j], share, first[j], factor[j])
                stop = min(lo[j] + strides[j] * STRIDE, _BINS - 1)
                left[stop] += share
                begin, end = min(begin, lo[j]), max(end, stop)
            cdf[_BINS - 1] = _ZERO  # what reaches it has left: the last bin takes all the rest
            valid = valid and begin <= end
            out[start + n] = (
                _entropy_of_steps(cdf[begin : end + 1], left[begin : end + 1], p, bits) if valid else np.float32(np.nan)
            )


def entropy_numpy(logits: FloatArray, mu: FloatArray, log_s: FloatArray, threads: int = 1) -> FloatArray:
    """Entropy in nats of ``N`` mixtures of ``K`` logistics; within 2e-5 of float64.

    Args:
        logits: Unnormalised log-weights ``[N, K]``.
        mu: Means ``[N, K]`` in pixel units.
        log_s: Log-scales ``[N, K]``, from -80 to 80.
        threads: Threads to share the rows between.

    Returns:
        ``[N]``; NaN where a parameter is not finite.
    """
    N = logits.shape[0]
    out = np.empty(N, np.float32)
    logits, mu, log_s = (np.ascontiguousarray(a) for a in (logits, mu, log_s))
    blocks = max(1, min(threads * 4, N // MIN_BLOCK))
    bounds = np.linspace(0, N, blocks + 1).astype(int)
    parts = [slice(a, b) for a, b in pairwise(bounds)]
    if blocks == 1 or threads == 1:
        _kernel(logits, mu, log_s, out)
        return out
    # own threads, not numba's: its pools end the process after a fork or when two Python threads enter at once
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda part: _kernel(logits[part], mu[part], log_s[part], out[part]), parts))
    return out
