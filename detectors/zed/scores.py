"""Scores per image from the maps of surprise (Cozzolino et al. 2024, section 3): higher means more likely generated.

Units: nats per coded subpixel, unless a name says bits. D is near 0 for images that follow the model, and grows at
full resolution (Delta01 = D0 - D1) for generated ones; the absolute values catch generators whose gap is negative.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from detectors.zed.entropy.entropy import Backend
from detectors.zed.maps import POSITIONS, LevelMaps, level_maps
from detectors.zed.models.coding import LevelCost, lossless_bits_per_subpixel
from detectors.zed.models.density import DensityModel
from detectors.zed.models.pyramid import Rounding

FIRST_COLUMNS = ("D1", "D0", "Delta01", "AbsDelta01", "AbsD0")
"""Names users of the public code know, in its order; all others come after."""

Upsampling = Literal["nearest", "bilinear", "bicubic"]


def score_image(
    model: DensityModel,
    image: Tensor,
    levels: Iterable[int] = (0, 1),
    percentiles: Iterable[float] = (50, 90),
    *,
    temperature: float | Sequence[float] = 1.0,
    rounding: Rounding = "ties_down",
    clamp_p: float | None = None,
    positions: int = POSITIONS,
    conv_dtype: torch.dtype = torch.float32,
    backend: Backend = "auto",
) -> dict[str, Tensor]:
    """All scores of a batch of images of one size, in bounded memory; arguments as of `level_maps`.

    Returns:
        Name to float64 ``[B]``: the five known columns first (those the levels allow), then per-level means, gaps,
        percentiles, bits; and ``bpsp``, the lossless size in bits per subpixel, where such a model ran all its levels.
    """
    maps = level_maps(
        model,
        image,
        levels,
        temperature=temperature,
        rounding=rounding,
        clamp_p=clamp_p,
        positions=positions,
        conv_dtype=conv_dtype,
        backend=backend,
    )
    return scored_maps(model, maps, (image.shape[-2], image.shape[-1]), percentiles)


def scored_maps(
    model: DensityModel, maps: Mapping[int, LevelMaps], size: tuple[int, int], percentiles: Iterable[float] = (50, 90)
) -> dict[str, Tensor]:
    """What `score_image` returns, from maps already made of images of ``size`` (H, W)."""
    scores = scores_of_maps(maps, percentiles)
    if model.lossless and len(maps) == model.levels:
        costs = {}
        for level, found in maps.items():
            subpixels = 3 * int(found.coded.sum())
            costs[level] = LevelCost(scores[f"bits{level}"] * subpixels, subpixels)
        scores["bpsp"] = lossless_bits_per_subpixel(costs, *size, model.levels)
    return scores


def scores_of_maps(maps: Mapping[int, LevelMaps], percentiles: Iterable[float] = (50, 90)) -> dict[str, Tensor]:
    """Scores from maps already made.

    Args:
        maps: Levels' maps.
        percentiles: Percentiles, 0..100, over the coded pixels of each D map, and over those of |D0 - D1 brought up|.

    Returns:
        Name to float64 ``[B]``; see `score_image`.

    Raises:
        ValueError: If a percentile lies outside 0..100.
    """
    ranks = list(percentiles)
    if any(not 0 <= q <= 100 for q in ranks):
        raise ValueError(f"percentiles {ranks} must lie within 0..100")
    found: dict[str, Tensor] = {}
    for level, m in sorted(maps.items()):
        nll, expected = _mean(m.nll, m.coded), _mean(m.entropy, m.coded)
        found |= {f"D{level}": nll - expected, f"NLL{level}": nll, f"H{level}": expected}
        found[f"bits{level}"] = nll / math.log(2)
        found |= _percentiles(f"D{level}", m.d, m.coded, ranks)
    if 0 in maps:
        found["AbsD0"] = found["D0"].abs()
    for fine, coarse in ((0, 1), (1, 2), (0, 2)):
        if fine in maps and coarse in maps:
            gap = found[f"D{fine}"] - found[f"D{coarse}"]
            found |= {f"Delta{fine}{coarse}": gap, f"AbsDelta{fine}{coarse}": gap.abs()}
    if ranks and 0 in maps and 1 in maps:
        found |= _percentiles("AbsDelta01", delta_map(maps).abs(), maps[0].coded, ranks)
    return {name: found[name] for name in (*FIRST_COLUMNS, *found) if name in found}


def score_names(levels: Iterable[int], percentiles: Iterable[float] = (50, 90)) -> tuple[str, ...]:
    """Names of the scores that maps of these levels give."""
    none, mask = torch.zeros(1, 1, 1), torch.ones(1, 1, dtype=torch.bool)
    return tuple(scores_of_maps({level: LevelMaps(none, none, mask) for level in levels}, percentiles))


def filled(values: Tensor, coded: Tensor) -> Tensor:
    """Give pixels without cost the mean of the coded ones in their 2x2 block.

    Args:
        values: ``[B, H, W]``, 0 where not coded.
        coded: bool ``[H, W]``.
    """
    if bool(coded.all()):
        return values
    H, W = coded.shape
    pad = (0, W % 2, 0, H % 2)
    total = F.avg_pool2d(F.pad(values[:, None], pad), 2)
    share = F.avg_pool2d(F.pad(coded[None, None].float(), pad), 2)
    mean = F.interpolate(total / share, scale_factor=2, mode="nearest")[:, 0, :H, :W]
    return torch.where(coded, values, mean)


def delta_map(maps: Mapping[int, LevelMaps], upsampling: Upsampling = "nearest") -> Tensor:
    """D0 minus D1 brought up to full resolution, ``[B, H, W]``, nats per subpixel.

    Args:
        maps: Maps of levels 0 and 1.
        upsampling: How D1 is brought up.
    """
    fine, coarse = (filled(maps[level].d, maps[level].coded) for level in (0, 1))
    corners = None if upsampling == "nearest" else False
    up = F.interpolate(coarse[:, None], scale_factor=2, mode=upsampling, align_corners=corners)[:, 0]
    return fine - up[:, : fine.shape[1], : fine.shape[2]]


def _mean(values: Tensor, coded: Tensor) -> Tensor:
    # rows in float32, then float64: exact enough for 50 megapixels without a copy of the map
    return values.sum(dim=-1).double().sum(dim=-1) / coded.sum()


def _percentiles(name: str, values: Tensor, coded: Tensor, ranks: list[float]) -> dict[str, Tensor]:
    if not ranks:
        return {}
    # torch.quantile refuses more than 16 million values
    rows = np.stack([np.percentile(row[coded].cpu().numpy(), ranks) for row in values])
    return {f"{name}_p{q:g}": torch.from_numpy(rows[:, i]).to(values.device) for i, q in enumerate(ranks)}
