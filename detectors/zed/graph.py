"""ZED's scores as operators of a graph: networks see the whole image, entropies are taken a few subpixels at a time.

The entropy of every subpixel is a sum over 256 values. A scan keeps only those of a chunk of subpixels in memory.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._higher_order_ops.scan import scan

from detectors.zed.entropy.logistic import VALUES, Mixture, mixture_log_prob
from detectors.zed.models.density import DensityModel, StepOptions
from detectors.zed.models.pyramid import Rounding, build_pyramid
from detectors.zed.scores import scores_of_means

CHUNK = 128  # Subpixels whose entropies are computed at once: 0.7 MB for five components, which a cache holds
BEYOND = 1e9  # Distance in pixel units at which a logistic of any scale of our models is 1


def graph_scores(
    model: DensityModel,
    images: Tensor,
    levels: Sequence[int],
    temperature: Sequence[float],
    rounding: Rounding,
    clamp_p: float | None,
) -> Mapping[str, Tensor]:
    """The scores of `scores_of_means`, each float64 ``[B]``.

    Args:
        model: a density model in evaluation mode.
        images: uint8 ``[B, 3, H, W]``, at least 2 x 2 pixels.
        levels: levels wanted.
        temperature: temperature of each level of the model.
        rounding: rounding of the pyramid.
        clamp_p: see `log_prob`.
    """
    top = model.levels if model.chained else max(levels) + 1
    pyramid = build_pyramid(images, top, rounding)
    means = {}
    context: Tensor | None = None
    for level in range(top - 1, min(levels) - 1, -1):
        x, y = pyramid.x[level].float(), pyramid.y[level]
        if context is not None:
            context = _cropped(model.expand(level, context), y)
        total, count = torch.zeros(2, 1, dtype=torch.float64, device=x.device), torch.zeros((), device=x.device)
        for block, latest in model.steps(level, x, y, context, StepOptions(level in levels, temperature[level])):
            context = latest
            if block is not None:
                nll = -mixture_log_prob(block.value, block.mixture, clamp_p)
                both = torch.stack([nll, _entropy(block.mixture)]).mean(dim=2)  # [2, B, h, w]
                inside = _inside(block.offset, x, y)
                total = total + (both * inside).sum(dim=3).double().sum(dim=2)
                count = count + inside.double().sum()
        if level in levels:
            means[level] = total[0] / count, total[1] / count
    return scores_of_means(means)


def _entropy(mixture: Mixture) -> Tensor:
    """`entropy`, with few operators in the body of the scan, since a runtime spends microseconds on each.

    A matrix product is one pass over memory, broadcast arithmetic several. The last edge stands for the infinite one:
    it is so far away that the logistic is exactly 1.
    """
    edges = torch.arange(VALUES, device=mixture.mu.device, dtype=mixture.mu.dtype) + 0.5
    edges = edges + torch.where(edges > VALUES - 1, BEYOND, 0.0)
    lines = torch.stack([edges, torch.ones_like(edges)])
    inv_s = torch.exp(-mixture.log_s)
    line = torch.stack([inv_s, -mixture.mu * inv_s], dim=-1)  # its product with an edge is e / s - mu / s
    weights = torch.softmax(mixture.logits, dim=-1).unsqueeze(-2)

    def step(carry: Tensor, chunk: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        line, weights = chunk
        cdf = (weights @ torch.sigmoid(line @ lines)).squeeze(-2)
        p = (cdf - F.pad(cdf[:, :-1], (1, 0))).clamp_min(torch.finfo(cdf.dtype).tiny)
        return carry.clone(), (p * torch.log(p)).sum(dim=-1)

    count = weights.flatten(0, -3).shape[0]
    places = torch.arange((count + CHUNK - 1) // CHUNK * CHUNK, device=edges.device).clamp(max=count - 1)
    filled = [each.flatten(0, -3).index_select(0, places) for each in (line, weights)]
    chunks = tuple(each.unflatten(0, (-1, CHUNK)) for each in filled)  # type: ignore[no-untyped-call]
    found: Tensor = scan(step, torch.zeros(1, device=edges.device), chunks)[1]
    return -found.flatten()[:count].view(mixture.mu.shape[:-1])


def _cropped(context: Tensor, y: Tensor) -> Tensor:
    """The context on the grid of ``y``, for any size, which no branch may depend on."""
    for dim in (-2, -1):
        context = context.index_select(dim, torch.arange(y.shape[dim], device=y.device))
    return context


def _inside(offset: tuple[int, int], x: Tensor, y: Tensor) -> Tensor:
    """1 where a phase has a pixel of the image and 0 where it is one row or column short, ``[h, w]``."""
    rows, columns = (
        2 * torch.arange(y.shape[dim - 2], device=x.device) + offset[dim] < x.shape[dim - 2] for dim in (0, 1)
    )
    return (rows[:, None] & columns).float()
