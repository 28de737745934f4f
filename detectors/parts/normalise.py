"""Per-channel normalisation of uint8 (or unit-range float) images, on the device they are on."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from contracts.batch import as_unit_float

Channels = Sequence[float]

IMAGENET_MEAN: Channels = (0.485, 0.456, 0.406)
IMAGENET_STD: Channels = (0.229, 0.224, 0.225)

LARGE = 1 << 22
"""Bytes from which a table is faster, the import of numba included (once in a process, about 0.2 s)."""


def normalise(images: Tensor, mean: Channels = IMAGENET_MEAN, std: Channels = IMAGENET_STD) -> Tensor:
    """Normalise images in torchvision's order of operations: /255, - mean, / std.

    Args:
        images: [B, 3, H, W] RGB, uint8 0..255 or float with 1.0 = white.
        mean: mean of each channel on the unit range.
        std: standard deviation of each channel on the unit range.

    Returns:
        [B, 3, H, W] float32, a new tensor in the memory format of ``images``.
    """
    constants = images.new_tensor([list(mean), list(std)], dtype=torch.float32)
    # a graph (exporting is compiling too) keeps the plain operations
    if torch.compiler.is_compiling() or not images.is_contiguous(memory_format=torch.channels_last):
        return _steps(images, constants.view(2, 3, 1, 1))
    b, c, h, w = images.shape
    rows = images.permute(0, 2, 3, 1).view(b * h, w * c)  # long rows are vector code, three channels are not
    if images.device.type == "cpu" and images.dtype == torch.uint8 and rows.numel() >= LARGE:
        done = _looked_up(rows, constants)
    else:
        done = _steps(rows, constants.repeat(1, w))
    return done.view(b, h, w, c).permute(0, 3, 1, 2)


def _steps(images: Tensor, constants: Tensor) -> Tensor:
    unit = as_unit_float(images)
    centre, scale = constants
    centred = unit - centre if unit is images else unit.sub_(centre)  # in place: allocating a large batch is slow
    return centred.div_(scale)


def _looked_up(rows: Tensor, constants: Tensor) -> Tensor:
    """Equal to `_steps`, which fills the table. The threads are Python's: numba's end the process after a fork."""
    from detectors.parts.normalise_numba import look_up  # slow

    levels = torch.arange(256, dtype=torch.uint8).repeat(3, 1)
    table = _steps(levels, constants.unsqueeze(2)).numpy()
    done = torch.from_numpy(np.empty(rows.shape, np.float32))  # NumPy asks Linux for large pages, PyTorch does not
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(threads) as pool:
        parts = zip(rows.tensor_split(threads), done.tensor_split(threads), strict=True)
        list(pool.map(lambda part: look_up(part[0].numpy(), table, part[1].numpy()), parts))
    return done
