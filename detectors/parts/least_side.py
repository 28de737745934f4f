"""The smallest image that a network accepts, found by trial."""

import torch
from torch import nn

from contracts.errors import DataError

MOST = 512


@torch.no_grad()
def least_side(module: nn.Module) -> int:
    """Smallest H = W with which the network runs on [B, 3, H, W]: strided layers need a minimum number of pixels.

    Training modes are restored. Returns 1 if the network fails for every side up to `MOST`, so that its own error
    appears when it is used.
    """
    modes = [(part, part.training) for part in module.modules()]
    weights = next(module.parameters())
    module.eval()
    try:
        low, high = 0, 1  # low is too small, high may be
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
