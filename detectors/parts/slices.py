"""Evaluating a batch a few images at a time where that is faster: on a CPU, whose caches hold no more.

The activations of 32 images of 256² go through memory after every layer, those of four stay in the last-level cache:
NPR delivers half as many images again in float32 and nearly twice as many in bfloat16 (`docs/speed.md`).
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

PIXELS = 4 * 256 * 256
"""Of a slice. From two to eight images of 256² are best for residual networks, ConvNeXt and vision transformers."""


def slices(images: Tensor) -> Sequence[Tensor]:
    """[B, C, H, W] in parts of about `PIXELS` pixels, at least an image each; features and GPUs: whole.

    Where a part holds more than four images it holds a multiple of four: convolutions on a CPU then give an image the
    same bits at every place in a part, and so equal images equal scores.
    """
    if images.device.type != "cpu" or images.ndim != 4:
        return (images,)
    height, width = images.shape[-2:]
    count = max(1, PIXELS // max(1, height * width))
    return torch.split(images, count - count % 4 if count > 4 else count)


def in_slices(forward: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """``forward(images)``, [B, …]; slice by slice on a CPU. For evaluation: images must not depend on each other."""
    parts = [forward(part) for part in slices(images)]
    return parts[0] if len(parts) == 1 else torch.cat(parts)
