"""ZED's scores as operators of a graph: networks see the whole image, surprise is taken a few subpixels at a time.

The entropy of every subpixel is a sum over 256 values. A scan keeps only those of a chunk of subpixels in memory. All
levels share it: the time that an export takes grows with the number of operators.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._higher_order_ops.scan import scan

from detectors.zed.entropy.logistic import VALUES, Mixture, mixture_log_prob
from detectors.zed.models.density import CodedBlock, DensityModel, StepOptions
from detectors.zed.models.pyramid import Rounding, build_pyramid
from detectors.zed.scores import scores_of_means

SMALL = 128  # Subpixels whose entropies are computed at once: 0.7 MB for five components, which a cache holds
LARGE = 4096  # Subpixels whose likelihoods are computed at once, likewise
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
    blocks: dict[int, list[CodedBlock]] = {}
    context: Tensor | None = None
    for level in range(top - 1, min(levels) - 1, -1):
        x, y = pyramid.x[level].float(), pyramid.y[level]
        if context is not None:
            context = _cropped(model.expand(level, context), y)
        for block, latest in model.steps(level, x, y, context, StepOptions(level in levels, temperature[level])):
            context = latest
            if block is not None:
                blocks.setdefault(level, []).append(block)
    every = [block for found in blocks.values() for block in found]
    parameters = (
        torch.cat([one.flatten(1, 3) for one in kind], 1) for kind in zip(*(b.mixture for b in every), strict=True)
    )
    values = torch.cat([block.value.flatten(1) for block in every], dim=1)
    both = _surprise(values, Mixture(*parameters), clamp_p).double()
    means, start = {}, 0
    for level, found in blocks.items():
        inside = torch.cat([_inside(block, pyramid.x[level]) for block in found])
        stop = start + inside.shape[0]
        total = (both[..., start:stop] * inside).sum(dim=-1) / inside.sum()
        means[level], start = (total[0], total[1]), stop
    return scores_of_means(means)


def _surprise(values: Tensor, mixture: Mixture, clamp_p: float | None) -> Tensor:
    """NLL and entropy, ``[2, B, N]``, of values ``[B, N]`` and their mixtures ``[B, N, K]``."""

    def nll(value: Tensor, *parameters: Tensor) -> Tensor:
        return -mixture_log_prob(value, Mixture(*parameters), clamp_p)

    inv_s = torch.exp(-mixture.log_s)
    line = torch.stack([inv_s, -mixture.mu * inv_s], dim=-1)  # its product with an edge is e / s - mu / s
    weights = torch.softmax(mixture.logits, dim=-1).unsqueeze(-2)
    found = _in_chunks(nll, LARGE, values, *mixture), _in_chunks(_entropy, SMALL, line, weights)
    return torch.stack(found).view(2, *values.shape)


def _entropy(line: Tensor, weights: Tensor) -> Tensor:
    """`entropy`, with few operators, since a runtime spends microseconds on each.

    A matrix product is one pass over memory, broadcast arithmetic several. The last edge stands for the infinite one:
    it is so far away that the logistic is exactly 1.
    """
    edges = torch.arange(VALUES, device=line.device, dtype=line.dtype) + 0.5
    edges = edges + torch.where(edges > VALUES - 1, BEYOND, 0.0)
    cdf = (weights @ torch.sigmoid(line @ torch.stack([edges, torch.ones_like(edges)]))).squeeze(-2)
    p = (cdf - F.pad(cdf[:, :-1], (1, 0))).clamp_min(torch.finfo(cdf.dtype).tiny)
    return -(p * torch.log(p)).sum(dim=-1)


def _in_chunks(function: Callable[..., Tensor], size: int, *given: Tensor) -> Tensor:
    """A function of subpixels, ``[B, N, …]`` → ``[B N]``, applied to ``size`` of them at a time."""
    flat = [one.flatten(0, 1) for one in given]
    count = flat[0].shape[0]
    places = torch.arange((count + size - 1) // size * size, device=flat[0].device).clamp(max=count - 1)
    chunks = tuple(one.index_select(0, places).unflatten(0, (-1, size)) for one in flat)  # type: ignore[no-untyped-call]

    def step(carry: Tensor, chunk: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        return carry.clone(), function(*chunk)

    found: Tensor = scan(step, torch.zeros(1, device=flat[0].device), chunks)[1]
    return found.flatten()[:count]


def _cropped(context: Tensor, y: Tensor) -> Tensor:
    """The context on the grid of ``y``, for any size, which no branch may depend on."""
    for dim in (-2, -1):
        context = context.index_select(dim, torch.arange(y.shape[dim], device=y.device))
    return context


def _inside(block: CodedBlock, x: Tensor) -> Tensor:
    """1 where a phase has a pixel of the image and 0 where it is one row or column short, ``[3 h w]``, float64."""
    rows, columns = (
        2 * torch.arange(block.value.shape[dim], device=x.device) + block.offset[dim] < x.shape[dim] for dim in (-2, -1)
    )
    return (rows[:, None] & columns).double().expand(3, -1, -1).flatten()
