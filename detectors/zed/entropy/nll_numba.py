"""Negative log-likelihood of 256-bin logistic mixtures on a CPU: one pass, and four exponentials a component.

With a and b the standardised bin edges on the far side of the mean, a component's mass is
(e^-a - e^-b) / ((1 + e^-a) (1 + e^-b)): no cancellation in either tail. Masses are summed in float64; where even that
underflows (about 700 scales from the mean), the result is NaN, and the caller has to use `logistic.mixture_log_prob`.
"""

from math import log

import numba
import numpy as np

from detectors.zed.entropy.exp_numba import exp64
from detectors.zed.entropy.rows_numba import BLOCK, FloatArray, in_threads, load_block

LEAST = 1e-290  # Smallest mass whose logarithm is trusted


@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz", "arcp"})
def _fill(value: FloatArray, logits: FloatArray, mu: FloatArray, log_s: FloatArray, out: FloatArray) -> None:
    N, K = logits.shape
    size = BLOCK * K
    x, w, inv, near, far = np.empty(size), np.empty(size), np.empty(size), np.empty(size), np.empty(size)
    bits = np.empty(size, np.int64)
    for start in range(0, N, BLOCK):
        rows, m, s = load_block(start, logits, mu, log_s, x)
        count = rows * K
        exp64(x[:count], w[:count], bits[:count])
        for j in range(count):
            x[j] = -s[j]
        exp64(x[:count], inv[:count], bits[:count])
        for n in range(rows):
            v = float(value[start + n])
            side = -1.0 if v <= 0 else 1.0
            inside = 0 < v < 255
            for j in range(n * K, (n + 1) * K):
                centred = v - m[j]
                # a bin with a whole tail needs one exponential, any other two
                nearest = 0.5 - abs(centred) if inside else side * centred - 0.5
                x[j] = nearest * inv[j]
                far[j] = (-0.5 - abs(centred)) * inv[j]
        exp64(x[:count], near[:count], bits[:count])
        x[:count] = far[:count]
        exp64(x[:count], far[:count], bits[:count])
        for n in range(rows):
            inside = 0 < value[start + n] < 255
            weights, total = 0.0, 0.0
            for j in range(n * K, (n + 1) * K):
                above, below = (near[j] - far[j], (1 + near[j]) * (1 + far[j])) if inside else (1.0, 1 + near[j])
                weights += w[j]
                total += w[j] * (above / below)
            out[start + n] = log(weights) - log(total) if total > LEAST else np.nan


def nll_numpy(value: FloatArray, logits: FloatArray, mu: FloatArray, log_s: FloatArray, threads: int) -> FloatArray:
    """NLL ``[N]`` in nats of values ``[N]`` under mixtures ``[N, K]``; NaN where it is beyond float64.

    Values 0..255 and means are in pixel units, logits are unnormalised log-weights, and log-scales at least -7.
    """
    out = np.empty(len(value), dtype=np.float32)
    in_threads(_fill, (*(np.ascontiguousarray(a) for a in (value, logits, mu, log_s)), out), threads)
    return out
