"""Antialiased resize of uint8 levels to float values, with torch's result but without a float copy of the image."""

from functools import lru_cache
from typing import Literal, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.ai_genbench.images.arrays import Levels
from benchmarks.ai_genbench.images.resize_numba import Floats, Places, squash

Way = Literal["bilinear", "bicubic"]
_REACH = {"bilinear": np.float32(1), "bicubic": np.float32(2)}  # Pixels on either side, where the scale is 1


class Taps(NamedTuple):
    """The pixels of a side from which each pixel of the result is made."""

    first: Places  # [size]
    number: Places  # [size]
    weights: Floats  # [size, most pixels]; zeros follow
    agree: bool  # Whether sums over them have the bytes of torch's, as installed here


_TRIED = 16  # Rows of noise: where sums differ at all, about one value in 400 does
_KEPT = (np.arange(_TRIED), np.ones(_TRIED, np.int64), np.ones((_TRIED, 1), np.float32))  # each row as it is


def squash_levels(levels: Levels, height: int, width: int, way: Way = "bilinear") -> Tensor:
    """Resize an image to float32 values [3, height, width], 1.0 = white, with the bytes of torch's `interpolate`.

    Args:
        levels: uint8 RGB [H, W, 3], with any strides (rotated and mirrored views are not copied).
        height: Height of the result.
        width: Width of the result.
        way: Interpolation; the values of `bicubic` may lie beyond black and white.
    """
    across, down = taps(levels.shape[1], width, way), taps(levels.shape[0], height, way)
    if not (across.agree and down.agree):
        return _interpolate(_planes(levels), height, width, way)[0]
    values = np.empty((3, height, width), np.float32)
    squash(*_columns(levels), *across[:3], *down[:3], values)
    return torch.from_numpy(values)


@lru_cache(maxsize=4096)
def taps(side: int, size: int, way: Way = "bilinear") -> Taps:
    """Pixels and weights for a resize of `side` pixels to `size`.

    The weights are torch's own: those of rows of black pixels with white ones so far apart that each pixel of the
    result sees one of them at most. Whether sums over them agree to the last bit depends on the instructions that torch
    was compiled for, and is tried on rows of noise.
    """
    scale = np.float32(side) / np.float32(size)
    reach = _REACH[way] * max(scale, np.float32(1))
    middle = scale * (np.arange(size, dtype=np.float32) + np.float32(0.5))
    first = np.maximum((middle - reach + np.float32(0.5)).astype(np.int64), 0)
    count = np.minimum((middle + reach + np.float32(0.5)).astype(np.int64), side) - first
    most = int(count.max())
    combs = np.zeros((most, side), np.float32)
    combs[np.arange(side) % most, np.arange(side)] = 1
    seen = _interpolate(torch.from_numpy(combs)[None, :, None], 1, size, way)[0, :, 0].numpy()
    tap = np.arange(most)
    weights = np.where(
        tap < count[:, None], seen[(first[:, None] + tap) % most, np.arange(size)[:, None]], np.float32(0)
    )
    rows = np.random.default_rng(0).integers(0, 256, (_TRIED, side, 3), dtype=np.uint8)
    values = np.empty((3, _TRIED, size), np.float32)
    squash(*_columns(rows), first, count, weights, *_KEPT, values)
    expected = _interpolate(_planes(rows), _TRIED, size, way)[0].numpy()
    return Taps(first, count, weights, bool(np.array_equal(values, expected)))


def _columns(levels: Levels) -> tuple[NDArray[np.uint8], bool, bool]:
    """The columns [W, 3 H], and whether they are stored upside down and from the last one to the first."""
    upside_down, mirrored = (stride < 0 for stride in levels.strides[:2])
    stored = levels[:: -1 if upside_down else 1, :: -1 if mirrored else 1]
    turned = stored.transpose(1, 0, 2)  # the image itself, if it is a rotated view
    columns = turned if turned.flags.c_contiguous else np.asarray(cv2.transpose(stored), dtype=np.uint8)
    return columns.reshape(len(columns), -1), upside_down, mirrored


def _planes(levels: Levels) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(levels.transpose(2, 0, 1))[None]).float().div_(255)


def _interpolate(values: Tensor, height: int, width: int, way: Way) -> Tensor:
    resized: Tensor = torch.nn.functional.interpolate(
        values, (height, width), mode=way, align_corners=False, antialias=True
    )
    return resized
