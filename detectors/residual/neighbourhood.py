"""Statistics of a pixel's neighbours: FerretNet's local pixel dependencies.

Liang et al., "FerretNet: Efficient Synthetic Image Detection via Local Pixel Dependencies", NeurIPS 2025
(arXiv 2509.20890). The paper describes the median of a pixel's neighbours. The authors' code and weights take the
median of the whole window after its centre was overwritten by 0, the mean colour of a normalised image (``zeroed``).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

CENTRES = {"excluded": float("-inf"), "zeroed": 0.0, "whole": None}
"""Value that replaces the centre in a median of an odd number of values; -inf leaves the lower median of the others."""
STATISTICS = (*CENTRES, "mean", "min", "max", "none")


def neighbourhood(images: Tensor, statistic: str = "excluded", window: int = 3) -> Tensor:
    """A statistic of the window round each pixel, channel by channel, with a border of 0, the mean colour.

    Args:
        images: [B, C, H, W] float, normalised.
        statistic: the median of the neighbours (``excluded``; the lower one of the two middle values), of the
            neighbours and 0 (``zeroed``) or of all (``whole``); the sum of the neighbours over window² (``mean``); the
            least or greatest neighbour (``min``, ``max``); or 0 (``none``).
        window: odd side of the window in pixels.

    Returns:
        [B, C, H, W].
    """
    if statistic == "none":
        return torch.zeros_like(images)
    if statistic in CENTRES and window == 3:
        return _median_of_nine(images, CENTRES[statistic])
    outside = {"min": float("inf"), "max": float("-inf")}.get(statistic, 0.0)
    values = _windows(images, window, outside)
    centre = CENTRES.get(statistic, outside)
    if centre is not None:
        values[window**2 // 2] = centre
    if statistic in CENTRES:
        return values.median(0).values
    if statistic == "mean":
        return values.mean(0)
    return values.amin(0) if statistic == "min" else values.amax(0)


def _windows(images: Tensor, window: int, outside: float) -> Tensor:
    """Every pixel's window, row by row: [window², B, C, H, W]."""
    height, width = images.shape[-2:]
    padded = F.pad(images, [window // 2] * 4, value=outside)
    places = [(row, column) for row in range(window) for column in range(window)]
    return torch.stack([padded[..., row : row + height, column : column + width] for row, column in places])


def _median_of_nine(images: Tensor, centre: float | None) -> Tensor:
    """The median of 3x3 pixels, the one in the middle replaced by ``centre``.

    The columns of a window are sorted; the median is that of the greatest of the three least values, the median of the
    three middle ones, and the least of the three greatest. Neighbouring windows share sorted columns. Minima and maxima
    of whole tensors are exact, and many times faster than ``torch.median`` along an axis.
    """
    padded = F.pad(images, [1] * 4)
    above, own, below = padded[..., :-2, :], padded[..., 1:-1, :], padded[..., 2:, :]
    low, middle, high = _sorted(above, own, below)
    if centre is None:
        central = (low[..., 1:-1], middle[..., 1:-1], high[..., 1:-1])
    else:
        up, down = above[..., 1:-1], below[..., 1:-1]
        central = _sorted(up, up.new_tensor(centre), down)
    least = torch.maximum(torch.maximum(low[..., :-2], low[..., 2:]), central[0])
    greatest = torch.minimum(torch.minimum(high[..., :-2], high[..., 2:]), central[2])
    return _sorted(least, _sorted(middle[..., :-2], central[1], middle[..., 2:])[1], greatest)[1]


def _sorted(a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Three tensors, element by element in ascending order."""
    less, more = torch.minimum(a, c), torch.maximum(a, c)
    return torch.minimum(less, b), torch.maximum(less, torch.minimum(more, b)), torch.maximum(more, b)
