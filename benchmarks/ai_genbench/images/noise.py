"""Gaussian pixel noise as albumentations 2.0.8 adds it, without albumentations.

Python's `random.Random(seed)` decides whether there is noise and gives sigma, then the (zero) mean; NumPy's generator
of the same seed gives the 16-bit seed of OpenCV's generator, which gives the noise.
"""

import random
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.ai_genbench.images.arrays import Levels
from benchmarks.ai_genbench.images.noise_numba import add_values

EVALUATION_STD_RANGE = (0.015, 0.075)
LIBRARY_STD_RANGE = (0.2, 0.44)  # Defaults of albumentations 2.0.8, which the baseline training chain uses

_CV2_SEEDS = 2**16
_BLOCK = 3 * 2**14  # Elements handled at a time, few enough for the processor's cache


@dataclass(frozen=True)
class GaussianNoise:
    """Independent noise on every pixel and channel."""

    std: float  # Standard deviation as a fraction of 255
    seed: int  # Seed of OpenCV's generator


def draw_noise(seed: int, probability: float, std_range: tuple[float, float]) -> GaussianNoise | None:
    """The noise, or None if there is none, from the transform's private generators seeded with `seed`."""
    draw = random.Random(seed)
    if draw.random() >= probability:
        return None
    std = draw.uniform(*std_range)
    return GaussianNoise(std, int(np.random.default_rng(seed).integers(0, _CV2_SEEDS)))


def noise_map(noise: GaussianNoise, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The noise itself in levels, float32 of the given shape (for inspection; `add_noise` works in blocks)."""
    blocks = np.empty(int(np.prod(shape)), dtype=np.float32)
    cv2.setRNGSeed(noise.seed)
    for start in range(0, blocks.size, _BLOCK):
        _draw_block(blocks[start : start + _BLOCK], noise.std)
    return np.multiply(blocks, np.float32(255), out=blocks).reshape(shape)


def add_noise(levels: Levels, noise: GaussianNoise, truncate: bool = True) -> Levels:
    """Add the noise and clip to 0..255.

    Args:
        levels: uint8 of shape (H, W, 3).
        noise: Strength and seed.
        truncate: Drop the fraction of the noise, towards zero, as the library does (which weakens it by about
            half a level) instead of rounding.
    """
    flat = np.ascontiguousarray(levels).reshape(-1)
    result = np.empty_like(flat)
    block = np.empty(_BLOCK, dtype=np.float32)
    cv2.setRNGSeed(noise.seed)
    for start in range(0, flat.size, _BLOCK):
        part = flat[start : start + _BLOCK]
        values = block[: part.size]
        _draw_block(values, noise.std)
        add_values(part, values, truncate, result[start : start + _BLOCK])
    return result.reshape(levels.shape)


def _draw_block(block: NDArray[np.float32], std: float) -> None:
    """Fill with noise, 1.0 = white."""
    # the library passes sigma as float32
    cv2.randn(block, np.zeros(1), np.array([np.float32(std)], dtype=np.float64))
