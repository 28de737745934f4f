"""Entropy of 256-bin logistic mixtures on a CPU: one pass over the bins each component reaches, one over their sum.

Beyond `REACH` scales from its mean a component's cumulative function is 0 or 1 to 2e-8, so only the edges within are
evaluated. There it is 1 / (1 + t) with t = exp(-(edge - mu) / s), which shrinks by one factor from edge to edge. Inner
loops contain neither branch nor call, so that they vectorise.
"""

from math import isfinite

import numba
import numpy as np
from numpy.typing import NDArray

from detectors.zed.entropy.exp_numba import exp32, exp64
from detectors.zed.entropy.lanes_numba import STRIDE, add_logistic
from detectors.zed.entropy.rows_numba import BLOCK, FloatArray, in_threads, load_block

IntArray = NDArray[np.int32]

REACH = np.float32(18)
NEGLIGIBLE = np.float32(1e-8)

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
    """-sum p log p over the steps of ``cdf`` plus the weights in ``left``; ``p`` and ``bits`` are scratch.

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
    # ends there, which saves adding it at every later edge
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
        rows, m, s = load_block(start, logits, mu, log_s, x)
        count = rows * K
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
            cdf[_BINS - 1] = _ZERO  # the last bin takes all the rest, which `left` holds
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
        threads: Threads that share the rows.

    Returns:
        ``[N]``; NaN where a parameter is not finite.
    """
    out = np.empty(len(logits), np.float32)
    in_threads(_kernel, (*(np.ascontiguousarray(a) for a in (logits, mu, log_s)), out), threads)
    return out
