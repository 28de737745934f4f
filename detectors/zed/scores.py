"""Scores per image from the maps of surprise (Cozzolino et al. 2024, section 3): higher means more likely generated.

Units: nats per coded subpixel, unless a name says bits. D is near 0 for images that follow the model, and grows at
full resolution (Delta01 = D0 - D1) for generated ones; the absolute values catch generators whose gap is negative.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from detectors.zed.maps import LevelMaps
from detectors.zed.models.coding import LevelCost, lossless_bits_per_subpixel
from detectors.zed.models.density import DensityModel

FIRST_COLUMNS = ("D1", "D0", "Delta01", "AbsDelta01", "AbsD0")
"""Columns that users of ZED_Rep know, in its order; all others come after them."""

Upsampling = Literal["nearest", "bilinear", "bicubic"]


def scored_maps(
    model: DensityModel, maps: Mapping[int, LevelMaps], size: tuple[int, int], percentiles: Iterable[float] = (50, 90)
) -> dict[str, Tensor]:
    """All scores of images of one size ``(H, W)`` from their maps.

    Returns:
        What `scores_of_maps` returns; also ``bpsp``, the lossless size in bits per subpixel, if the model is lossless
        and the maps cover all its levels.
    """
    scores = scores_of_maps(maps, percentiles)
    if model.lossless and len(maps) == model.levels:
        costs = {}
        for level, found in maps.items():
            subpixels = 3 * int(found.coded.sum())
            costs[level] = LevelCost(scores[f"bits{level}"] * subpixels, subpixels)
        scores["bpsp"] = lossless_bits_per_subpixel(costs, *size, model.levels)
    return scores


def scores_of_maps(maps: Mapping[int, LevelMaps], percentiles: Iterable[float] = (50, 90)) -> dict[str, Tensor]:
    """Scores that need only the maps.

    Args:
        maps: Maps by level.
        percentiles: Percentiles, 0..100, over the coded pixels of each D map and of |D0 - upsampled D1|.

    Returns:
        Name to float64 ``[B]``: first those of `FIRST_COLUMNS` that the levels allow, then means, bits and percentiles
        of each level, and gaps between levels.

    Raises:
        ValueError: If a percentile lies outside 0..100.
    """
    ranks = list(percentiles)
    if any(not 0 <= q <= 100 for q in ranks):
        raise ValueError(f"percentiles {ranks} must lie within 0..100")
    found: dict[str, Tensor] = {}
    for level, m in sorted(maps.items()):
        found |= _of_level(level, _mean(m.nll, m.coded), _mean(m.entropy, m.coded))
        found |= _percentiles(f"D{level}", m.d, m.coded, ranks)
    found |= _between_levels(found)
    if ranks and 0 in maps and 1 in maps:
        found |= _percentiles("AbsDelta01", delta_map(maps).abs_(), maps[0].coded, ranks)
    return {name: found[name] for name in (*FIRST_COLUMNS, *found) if name in found}


def scores_of_means(means: Mapping[int, tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """The scores without percentiles.

    Args:
        means: NLL and entropy of each level ``[B]``, means over the coded subpixels.

    Returns:
        Name to ``[B]``, first those of `FIRST_COLUMNS` that the levels allow.
    """
    found: dict[str, Tensor] = {}
    for level, (nll, expected) in sorted(means.items()):
        found |= _of_level(level, nll, expected)
    found |= _between_levels(found)
    return {name: found[name] for name in (*FIRST_COLUMNS, *found) if name in found}


def _of_level(level: int, nll: Tensor, expected: Tensor) -> dict[str, Tensor]:
    names = f"D{level}", f"NLL{level}", f"H{level}", f"bits{level}"
    return dict(zip(names, (nll - expected, nll, expected, nll / math.log(2)), strict=True))


def _between_levels(found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    gaps = {"AbsD0": found["D0"].abs()} if "D0" in found else {}
    for fine, coarse in ((0, 1), (1, 2), (0, 2)):
        if f"D{fine}" in found and f"D{coarse}" in found:
            gap = found[f"D{fine}"] - found[f"D{coarse}"]
            gaps |= {f"Delta{fine}{coarse}": gap, f"AbsDelta{fine}{coarse}": gap.abs()}
    return gaps


def score_names(levels: Iterable[int], percentiles: Iterable[float] = (50, 90)) -> tuple[str, ...]:
    """Names of the scores that maps of these levels allow."""
    none, mask = torch.zeros(1, 1, 1), torch.ones(1, 1, dtype=torch.bool)
    return tuple(scores_of_maps({level: LevelMaps(none, none, mask) for level in levels}, percentiles))


def filled(values: Tensor, coded: Tensor) -> Tensor:
    """Fill pixels of ``[B, H, W]`` that are not coded ``[H, W]`` with the mean of the coded ones in their 2x2 block."""
    if bool(coded.all()):
        return values
    H, W = coded.shape
    pad = (0, W % 2, 0, H % 2)
    total = F.avg_pool2d(F.pad(values[:, None], pad), 2)
    share = F.avg_pool2d(F.pad(coded[None, None].float(), pad), 2)
    mean = F.interpolate(total / share, scale_factor=2, mode="nearest")[:, 0, :H, :W]
    return torch.where(coded, values, mean)


def delta_map(maps: Mapping[int, LevelMaps], upsampling: Upsampling = "nearest") -> Tensor:
    """D0 minus D1 upsampled to full resolution, ``[B, H, W]``, nats per subpixel."""
    fine, coarse = (filled(maps[level].d, maps[level].coded) for level in (0, 1))
    corners = None if upsampling == "nearest" else False
    up = F.interpolate(coarse[:, None], scale_factor=2, mode=upsampling, align_corners=corners)[:, 0]
    return fine - up[:, : fine.shape[1], : fine.shape[2]]


def _mean(values: Tensor, coded: Tensor) -> Tensor:
    # summing rows in float32, then in float64, is exact enough for 50 megapixels and copies no map
    return values.sum(dim=-1).double().sum(dim=-1) / coded.sum()


def _percentiles(name: str, values: Tensor, coded: Tensor, ranks: list[float]) -> dict[str, Tensor]:
    if not ranks:
        return {}
    # torch.quantile rejects more than 16 million values
    rows = np.stack([np.percentile(row[coded].cpu().numpy(), ranks, overwrite_input=True) for row in values])
    return {f"{name}_p{q:g}": torch.from_numpy(rows[:, i]).to(values.device) for i, q in enumerate(ranks)}
