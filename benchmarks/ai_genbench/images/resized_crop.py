"""Random resized crop to a square, with the evaluation chain's random interpolation."""

import math
import random
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from PIL import Image

from benchmarks.ai_genbench.images.arrays import RgbImage
from benchmarks.ai_genbench.images.squash import squash_levels

Interpolation = Literal["bilinear", "bicubic", "lanczos"]
INTERPOLATIONS: tuple[Interpolation, ...] = ("bilinear", "bicubic", "lanczos")

_PIL_FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
_ATTEMPTS = 10


@dataclass(frozen=True)
class ResizedCrop:
    """A box and the side of the square it becomes, in pixels."""

    top: int
    left: int
    height: int
    width: int
    side: int
    interpolation: Interpolation


def draw_box(
    generator: torch.Generator, height: int, width: int, area: tuple[float, float], ratio: tuple[float, float]
) -> tuple[int, int, int, int]:
    """A random `(top, left, height, width)`, with the random numbers of torchvision's `RandomResizedCrop`.

    Args:
        generator: Source of randomness.
        height: Height of the image.
        width: Width of the image.
        area: Range of the fraction of the image's area.
        ratio: Range of width / height, uniform on a logarithmic scale.
    """
    low, high = (float(bound) for bound in torch.log(torch.tensor(ratio)))
    for _ in range(_ATTEMPTS):
        target = height * width * float(torch.empty(1).uniform_(*area, generator=generator))
        aspect = float(torch.exp(torch.empty(1).uniform_(low, high, generator=generator)))
        box_width = round(math.sqrt(target * aspect))
        box_height = round(math.sqrt(target / aspect))
        if 0 < box_width <= width and 0 < box_height <= height:
            top = int(torch.randint(0, height - box_height + 1, (1,), generator=generator))
            left = int(torch.randint(0, width - box_width + 1, (1,), generator=generator))
            return top, left, box_height, box_width
    box_height, box_width = height, width
    if width / height < min(ratio):
        box_height = round(width / min(ratio))
    elif width / height > max(ratio):
        box_width = round(height * max(ratio))
    return (height - box_height) // 2, (width - box_width) // 2, box_height, box_width


def draw_evaluation_crop(draw: random.Random, generator: torch.Generator, height: int, width: int) -> ResizedCrop:
    """Step 6 of the evaluation chain: side 256..512, interpolation, then area 0.5..1 and ratio 0.9..1/0.9."""
    side = draw.randint(256, 512)
    interpolation = draw.choice(INTERPOLATIONS)
    box = draw_box(generator, height, width, (0.5, 1.0), (0.9, 1 / 0.9))
    return ResizedCrop(*box, side, interpolation)


def resize_values(values: torch.Tensor, height: int, width: int, interpolation: str = "bilinear") -> torch.Tensor:
    """Antialiased resize of a float tensor (3, H, W), which is returned unchanged at equal size."""
    if tuple(values.shape[-2:]) == (height, width):
        return values
    resized: torch.Tensor = torch.nn.functional.interpolate(
        values[None], (height, width), mode=interpolation, align_corners=False, antialias=True
    )
    return resized[0]


def resize_levels(image: RgbImage, height: int, width: int, interpolation: Interpolation = "bilinear") -> RgbImage:
    """Pillow's resize, in integers: clamped and rounded."""
    levels = image.levels()
    if levels.shape[:2] != (height, width):
        levels = np.asarray(Image.fromarray(levels).resize((width, height), _PIL_FILTERS[interpolation]))
    return RgbImage(levels, image.pil)


def apply_resized_crop(image: RgbImage, crop: ResizedCrop, in_floats: bool) -> RgbImage:
    """Cut the box and resize it.

    Args:
        image: The image to cut from.
        crop: The box, side and interpolation.
        in_floats: Whether bilinear and bicubic resize float tensors, as in the original (bicubic is not clamped),
            instead of levels, as Lanczos always does.
    """
    box = image.crop(crop.top, crop.left, crop.height, crop.width)
    if in_floats and crop.interpolation != "lanczos":
        if isinstance(box.pixels, torch.Tensor) or box.pil or (crop.height, crop.width) == (crop.side, crop.side):
            return RgbImage(resize_values(box.values(), crop.side, crop.side, crop.interpolation))
        return RgbImage(squash_levels(box.pixels, crop.side, crop.side, crop.interpolation))
    resized = resize_levels(box, crop.side, crop.side, crop.interpolation)
    return RgbImage(resized.pixels, pil=in_floats)
