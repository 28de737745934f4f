"""AI-GenBench's training pipelines: a deterministic part, seeded by position or image id, and a stochastic one.

`baseline` is the benchmark's default; `soft` applies the evaluation chain to training images. The leaderboard's rules
restrict the stochastic part to rotation, flip and crop.
"""

import random
from typing import Literal, get_args

import numpy as np
import torch

from benchmarks.ai_genbench.images.arrays import Levels, RgbImage
from benchmarks.ai_genbench.images.blur_numba import gaussian_rows
from benchmarks.ai_genbench.images.cropping import CROP_SIZE, TrainCropping, train_crop
from benchmarks.ai_genbench.images.degrade import (
    MAXIMUM_SIZE,
    CropBox,
    apply_plan,
    check_levels,
    check_protocol,
    draw_plan,
    draw_size_crop,
    to_grayscale,
)
from benchmarks.ai_genbench.images.jitter_numba import CONTRAST, adjust
from benchmarks.ai_genbench.images.jpeg import draw_jpeg, jpeg_round_trip
from benchmarks.ai_genbench.images.noise import LIBRARY_STD_RANGE, add_noise, draw_noise
from benchmarks.ai_genbench.images.resized_crop import draw_box, resize_levels
from benchmarks.ai_genbench.protocol.seeds import ItemSeeds, Protocol
from contracts.errors import ConfigError, nearest

Pipeline = Literal["baseline", "soft"]

RESIZED_CROP_PROBABILITY = 0.2
RESIZED_CROP_SIDE = 256
JITTER_PROBABILITY = 0.8
JITTER = (0.4, 0.4, 0.4, 0.1)
"""Brightness, contrast and saturation up to ± this factor, hue up to ± this fraction of the circle."""
HUES = 255  # Levels of hue that torchvision counts in the circle
GRAYSCALE_PROBABILITY = 0.2
DROPOUT_PROBABILITY = 0.2
DROPOUT_SIDES = (1, 48)
DROPOUT_FILL = 128
NOISE_PROBABILITY = 0.2
BLUR_PROBABILITY = 0.5
MAX_BLUR_SIGMA = 3.0
BLUR_REACH = 4.0  # Standard deviations beyond which SciPy's Gaussian is 0
JPEG_PROBABILITY = 0.5
LOWEST_QUALITY = 30
FLIP_PROBABILITY = 0.5


def augment(
    levels: Levels, seeds: ItemSeeds, pipeline: Pipeline, protocol: Protocol, maximum_size: int | None = MAXIMUM_SIZE
) -> RgbImage:
    """The deterministic part: the same seeds give the same image in every epoch.

    Args:
        levels: uint8 RGB of shape (H, W, 3).
        seeds: Seeds of this copy of the image (`seeds.v1_seeds` by row, `seeds.fixed_seeds` by image id).
        pipeline: `baseline` or `soft`.
        protocol: `v1` keeps the original's arithmetic (blur truncates; one random number decides on both noise and
            hole), `fixed` rounds and decides independently.
        maximum_size: Longest side kept; longer ones are cropped at random.

    Raises:
        ValueError: The image is not uint8 RGB.
        ConfigError: Unknown pipeline or protocol.
    """
    check_levels(levels)
    if pipeline == "soft":
        plan = draw_plan(levels.shape[0], levels.shape[1], seeds, protocol, maximum_size, train=True)
        return apply_plan(levels, plan)
    if pipeline == "baseline":
        return RgbImage(_baseline(levels, seeds, protocol, maximum_size))
    raise ConfigError(f"training pipeline {pipeline!r} is unknown", nearest(pipeline, get_args(Pipeline)))


def vary(image: RgbImage, seed: int, cropping: TrainCropping, size: int = CROP_SIZE) -> RgbImage:
    """The stochastic part: quarter turns, mirroring, crop.

    Args:
        image: From `augment`.
        seed: A new seed each time the image is shown. The original takes it from the operating system's entropy; derive
            it from the run's seed, epoch and image to resume exactly.
        cropping: Size adaptation, see `cropping.train_crop`.
        size: Side of the crop.
    """
    generator = torch.Generator().manual_seed(seed)
    turns = random.Random(seed).choice((0, 90, 180, 270)) // 90
    torch.rand(1, generator=generator)  # the original decides at random on a rotation of probability 1
    image = image.rotate(turns)
    if bool(torch.rand(1, generator=generator) < FLIP_PROBABILITY):
        image = image.flip()
    return train_crop(image, cropping, generator, size)


def color_jitter(levels: Levels, generator: torch.Generator) -> Levels:
    """Brightness, contrast, saturation and hue in random order, as torchvision's `ColorJitter` on PIL images."""
    order = np.array(torch.randperm(4, generator=generator).tolist(), np.int32)
    ranges = [(1 - width, 1 + width) for width in JITTER[:3]] + [(-JITTER[3], JITTER[3])]
    factors = [float(torch.empty(1).uniform_(*bounds, generator=generator)) for bounds in ranges]
    blends, shift = np.array(factors, np.float32), int(factors[3] * HUES)
    pixels = np.ascontiguousarray(levels).reshape(-1)
    jittered = np.empty_like(pixels)
    before = int(np.flatnonzero(order == CONTRAST)[0])  # contrast needs the mean of what came before
    luma = adjust(pixels, jittered, order[:before], blends, shift, 0.0)
    adjust(jittered, jittered, order[before:], blends, shift, float(int(luma / (pixels.size // 3) + 0.5)))
    return jittered.reshape(levels.shape)


def drop_hole(levels: Levels, seed: int) -> Levels:
    """With probability 0.2, one grey rectangle of 1..48 pixels a side (albumentations 2.0.8 `CoarseDropout`)."""
    if random.Random(seed).random() >= DROPOUT_PROBABILITY:
        return levels
    generator = np.random.default_rng(seed)
    height, width = levels.shape[:2]
    smallest, largest = DROPOUT_SIDES
    hole_height = int(generator.integers(smallest, min(largest, height) + 1, size=1)[0])
    hole_width = int(generator.integers(smallest, min(largest, width) + 1, size=1)[0])
    top = int(generator.integers(0, height - hole_height + 1, size=1)[0])
    left = int(generator.integers(0, width - hole_width + 1, size=1)[0])
    holed = levels.copy()
    holed[top : top + hole_height, left : left + hole_width] = DROPOUT_FILL
    return holed


def blur(levels: Levels, sigma: float, truncate: bool) -> Levels:
    """Gaussian blur of each channel.

    Args:
        levels: uint8 of shape (H, W, 3).
        sigma: Standard deviation in pixels.
        truncate: Truncate to uint8 after each of the two passes, as SciPy's `gaussian_filter` does on uint8 (on
            average about 0.95 levels darker), instead of rounding once.
    """
    radius = int(BLUR_REACH * sigma + 0.5)
    if not radius:
        return levels
    places = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 / (sigma * sigma) * places**2)
    rows = np.ascontiguousarray(levels).reshape(len(levels), -1)
    smooth = np.empty_like(rows)
    gaussian_rows(rows, (weights / weights.sum())[radius:], truncate, smooth)
    return smooth.reshape(levels.shape)


def _baseline(levels: Levels, seeds: ItemSeeds, protocol: Protocol, maximum_size: int | None) -> Levels:
    check_protocol(protocol)
    generator = torch.Generator().manual_seed(seeds.torch)
    draw = random.Random(seeds.python)
    truncate = protocol == "v1"

    def fires(probability: float) -> bool:
        return bool(torch.rand(1, generator=generator) < probability)

    height, width, _ = levels.shape
    if maximum_size and (box := draw_size_crop(generator, height, width, maximum_size, protocol, train=True)):
        levels = box.of(levels)
    if fires(RESIZED_CROP_PROBABILITY):
        levels = _resized_crop(levels, generator)
    if fires(JITTER_PROBABILITY):
        levels = color_jitter(levels, generator)
    if fires(GRAYSCALE_PROBABILITY):
        levels = to_grayscale(levels)
    levels = drop_hole(levels, seeds.dropout)
    if noise := draw_noise(seeds.noise, NOISE_PROBABILITY, LIBRARY_STD_RANGE):
        levels = add_noise(levels, noise, truncate)
    if fires(BLUR_PROBABILITY):
        levels = blur(levels, MAX_BLUR_SIGMA * draw.random(), truncate)
    if fires(JPEG_PROBABILITY):
        levels = jpeg_round_trip(levels, draw_jpeg(draw, LOWEST_QUALITY))
    return levels


def _resized_crop(levels: Levels, generator: torch.Generator) -> Levels:
    height, width, _ = levels.shape
    box = draw_box(generator, height, width, (0.08, 1.0), (3 / 4, 4 / 3))
    return resize_levels(RgbImage(CropBox(*box).of(levels)), RESIZED_CROP_SIDE, RESIZED_CROP_SIDE).levels()
