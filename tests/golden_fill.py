"""Weights for the golden vectors, drawn by the rule stated with them, so that no weights need be stored.

Every floating-point entry of a state dict is drawn in float64 and C order from its own generator,
``PCG64(crc32(key) + seed)``:

* ``running_var`` and 1-D ``.weight``: uniform on [0.5, 1.5];
* other 1-D entries: normal, standard deviation 0.1;
* two or more axes: normal, standard deviation 1 / sqrt(fan-in);

then re-scaled for the density models (so that they predict pixels in 0..255 and nothing sits on a clamp), and cast.
"""

import math
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch


def draw(key: str, shape: Sequence[int], seed: int) -> np.ndarray:
    """One tensor of the fill, float64, before the cast."""
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(key.encode()) + seed))
    if key.endswith("running_var") or (len(shape) == 1 and key.endswith(".weight")):
        values = rng.uniform(0.5, 1.5, shape)
    elif len(shape) == 1:
        values = rng.normal(0.0, 0.1, shape)
    else:
        values = rng.normal(0.0, 1.0 / math.sqrt(math.prod(shape[1:])), shape)
    gain, offset = _rescale(key, tuple(shape))
    return offset + gain * values


def _rescale(key: str, shape: tuple[int, ...]) -> tuple[np.ndarray | float, np.ndarray | float]:
    """Gain and offset of the few re-scaled keys, per row where rows differ."""
    if key == "stem.weight":
        return 1 / 64, 0.0
    if key == "head_mu.weight":
        return 12.0, 0.0
    if key == "head_mu.bias":
        return 600.0, 110.0
    if key == "head_ls.weight":
        return 0.2, 0.0
    if key == "head_ls.bias":
        return 6.0, 2.8
    if key == "head.weight" and shape[0] == 6:  # residual head: three means, then three log-scales
        return np.repeat([4.0, 0.25], 3).reshape(-1, *[1] * (len(shape) - 1)), 0.0
    if key == "head.bias" and shape == (6,):
        return np.repeat([1.0, 4.0], 3), np.repeat([0.0, 1.75], 3)
    if ".feat_convs." in key and key.endswith(".weight"):
        return 0.25, 0.0
    if key.endswith(("atrous.lin.weight", "atrous.lin.bias")):
        # rows are [logit, mean, log-scale, lambda] x [R, G, B] x K
        k = shape[0] // 12
        if key.endswith("weight"):
            gain = np.repeat([1.0, 24.0, 0.5, 1.0], 3 * k)
            return gain.reshape(-1, *[1] * (len(shape) - 1)), 0.0
        gain = np.concatenate(
            [np.ones(3 * k), np.repeat([700.0, 300.0, 300.0], k), np.full(3 * k, 6.0), np.ones(3 * k)]
        )
        offset = np.concatenate(
            [np.zeros(3 * k), np.repeat([120.0, 60.0, 0.0], k), np.full(3 * k, 2.4), np.zeros(3 * k)]
        )
        return gain, offset
    return 1.0, 0.0


def filled(state: Mapping[str, torch.Tensor], seed: int) -> dict[str, torch.Tensor]:
    """A copy of a state dict with every floating-point entry drawn by the rule; integer entries stay."""
    return {
        key: torch.from_numpy(draw(key, tuple(value.shape), seed)).to(value.dtype)
        if value.is_floating_point()
        else value
        for key, value in state.items()
    }
