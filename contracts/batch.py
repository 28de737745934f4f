"""The batch that data modules pass to detectors."""

from typing import NamedTuple

import torch
from torch import Tensor


class Batch(NamedTuple):
    """B crops of N images; B = N unless several crops of an image are evaluated."""

    images: Tensor
    """[B, 3, H, W] RGB; uint8 0..255, or float32 if a degradation gives values between the 8-bit steps (1.0 = white,
    values outside [0, 1] are possible). The detector normalises them on its device. Alternatively [B, D] float32:
    features from a detector's frozen part (`detectors.base.FrozenPart`)."""
    label: Tensor  # [N] int64; 0 real, 1 generated, -1 unknown
    generator: Tensor  # [N] int64 index into the data module's ``generator_names``; 0 is "" (real or unknown)
    row: Tensor  # [N] int64 row of the manifest, unique over ranks, never negative
    crop_to_image: Tensor  # [B] int64, index (0 to N - 1) of the image that each crop belongs to
    key: Tensor  # [N] int64 random key of (seed, epoch, image id), for augmentation on the device


def as_unit_float(images: Tensor) -> Tensor:
    """Images as float32 with 1.0 = white: uint8 is divided by 255, float images are returned unchanged."""
    return images.to(torch.float32).div_(255) if images.dtype == torch.uint8 else images
