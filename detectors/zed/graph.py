"""ZED's scores as operators of a graph: the networks see the whole image, likelihoods are taken a row at a time.

The entropy of every subpixel is a sum over 256 values. A scan over rows keeps only those of one row in memory.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch._higher_order_ops.scan import scan

from detectors.zed.entropy.logistic import VALUES, Mixture, chain_weights, mixture_log_prob
from detectors.zed.models.heads import Heads
from detectors.zed.models.pyramid import OFFSETS, Rounding, build_pyramid, subimages
from detectors.zed.scores import scores_of_means

BEYOND = 1e9  # Distance in pixel units at which a logistic of any scale of our models is 0 or 1


def graph_scores(
    model: Heads,
    images: Tensor,
    levels: Sequence[int],
    temperature: Sequence[float],
    rounding: Rounding,
    clamp_p: float | None,
) -> Mapping[str, Tensor]:
    """The scores of `scores_of_means`, each float64 ``[B]``.

    Args:
        model: heads in evaluation mode.
        images: uint8 ``[B, 3, H, W]``, at least 2 x 2 pixels.
        levels: levels wanted.
        temperature: temperature of each level of the model.
        rounding: rounding of the pyramid.
        clamp_p: see `log_prob`.
    """
    pyramid = build_pyramid(images, max(levels) + 1, rounding)
    means = {}
    for level in levels:
        x, y = pyramid.x[level].float(), pyramid.y[level]
        logits, mu, log_s = model.head(level)(y)
        shared = Mixture(logits / temperature[level], mu, log_s)
        rows = tuple(p.permute(3, 0, 2, 1, 4, 5) for p in shared)  # [h, B, channels, phases, w, K]
        values = torch.stack(subimages(x), dim=2).permute(3, 0, 1, 2, 4)  # [h, B, channels, phases, w]
        total = _sums((values, *rows, _inside(x, y)), clamp_p) / (x.shape[-2] * x.shape[-1])
        means[level] = total[:, 0], total[:, 1]
    return scores_of_means(means)


def _sums(rows: tuple[Tensor, ...], clamp_p: float | None) -> Tensor:
    """Sums of NLL and entropy over the pixels of an image, each a mean of channels: float64 ``[B, 2]``."""

    def step(carry: Tensor, row: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        value, logits, mu, log_s, inside = row
        mixture = chain_weights(value, Mixture(logits, mu, log_s))
        both = torch.stack([-mixture_log_prob(value, mixture, clamp_p), _entropy(mixture)], dim=1).mean(dim=2)
        found = (both * inside).double().sum(dim=(2, 3))
        return carry + found, found.clone()

    start = torch.zeros(rows[0].shape[1], 2, dtype=torch.float64, device=rows[0].device)
    total: Tensor = scan(step, start, rows)[0]
    return total


def _entropy(mixture: Mixture) -> Tensor:
    """`entropy` in few passes over memory: runtimes do a matrix product in one, and broadcast arithmetic in several.

    The first and last edge stand for the infinite ones: they are so far away that the logistic is exactly 0 and 1.
    """
    inv_s = torch.exp(-mixture.log_s)
    edges = torch.arange(VALUES + 1, device=inv_s.device, dtype=inv_s.dtype) - 0.5
    edges = edges + torch.where(edges < 0, -BEYOND, torch.where(edges > VALUES - 1, BEYOND, 0.0))
    lines = torch.stack([edges, torch.ones_like(edges)])  # e / s - mu / s as a matrix product
    below = torch.sigmoid(torch.stack([inv_s, -mixture.mu * inv_s], dim=-1) @ lines)
    weights = torch.softmax(mixture.logits, dim=-1).unsqueeze(-2)
    cdf = (weights @ below).squeeze(-2)
    p = (cdf[..., 1:] - cdf[..., :-1]).clamp_min(torch.finfo(cdf.dtype).tiny)
    return -(p * torch.log(p)).sum(dim=-1)


def _inside(x: Tensor, y: Tensor) -> Tensor:
    """1 where a phase has a pixel of the image and 0 where it is one row or column short, ``[h, phases, w]``."""
    (height, width), (h, w) = x.shape[-2:], y.shape[-2:]
    row, column = torch.arange(h, device=x.device)[:, None], torch.arange(w, device=x.device)
    phases = [(2 * row + i < height) & (2 * column + j < width) for i, j in OFFSETS]
    return torch.stack(phases, dim=1).float()
