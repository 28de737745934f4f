"""Negative log-likelihood of 256-bin logistic mixtures on a CPU, one pass and four exponentials a component.

With a and b the standardised bin edges on the far side of the mean, a component's mass is
(e^-a - e^-b) / ((1 + e^-a) (1 + e^-b)): no cancellation in either tail. Masses are summed in float64; where even that
underflows (some 700 scales off), the result is NaN and `logistic.mixture_log_prob` has to say.
"""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from math import exp, log

import numba
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

LEAST = 1e-290
MIN_BLOCK = 2048
"""Fewest subpixels worth a thread of their own."""


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _fill(value: FloatArray, logits: FloatArray, mu: FloatArray, log_s: FloatArray, out: FloatArray) -> None:
    for i in range(value.shape[0]):
        v = float(value[i])
        top = float(logits[i].max())
        weights, total = 0.0, 0.0
        for k in range(logits.shape[1]):
            w = exp(float(logits[i, k]) - top)
            inv = exp(-float(log_s[i, k]))
            centred = v - float(mu[i, k])
            if v <= 0:
                p = 1 / (1 + exp(-(centred + 0.5) * inv))
            elif v >= 255:
                p = 1 / (1 + exp((centred - 0.5) * inv))
            else:
                near = exp((0.5 - abs(centred)) * inv)
                far = exp((-0.5 - abs(centred)) * inv)
                p = (near - far) / (1 + near) / (1 + far)
            weights += w
            total += w * p
        out[i] = log(weights) - log(total) if total > LEAST else np.nan


def nll_numpy(value: FloatArray, logits: FloatArray, mu: FloatArray, log_s: FloatArray, threads: int) -> FloatArray:
    """NLL ``[N]`` in nats of values ``[N]`` under mixtures ``[N, K]``; NaN where it is beyond float64.

    Args:
        value: Pixel values 0..255.
        logits: Unnormalised log-weights.
        mu: Means in pixel units.
        log_s: Log-scales, at least -7.
        threads: Threads to share the work between.
    """
    count = len(value)
    out = np.empty(count, dtype=np.float32)
    blocks = max(1, min(threads, count // MIN_BLOCK))
    edges = [count * block // blocks for block in range(blocks + 1)]
    arrays = [np.ascontiguousarray(a) for a in (value, logits, mu, log_s)]
    parts = [[a[i:j] for a in (*arrays, out)] for i, j in pairwise(edges)]
    if blocks == 1:
        _fill(*parts[0])
    else:
        with ThreadPoolExecutor(blocks) as pool:
            list(pool.map(lambda part: _fill(*part), parts))
    return out
