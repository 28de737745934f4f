"""Neighbouring-pixel relationships: an image minus its nearest-neighbour resampled version.

Tan et al., "Rethinking the Up-Sampling Operations in CNN-based Generative Network for Generalizable Deepfake
Detection", CVPR 2024 (arXiv 2312.10461), equation 4 with l = 2 and j = 1.
"""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from contracts.errors import ConfigError, DataError


def even_size(images: Tensor) -> Tensor:
    """Images [B, C, H, W] without their last row and/or column where H or W is odd (the authors' README).

    Raises:
        DataError: the images have less than 2x2 pixels.
    """
    h, w = images.shape[-2:]
    if h < 2 or w < 2:
        raise DataError(f"an image of {h}x{w} pixels has no 2x2 block, so no residual", "Remove it, or resize.")
    if _symbolic(h, w):  # a slice would export a program for even sizes alone
        rows, columns = (torch.arange(2 * (side // 2), device=images.device) for side in (h, w))
        return images.index_select(-2, rows).index_select(-1, columns)
    return images[..., : h - h % 2, : w - w % 2]


def _symbolic(*sizes: object) -> bool:
    """Whether a size is a symbol of a graph that is being exported for any size."""
    return any(isinstance(size, torch.SymInt) for size in sizes)


def npr_residual(images: Tensor) -> Tensor:
    """Every 2x2 block minus its top-left pixel; bit-identical to `npr_residual_by_resampling`, and faster.

    Args:
        images: [B, C, H, W] float, H and W even.

    Returns:
        [B, C, H, W]; a quarter of the entries are exactly 0.
    """
    b, c, h, w = images.shape
    blocks = images.reshape(b, c, h // 2, 2, w // 2, 2)
    return (blocks - blocks[:, :, :, :1, :, :1]).reshape(b, c, h, w)


def npr_residual_by_resampling(images: Tensor) -> Tensor:
    """The residual as the authors compute it: the image minus itself halved and doubled by nearest neighbour.

    Args:
        images: [B, C, H, W] float, H and W even.
    """
    half = F.interpolate(images, scale_factor=0.5, mode="nearest", recompute_scale_factor=True)
    return images - F.interpolate(half, scale_factor=2.0, mode="nearest", recompute_scale_factor=True)


def nearest_sources(size: int, scale: float, device: torch.device | None = None) -> Tensor:
    """For each of ``size`` pixels, the index it shows after nearest down-sampling by ``scale`` and up-sampling.

    Up-sampling goes to exactly ``size``, so any scale and size work; if floor(size · scale) / scale equals ``size``,
    the result is that of two ``interpolate`` calls.

    Returns:
        [size] int64.

    Raises:
        ConfigError: no pixel remains after down-sampling.
    """
    small = _exported_size(size, scale) if _symbolic(size) else int(size * scale)
    if small < 1:
        raise ConfigError(
            f"scale {scale:g} leaves no pixel of an image side of {size} pixels",
            f"Use images of at least {math.ceil(1 / scale)} pixels, or larger detector.scales.",
        )
    # floor(dst · in / out), the rule of torch's "nearest", in integers to avoid float rounding
    return (torch.arange(size, device=device) * small // size) * size // small


def _exported_size(size: Any, scale: float) -> Any:
    """``int(size * scale)`` of a size that is not known when a graph is exported, which floats would make a constant.

    Raises:
        ConfigError: the scale is not a fraction of small numbers, so that some size could be rounded otherwise.
    """
    ratio = Fraction(scale).limit_denominator(1024)
    sizes = np.arange(1 << 16)
    if ((sizes * scale).astype(np.int64) != sizes * ratio.numerator // ratio.denominator).any():
        raise ConfigError(
            f"scale {scale!r} is not a fraction of small numbers, which a graph of any size needs",
            "Choose detector.eval_view.resize or crop, so that the size is fixed.",
        )
    return size * ratio.numerator // ratio.denominator


def scale_residual(images: Tensor, scale: float) -> Tensor:
    """The image minus itself down-sampled by ``scale`` and up-sampled to its own size, both nearest neighbour.

    Args:
        images: [B, C, H, W] float, any H and W of at least 1 / scale pixels.
        scale: factor in (0, 1).

    Returns:
        [B, C, H, W]; 0 where a pixel is its own source.
    """
    rows, columns = (nearest_sources(side, scale, images.device) for side in images.shape[-2:])
    return images - images.index_select(-2, rows).index_select(-1, columns)
