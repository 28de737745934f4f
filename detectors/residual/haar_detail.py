"""The diagonal detail of a one-level wavelet transform, at the size of the image: SAFE's front end.

Li et al., "Improving Synthetic Image Detection Towards Generalization: An Image Transformation Perspective", KDD 2025
(arXiv 2408.06741). The wavelet is bior1.3, whose high-pass filter is Haar's two taps inside six, so that a band has
two coefficients more than Haar's own.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def diagonal_detail(images: Tensor) -> Tensor:
    """The band HH of ``bior1.3`` with symmetric borders: [B, C, H, W] → [B, C, floor((H + 5) / 2), floor((W + 5) / 2)].

    Along each axis d[k] = (x[2k - 2] - x[2k - 1]) / √2 for k = 0 … floor((n + 5) / 2) - 1, where x is mirrored at its
    borders (x[-1] = x[0], x[n] = x[n - 1]).
    """
    for axis in (-2, -1):
        images = _differences(images, axis)
    return images / 2


def _differences(x: Tensor, axis: int) -> Tensor:
    """√2 · d along one axis: neighbours inside the image by plain slices, the few at its borders by their places."""
    size, pairs = x.shape[axis], x.shape[axis] // 2
    whole = torch.unflatten(x.narrow(axis, 0, 2 * pairs), axis, (pairs, 2))
    inside = whole.select(axis, 0) - whole.select(axis, 1)
    place = torch.arange(-2, 2 * ((size + 5) // 2) - 2, device=x.device)
    place = torch.where(place < 0, place + 2 * size, place)
    place = torch.where(place < 2 * size, place, place - 2 * size)
    place = torch.where(place < size, place, 2 * size - 1 - place)
    outside = torch.cat([place[:2], place[2 * pairs + 2 :]])
    border = x.index_select(axis, outside[::2]) - x.index_select(axis, outside[1::2])
    first, last = torch.split(border, [1, border.shape[axis] - 1], axis)
    return torch.cat([first, inside, last], axis)


def detail_at_image_size(images: Tensor) -> Tensor:
    """The band HH, resized to the image's own size: bilinear, and antialiased where a side shrinks.

    Args:
        images: [B, C, H, W] float; SAFE gives the unit range, without mean and standard deviation.

    Returns:
        [B, C, H, W].
    """
    band = diagonal_detail(images)
    height, width = images.shape[-2:]
    shrinks = band.shape[-2] > height or band.shape[-1] > width  # sides below 5; elsewhere antialiasing changes nothing
    return F.interpolate(band, (height, width), mode="bilinear", align_corners=False, antialias=shrinks)
