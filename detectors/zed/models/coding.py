"""Coding cost of images under a density model: the training loss, and the size of the lossless file."""

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from detectors.zed.entropy.logistic import Mixture, mixture_log_prob
from detectors.zed.models.density import DensityModel, StepOptions
from detectors.zed.models.pyramid import Rounding, build_pyramid


class LevelCost(NamedTuple):
    """Cost of one level."""

    bits: Tensor  # Total over the coded subpixels of each image, float32 ``[B]``
    subpixels: int  # Number of coded subpixels in an image

    @property
    def per_subpixel(self) -> Tensor:
        """Bits per coded subpixel of this level, ``[B]``."""
        return self.bits / self.subpixels


def coding_cost(
    model: DensityModel,
    image: Tensor,
    levels: Iterable[int] | None = None,
    *,
    rounding: Rounding = "ties_down",
    clamp_p: float | None = None,
) -> dict[int, LevelCost]:
    """Cost of each level, differentiable in the model's parameters.

    Args:
        model: A density model.
        image: uint8 ``[B, 3, H, W]``.
        levels: Levels wanted; None for all.
        rounding: Rounding of the pyramid.
        clamp_p: Floor of each component's mass, for parity with other code; it stops gradients.

    Raises:
        ValueError: If no level is wanted, or one does not exist.
    """
    wanted = set(range(model.levels) if levels is None else levels)
    if not wanted <= set(range(model.levels)) or not wanted:
        raise ValueError(f"levels {sorted(wanted)} are not among the model's levels 0..{model.levels - 1}")
    top = model.levels if model.chained else max(wanted) + 1
    pyramid = build_pyramid(image, top, rounding)
    costs: dict[int, LevelCost] = {}
    context: Tensor | None = None
    for level in range(top - 1, min(wanted) - 1, -1):
        x, y = pyramid.x[level].float(), pyramid.y[level]
        if context is not None:
            context = model.expand(level, context)[..., : y.shape[-2], : y.shape[-1]]
        nats, count = torch.zeros(len(image), device=image.device), 0
        for block, latest in model.steps(level, x, y, context, StepOptions(coded=level in wanted)):
            context = latest
            if block is not None:
                # a phase may have one row or column less than the grid
                i, j = block.offset
                real = (..., slice((x.shape[-2] - i + 1) // 2), slice((x.shape[-1] - j + 1) // 2))
                value, mixture = block.value[real], Mixture(*(p[(*real, slice(None))] for p in block.mixture))
                log_p = mixture_log_prob(value, mixture, clamp_p)
                nats, count = nats - log_p.flatten(1).sum(dim=1), count + log_p[0].numel()
        if level in wanted:
            costs[level] = LevelCost(nats / math.log(2), count)
    return costs


def overhead_bits(height: int, width: int, levels: int = 3) -> int:
    """Bits of a lossless file outside the model: 2 per rounded subpixel, and 8 per subpixel of the coarsest image."""
    bits = 0
    for _ in range(levels):
        height, width = (height + 1) // 2, (width + 1) // 2
        bits += 2 * 3 * height * width
    return bits + 8 * 3 * height * width


def lossless_bits_per_subpixel(costs: Mapping[int, LevelCost], height: int, width: int, levels: int = 3) -> Tensor:
    """Size of the lossless file per subpixel of the image ``[B]``, overhead included (SReC's bpsp).

    Raises:
        ValueError: If a level's cost is missing.
    """
    missing = [level for level in range(levels) if level not in costs]
    if missing:
        raise ValueError(f"the lossless size needs all {levels} levels; {missing} were not computed")
    total = torch.stack([costs[level].bits for level in range(levels)]).sum(dim=0)
    return (total + overhead_bits(height, width, levels)) / (3 * height * width)
