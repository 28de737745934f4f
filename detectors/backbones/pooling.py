"""Global pooling: feature maps to feature vectors."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contracts.errors import ConfigError, nearest

POOLINGS = ("avg", "max", "catavgmax")
TOKENS = ("token", "map")  # Only for timm's vision transformers: the class token, and attention pooling


def check_pooling(pooling: str | None) -> None:
    """Check the name of a pooling.

    Raises:
        ConfigError: it is not in `POOLINGS` or `TOKENS`, nor None.
    """
    known = (*POOLINGS, *TOKENS)
    if pooling is not None and pooling not in known:
        raise ConfigError(f"detector.pooling={pooling!r} is unknown", nearest(pooling, known))


class GlobalPool(nn.Module):
    """[B, C, H, W] → [B, C, 1, 1], or [B, 2C, 1, 1] if average and maximum are concatenated.

    Args:
        pooling: one of `POOLINGS`.
    """

    def __init__(self, pooling: str) -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise ConfigError(f"detector.pooling={pooling!r} of a convolutional net", nearest(pooling, POOLINGS))
        self.pooling = pooling

    def forward(self, x: Tensor) -> Tensor:
        """Pool over all positions."""
        if self.pooling == "avg":
            return F.adaptive_avg_pool2d(x, 1)
        if self.pooling == "max":
            return x.amax((2, 3), keepdim=True)
        return torch.cat([F.adaptive_avg_pool2d(x, 1), x.amax((2, 3), keepdim=True)], dim=1)
