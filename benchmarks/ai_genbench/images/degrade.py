"""The mandatory degradation of AI-GenBench's evaluation images (and the deterministic part of `soft` training).

Every decision depends only on the seed and on the image's size, so a plan is made first, without reading pixels, and
then applied.
"""

import random
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from PIL import Image

from benchmarks.ai_genbench.images.arrays import Levels, RgbImage
from benchmarks.ai_genbench.images.jpeg import Jpeg, draw_jpeg, draw_v1_jpeg, jpeg_round_trip
from benchmarks.ai_genbench.images.noise import EVALUATION_STD_RANGE, GaussianNoise, add_noise, draw_noise
from benchmarks.ai_genbench.images.resized_crop import ResizedCrop, apply_resized_crop, draw_evaluation_crop
from benchmarks.ai_genbench.protocol.seeds import PROTOCOLS, ItemSeeds, Protocol
from contracts.errors import ConfigError, nearest

MAXIMUM_SIZE = 1080  # `maximum_processing_size`: longer sides are cropped to this many pixels

GRAYSCALE_PROBABILITY = 0.1
JPEG_PROBABILITIES = (0.5, 0.2, 0.1)
NOISE_PROBABILITY = 0.3
RESIZED_CROP_PROBABILITY = 0.25
LOWEST_QUALITY = 50


@dataclass(frozen=True)
class CropBox:
    """A box in pixels."""

    top: int
    left: int
    height: int
    width: int

    def of(self, levels: Levels) -> Levels:
        """The part of an image in the box."""
        return levels[self.top : self.top + self.height, self.left : self.left + self.width]


@dataclass(frozen=True)
class Plan:
    """The steps of one image's degradation, in this order; None or False for a step that is left out."""

    protocol: Protocol
    crop: CropBox | None
    grayscale: bool = False
    jpeg_first: Jpeg | None = None
    noise: GaussianNoise | None = None
    jpeg_second: Jpeg | None = None
    resized_crop: ResizedCrop | None = None
    jpeg_third: Jpeg | None = None


def draw_size_crop(
    generator: torch.Generator, height: int, width: int, maximum_size: int, protocol: Protocol, train: bool
) -> CropBox | None:
    """Crop to at most `maximum_size` a side, without padding; None where both sides fit.

    The original declares its evaluation crop central, but chooses it at random like the training crop: left before top,
    only along sides that are too long, never the last offset. `fixed` evaluates the centre and trains on any offset.
    """
    if max(height, width) <= maximum_size:
        return None
    box_height, box_width = min(height, maximum_size), min(width, maximum_size)
    slack_y, slack_x = height - box_height, width - box_width
    if protocol == "fixed" and not train:
        return CropBox(slack_y // 2, slack_x // 2, box_height, box_width)
    last = 0 if protocol == "v1" else 1
    left = int(torch.randint(0, slack_x + last, (1,), generator=generator)) if slack_x else 0
    top = int(torch.randint(0, slack_y + last, (1,), generator=generator)) if slack_y else 0
    return CropBox(top, left, box_height, box_width)


def draw_plan(
    height: int,
    width: int,
    seeds: ItemSeeds,
    protocol: Protocol,
    maximum_size: int | None = MAXIMUM_SIZE,
    train: bool = False,
) -> Plan:
    """Choose the evaluation chain of one image.

    Args:
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        seeds: From `seeds.v1_seeds` or `seeds.fixed_seeds`.
        protocol: `v1` chooses as the original does: JPEG quality 50 or 100, a random crop of large images. `fixed`
            chooses quality 50..100 and crops centrally.
        maximum_size: Longest side kept; None keeps any size.
        train: Whether it is for training (the `soft` pipeline), where large images are cropped at random.

    Raises:
        ConfigError: Unknown protocol.
    """
    check_protocol(protocol)
    generator = torch.Generator().manual_seed(seeds.torch)
    draw = random.Random(seeds.python)

    def fires(probability: float) -> bool:
        return bool(torch.rand(1, generator=generator) < probability)

    def jpeg(probability: float) -> Jpeg | None:
        if not fires(probability):
            return None
        return draw_v1_jpeg(draw) if protocol == "v1" else draw_jpeg(draw, LOWEST_QUALITY)

    crop = draw_size_crop(generator, height, width, maximum_size, protocol, train) if maximum_size else None
    if crop:
        height, width = crop.height, crop.width
    grayscale = fires(GRAYSCALE_PROBABILITY)
    jpeg_first = jpeg(JPEG_PROBABILITIES[0])
    noise = draw_noise(seeds.noise, NOISE_PROBABILITY, EVALUATION_STD_RANGE)
    jpeg_second = jpeg(JPEG_PROBABILITIES[1])
    resized = draw_evaluation_crop(draw, generator, height, width) if fires(RESIZED_CROP_PROBABILITY) else None
    return Plan(protocol, crop, grayscale, jpeg_first, noise, jpeg_second, resized, jpeg(JPEG_PROBABILITIES[2]))


def apply_plan(levels: Levels, plan: Plan) -> RgbImage:
    """Degrade one image.

    Args:
        levels: uint8 RGB of shape (H, W, 3), of the plan's image size.
        plan: From `draw_plan`.

    Returns:
        Levels, or, under `v1` after a bilinear or bicubic resized crop without a later JPEG, float values.
    """
    v1 = plan.protocol == "v1"
    if plan.crop:
        levels = plan.crop.of(levels)
    if plan.grayscale:
        levels = to_grayscale(levels)
    if plan.jpeg_first:
        levels = jpeg_round_trip(levels, plan.jpeg_first)
    if plan.noise:
        levels = add_noise(levels, plan.noise, truncate=v1)
    if plan.jpeg_second:
        levels = jpeg_round_trip(levels, plan.jpeg_second)
    image = RgbImage(levels)
    if plan.resized_crop:
        image = apply_resized_crop(image, plan.resized_crop, in_floats=v1)
    if plan.jpeg_third:
        # v1 casts unclamped bicubic values to uint8, modulo 256
        image = RgbImage(jpeg_round_trip(image.levels(wrap=v1), plan.jpeg_third), image.pil)
    return image


def degrade(levels: Levels, seeds: ItemSeeds, protocol: Protocol, maximum_size: int | None = MAXIMUM_SIZE) -> RgbImage:
    """Choose and apply the evaluation chain; see `draw_plan` and `apply_plan`.

    Raises:
        ValueError: The image is not uint8 RGB.
        ConfigError: Unknown protocol.
    """
    check_levels(levels)
    return apply_plan(levels, draw_plan(levels.shape[0], levels.shape[1], seeds, protocol, maximum_size))


def to_grayscale(levels: Levels) -> Levels:
    """Luma (ITU-R 601, Pillow's integer arithmetic) repeated on three channels."""
    luma = np.asarray(Image.fromarray(levels).convert("L"))
    return np.asarray(cv2.cvtColor(luma, cv2.COLOR_GRAY2RGB), dtype=np.uint8)


def check_levels(levels: Levels) -> None:
    """Check that an array is uint8 RGB.

    Raises:
        ValueError: Another dtype or shape than uint8 (H, W, 3).
    """
    if levels.dtype != np.uint8 or levels.ndim != 3 or levels.shape[2] != 3:
        raise ValueError(f"an image of {levels.dtype} {levels.shape} is not uint8 RGB of shape (H, W, 3).")


def check_protocol(protocol: str) -> None:
    """Check a protocol's name.

    Raises:
        ConfigError: `protocol` is neither `v1` nor `fixed`.
    """
    if protocol not in PROTOCOLS:
        raise ConfigError(f"benchmark protocol {protocol!r} is unknown", nearest(protocol, PROTOCOLS))
