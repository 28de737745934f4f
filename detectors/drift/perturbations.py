"""Perturbations of images, and similarities of the features before and after.

RIGID (He, Chen, Ho, arXiv 2405.20112) adds noise, MINDER (Tsai et al., arXiv 2411.19117) takes the smaller of the
distances under noise and under blur, WaRPAD (arXiv 2511.14030) removes part of the high Haar band.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def noisy(unit: Tensor, noise: Tensor, sigma: float) -> Tensor:
    """``unit + sigma · noise``, clamped.

    Args:
        unit: images [B, 3, H, W] on the unit range.
        noise: standard normal numbers of the same shape.
        sigma: standard deviation on the unit range.
    """
    return torch.clamp(unit + sigma * noise, 0, 1)


def blurred(unit: Tensor, sigma: float) -> Tensor:
    """Images [B, 3, H, W] on the unit range under a Gaussian of 3 x 3 taps, with reflected borders.

    Its standard deviation is in pixels.
    """
    taps = torch.exp(-0.5 * (torch.arange(-1.0, 2.0, device=unit.device) / sigma) ** 2)
    taps = (taps / taps.sum()).expand(3, 1, 3)
    padded = F.pad(unit, (1, 1, 1, 1), mode="reflect")
    rows = F.conv2d(padded, taps[:, :, None, :], groups=3)
    return F.conv2d(rows, taps[:, :, :, None], groups=3).clamp(0, 1)


def sharpened(unit: Tensor, blur: Tensor) -> Tensor:
    """Unsharp mask of weight 1: ``2 · unit - blur``, clamped."""
    return (2 * unit - blur).clamp(0, 1)


def haar_high_band(x: Tensor, levels: int = 2) -> Tensor:
    """What remains of x [B, C, H, W] without the low band of a Haar transform.

    Zeroing that band after ``levels`` levels and transforming back removes the mean of every block of 2**levels pixels
    a side; H and W must be multiples of it.
    """
    block = 2**levels
    low = F.avg_pool2d(x, block)
    return x - low.repeat_interleave(block, -2).repeat_interleave(block, -1)


def patches(x: Tensor, side: int) -> Tensor:
    """Images [B, C, H, W] → [B, n, C, side, side], without overlap, row by row; incomplete ones are left out."""
    cut = x.unfold(2, side, side).unfold(3, side, side)  # [B, C, rows, columns, side, side]
    return cut.permute(0, 2, 3, 1, 4, 5).flatten(1, 2)


def similarity(before: Tensor, after: Tensor) -> Tensor:
    """Cosine along the last axis, float64: those of interest differ from 1 by less than float32 resolves well."""
    return F.cosine_similarity(before.double(), after.double(), dim=-1)


def token_similarity(before: Tensor, after: Tensor) -> Tensor:
    """Tokens [B, T, D] → [B]: the Euclidean norm of the T cosines, at most √T (RealStats' "norm" form of RIGID)."""
    norms: Tensor = torch.linalg.vector_norm(similarity(before, after), dim=1)
    return norms


def mean_feature_similarity(before: Tensor, after: Tensor, weights: Sequence[float] | None = None) -> Tensor:
    """Cosine with the mean of several perturbed features, which is not the mean of cosines.

    Args:
        before: [B, D].
        after: [n, B, D].
        weights: weights of the n features; None for equal ones.
    """
    share = after.new_tensor([1 / len(after)] * len(after) if weights is None else list(weights))
    return similarity(before, torch.einsum("n,nbd->bd", share, after))
