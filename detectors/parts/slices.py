"""Evaluation of a few images at a time on a CPU, which is faster because their activations fit in its caches.

The activations of 32 images of 256² go through memory after every layer, those of four stay in the last-level cache:
NPR is 1.5 times as fast in float32 and nearly twice as fast in bfloat16 (`docs/speed.md`).
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from detectors.parts.precision import in_fours

PIXELS = 4 * 256 * 256
"""Pixels of a slice. Two to eight images of 256² are fastest for residual networks, ConvNeXt and transformers."""


def slices(images: Tensor, pixels: int | None = None) -> Sequence[Tensor]:
    """Split [B, C, H, W] into parts of about ``pixels`` pixels; features and images on a GPU are not split.

    ``pixels`` is `PIXELS` unless given.
    Either every part has one image, or parts have a multiple of four images and the last has more than one: CPU kernels
    sum a single image in another order, and equal images must get equal scores.
    """
    count = _count(images, pixels or PIXELS)
    parts = list(torch.split(images, count))
    if count > 1 and len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


def in_slices(
    forward: Callable[[Tensor], Tensor], images: Tensor, pixels: int | None = None, fours: bool = False
) -> Tensor:
    """``forward(images)`` [B, …], on a CPU slice by slice; for evaluation, where images do not affect each other.

    Args:
        forward: the network.
        images: [B, C, H, W], or features.
        pixels: pixels of a slice; None for `PIXELS`.
        fours: pad slices of several images to a multiple of four (`in_fours`); for networks with linear layers.
    """
    if torch.compiler.is_exporting():  # a graph's number of images is not known when it is made
        return forward(images)
    pad = fours and _count(images, pixels or PIXELS) > 1
    parts = [in_fours(forward, part) if pad else forward(part) for part in slices(images, pixels)]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _count(images: Tensor, pixels: int) -> int:
    """Images per part: a multiple of four, or one."""
    if images.device.type != "cpu" or images.ndim != 4:
        return max(1, len(images))
    fits = pixels // max(1, images.shape[-2] * images.shape[-1])
    return max(1, fits - fits % 4)
