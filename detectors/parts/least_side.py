"""The smallest image a network can take, found by trying."""

import torch
from torch import nn

from contracts.errors import DataError

MOST = 512


@torch.no_grad()
def least_side(module: nn.Module) -> int:
    """Shortest side of an image [B, 3, H, W] with which the network runs: strided layers use up an image's pixels.

    Its modes are left as they were. A network that runs with no square of up to `MOST` pixels is taken to say better
    itself what is wrong: 1.
    """
    modes = [(part, part.training) for part in module.modules()]
    weights = next(module.parameters())
    module.eval()
    try:
        low, high = 0, 1  # the first is too small, the second may be
        while not _runs(module, weights, high):
            low, high = high, 2 * high
            if high > MOST:
                return 1
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if _runs(module, weights, middle) else (middle, high)
        return high
    finally:
        for part, training in modes:
            part.training = training


def _runs(module: nn.Module, weights: torch.Tensor, side: int) -> bool:
    try:
        module(torch.zeros(1, 3, side, side, dtype=weights.dtype, device=weights.device))
    except (DataError, RuntimeError, ValueError, AssertionError, IndexError, ZeroDivisionError):
        return False
    return True
