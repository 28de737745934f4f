"""Tokens inside vision transformers of timm and open_clip, which the libraries' own outputs leave out."""

import re
from typing import Any

import torch
from torch import Tensor, nn

from contracts.errors import ConfigError

SECOND_NORM = re.compile(r"(?:^|\.)(?:blocks\.\d+\.norm2|resblocks\.\d+\.ln_2)$")


class AllTokens(nn.Module):
    """All tokens of a timm transformer after its last norm.

    Args:
        module: a module of timm.
        name: name of the backbone, for the message.

    Raises:
        ConfigError: it is not a vision transformer of timm.
    """

    def __init__(self, module: nn.Module, name: str) -> None:
        super().__init__()
        if not hasattr(module, "forward_features") or not hasattr(module, "blocks"):
            raise ConfigError(
                f"detector.backbone={name} has no tokens", "Choose a vision transformer of timm or the DINO family."
            )
        self.module = module
        self.prefix: int = int(getattr(module, "num_prefix_tokens", 1))
        """Number of tokens before the patch tokens: the class token and registers."""

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images [B, 3, H, W] → [B, T, D]."""
        tokens: Tensor = self.module.forward_features(images)  # type: ignore[operator]
        return tokens


class BlockTokens(nn.Module):
    """The class token after the second LayerNorm *inside* each block (its input to the MLP), as RINE's hooks take it.

    Args:
        module: a vision transformer of timm or open_clip, pre-norm, class token first.
        name: name of the backbone, for the message.

    Raises:
        ConfigError: it has no such norms.
    """

    def __init__(self, module: nn.Module, name: str) -> None:
        super().__init__()
        self.module = module
        self.taps = [part for part_name, part in module.named_modules() if SECOND_NORM.search(part_name)]
        if not self.taps:
            raise ConfigError(
                f"detector.backbone={name} has no blocks with a second LayerNorm",
                "Choose a vision transformer of timm or open_clip.",
            )
        self._taken: list[Tensor] = []
        for tap in self.taps:
            tap.register_forward_hook(self._take)

    def _take(self, part: nn.Module, inputs: Any, output: Tensor) -> None:  # noqa: ARG002 - torch's signature
        self._taken.append(output[:, 0])

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images [B, 3, H, W] → [B, blocks, D], first block first."""
        self._taken = []
        self.module(images)
        taken, self._taken = torch.stack(self._taken, 1), []
        return taken
