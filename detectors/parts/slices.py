"""Evaluating a batch a few images at a time where that is faster: on a CPU, whose caches hold no more.

The activations of 32 images of 256² go through memory after every layer, those of four stay in the last-level cache:
NPR delivers half as many images again in float32 and nearly twice as many in bfloat16 (`docs/speed.md`).
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from detectors.parts.precision import in_fours

PIXELS = 4 * 256 * 256
"""Of a slice. From two to eight images of 256² are best for residual networks, ConvNeXt and vision transformers."""


def slices(images: Tensor) -> Sequence[Tensor]:
    """[B, C, H, W] in parts of about `PIXELS` pixels; features and GPUs: whole.

    Parts hold a multiple of four images, or all hold one, and none is left with a single image that has companions:
    kernels on a CPU sum a single image in another order, and equal images must get equal scores.
    """
    count = _count(images)
    parts = list(torch.split(images, count))
    if count > 1 and len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


def in_slices(forward: Callable[[Tensor], Tensor], images: Tensor, fours: bool = False) -> Tensor:
    """``forward(images)``, [B, …]; slice by slice on a CPU. For evaluation: images must not depend on each other.

    Args:
        forward: the network.
        images: [B, C, H, W], or features.
        fours: pad slices of several images to a multiple of four (`in_fours`), for networks with linear layers inside.
    """
    pad = fours and _count(images) > 1
    parts = [in_fours(forward, part) if pad else forward(part) for part in slices(images)]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _count(images: Tensor) -> int:
    """Images of a part: a multiple of four, or one."""
    if images.device.type != "cpu" or images.ndim != 4:
        return max(1, len(images))
    fits = PIXELS // max(1, images.shape[-2] * images.shape[-1])
    return max(1, fits - fits % 4)
