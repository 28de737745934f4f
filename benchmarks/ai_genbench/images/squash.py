"""Bilinear resize of levels to a square of values, as torch does it on floats, but without making them first."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.ai_genbench.images.arrays import Levels
from benchmarks.ai_genbench.images.resize_numba import Floats, Places, squash


class Taps(NamedTuple):
    """The pixels of a side from which each pixel of the result is made."""

    first: Places  # [size]
    number: Places  # [size]
    weights: Floats  # [size, most pixels]; zeros follow
    agree: bool  # Whether sums over them have the bytes of torch's, as installed here


_TRIED = 16  # Rows of noise: where sums differ at all, about one value in 400 does
_KEPT = (np.arange(_TRIED), np.ones(_TRIED, np.int64), np.ones((_TRIED, 1), np.float32))  # each row as it is


def squash_levels(levels: Levels, size: int) -> Tensor:
    """Resize an image to float32 values [3, size, size], 1.0 = white, with the bytes of torch's `interpolate`.

    Args:
        levels: uint8 RGB [H, W, 3], with any strides (rotated and mirrored views are not copied).
        size: Side of the result.
    """
    height, width, _ = levels.shape
    across, down = taps(width, size), taps(height, size)
    if not (across.agree and down.agree):
        return _interpolate(_planes(levels), size, size)[0]
    values = np.empty((3, size, size), np.float32)
    squash(levels, *across[:3], *down[:3], values)
    return torch.from_numpy(values)


@lru_cache(maxsize=4096)
def taps(side: int, size: int) -> Taps:
    """Pixels and weights for a resize of `side` pixels to `size`.

    The weights are torch's own: the resized unit vectors. Whether sums over them agree to the last bit depends on the
    instructions that torch was compiled for, and is tried on rows of noise.
    """
    scale = np.float32(side) / np.float32(size)
    reach = max(scale, np.float32(1))
    middle = scale * (np.arange(size, dtype=np.float32) + np.float32(0.5))
    first = np.maximum((middle - reach + np.float32(0.5)).astype(np.int64), 0)
    count = np.minimum((middle + reach + np.float32(0.5)).astype(np.int64), side) - first
    whole = _interpolate(torch.eye(side)[None, :, None], 1, size)[0, :, 0].numpy()
    weights = np.zeros((size, int(count.max())), np.float32)
    for column in range(size):
        weights[column, : count[column]] = whole[first[column] : first[column] + count[column], column]
    rows = np.random.default_rng(0).integers(0, 256, (_TRIED, side, 3), dtype=np.uint8)
    values = np.empty((3, _TRIED, size), np.float32)
    squash(rows, first, count, weights, *_KEPT, values)
    expected = _interpolate(_planes(rows), _TRIED, size)[0].numpy()
    return Taps(first, count, weights, bool(np.array_equal(values, expected)))


def _planes(levels: Levels) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(levels.transpose(2, 0, 1))[None]).float().div_(255)


def _interpolate(values: Tensor, height: int, width: int) -> Tensor:
    resized: Tensor = torch.nn.functional.interpolate(
        values, (height, width), mode="bilinear", align_corners=False, antialias=True
    )
    return resized
