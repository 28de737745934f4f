"""The multi-resolution pyramid of all ZED density models (Cozzolino et al. 2024, after Cao et al. 2020, SReC).

Each level averages 2x2 blocks of the *rounded* finer level. All arithmetic is in integers, hence exact.
"""

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

Rounding = Literal["ties_down", "half_even"]

OFFSETS: tuple[tuple[int, int], ...] = ((0, 0), (0, 1), (1, 0), (1, 1))
"""Row and column of top-left, top-right, bottom-left and bottom-right inside a 2x2 block, in coding order."""


class Pyramid(NamedTuple):
    """Rounded images and the exact averages they were rounded from."""

    x: list[Tensor]  # Images from full resolution to coarsest, uint8 ``[..., H_l, W_l]``, ``levels + 1`` of them
    y: list[Tensor]  # Averages, float32 multiples of 0.25 in 0..255; ``y[l]`` belongs to ``x[l + 1]``


def pad_to_even(x: Tensor) -> Tensor:
    """Repeat the last column and the last row where a side is odd (SReC's padding)."""
    if torch.compiler.is_exporting():  # for any size, which no branch may depend on
        for dim in (-1, -2):
            places = torch.arange(2 * ((x.shape[dim] + 1) // 2), device=x.device)
            x = x.index_select(dim, places.clamp(max=x.shape[dim] - 1))
        return x
    if x.shape[-1] % 2:
        x = torch.cat([x, x[..., -1:]], dim=-1)
    if x.shape[-2] % 2:
        x = torch.cat([x, x[..., -1:, :]], dim=-2)
    return x


def block_sum(x: Tensor) -> Tensor:
    """Sum of every 2x2 block of a uint8 image, int16 in 0..1020, after padding to even sides."""
    x = pad_to_even(x).to(torch.int16)
    rows = x[..., 0::2, :] + x[..., 1::2, :]
    return rows[..., 0::2] + rows[..., 1::2]


def subimages(x: Tensor) -> list[Tensor]:
    """The four phases of the 2x2 grid in coding order, each ``[..., ceil(H / 2), ceil(W / 2)]``.

    Where a side is odd, the phase that is one row or column short repeats *its own* last one, as SReC's networks do;
    for the average, the image's last row or column is repeated.
    """
    if torch.compiler.is_exporting():
        rows, columns = ([_places(side, offset, x) for offset in (0, 1)] for side in x.shape[-2:])
        return [x.index_select(-2, rows[i]).index_select(-1, columns[j]) for i, j in OFFSETS]
    h, w = -(-x.shape[-2] // 2), -(-x.shape[-1] // 2)
    phases = []
    for i, j in OFFSETS:
        # with a side of one pixel, a phase has nothing of its own to repeat
        phase = x[..., min(i, x.shape[-2] - 1) :: 2, min(j, x.shape[-1] - 1) :: 2]
        if phase.shape[-1] < w:
            phase = torch.cat([phase, phase[..., -1:]], dim=-1)
        if phase.shape[-2] < h:
            phase = torch.cat([phase, phase[..., -1:, :]], dim=-2)
        phases.append(phase)
    return phases


def _places(size: int, offset: int, x: Tensor) -> Tensor:
    """Indices of the pixels of a phase along a side, the last one repeated where the phase is one short."""
    places = 2 * torch.arange((size + 1) // 2, device=x.device) + offset
    return torch.where(places < size, places, places - 2).clamp(min=0)


def build_pyramid(image: Tensor, levels: int = 3, rounding: Rounding = "ties_down") -> Pyramid:
    """Halve an image ``levels`` times.

    Args:
        image: uint8 ``[..., H, W]``, any size.
        levels: Number of halvings.
        rounding: ``ties_down`` is SReC's rule, by which an average ending in .5 is rounded down; ``half_even`` is
            ``torch.round``, used by ZED_Rep, and differs in one block in eight of random pixels.

    Raises:
        TypeError: If the image is not uint8.
        ValueError: If ``rounding`` is unknown, or the image has no pixel.
    """
    if image.dtype != torch.uint8:
        raise TypeError(f"the pyramid needs uint8 pixels, got {image.dtype}: scale to 0..255 and round first")
    if image.ndim < 2 or 0 in image.shape[-2:]:
        raise ValueError(f"an image of shape {tuple(image.shape)} has no pixel to average")
    if rounding not in ("ties_down", "half_even"):
        raise ValueError(f"rounding={rounding!r} is unknown: choose 'ties_down' or 'half_even'")
    xs, ys = [image], []
    for _ in range(levels):
        total = block_sum(xs[-1])
        y = total.float() / 4
        rounded = (total + 1).div(4, rounding_mode="floor") if rounding == "ties_down" else torch.round(y)
        ys.append(y)
        xs.append(rounded.to(torch.uint8))
    return Pyramid(xs, ys)


def upsample_nearest(y: Tensor, size: tuple[int, int]) -> Tensor:
    """Repeat each value over its 2x2 block and crop to ``size``; ``y`` is ``[B, C, h, w]``."""
    return F.interpolate(y, scale_factor=2, mode="nearest")[..., : size[0], : size[1]]
