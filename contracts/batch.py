"""The batch: what flows from files to detectors."""

from typing import NamedTuple

import torch
from torch import Tensor


class Batch(NamedTuple):
    """B crops of N images; B = N unless evaluation looks at several crops of an image.

    Attributes:
        images: [B, 3, H, W] RGB; uint8 0..255, or float32 where a degradation left the 8-bit grid (1.0 = white,
            values outside [0, 1] possible). Normalisation belongs to the detector, on its device. Or [B, D] float32,
            what a detector's frozen part made of them (`detectors.base.FrozenPart`).
        label: [N] int64; 0 real, 1 generated, -1 unknown.
        generator: [N] int64 index into the data module's ``generator_names``; 0 is "" (real or unknown).
        row: [N] int64 row of the manifest, unique over ranks; -1 never occurs.
        crop_to_image: [B] int64, position in 0..N-1 of the image each crop belongs to.
        key: [N] int64 random key of (seed, epoch, image id), for augmentation on the device.
    """

    images: Tensor
    label: Tensor
    generator: Tensor
    row: Tensor
    crop_to_image: Tensor
    key: Tensor


def as_unit_float(images: Tensor) -> Tensor:
    """Images as float32 with 1.0 = white: uint8 is divided by 255, floats pass."""
    return images.to(torch.float32).div_(255) if images.dtype == torch.uint8 else images
