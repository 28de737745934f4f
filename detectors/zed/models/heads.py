"""Conditional heads: they predict every pixel of a level from the average image, by mixtures that R, G and B share.

New heads run their trunk on the half-resolution grid of the averages and predict the four phases of each block at once,
a quarter of the work of a trunk on the upsampled average. They contain no normalisation over the image, so a pixel's
score does not depend on distant parts of it. The heads of the ZED_Rep code base are in `published_heads`.
"""

import math
from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detectors.zed.entropy.logistic import Mixture, chain_weights
from detectors.zed.models.density import (
    MIN_LOG_SCALE,
    PLAIN,
    CodedBlock,
    DensityModel,
    InputScale,
    StepOptions,
    Steps,
    draw_pixels,
    in_float32,
    scale_input,
)  # fmt: skip
from detectors.zed.models.pyramid import OFFSETS, subimages

PHASES = len(OFFSETS)


class Head(nn.Module):
    """A network that predicts one level."""

    reach: int | None  # Rows of the half-resolution grid a prediction sees on each side; None for the whole image

    def forward(self, y: Tensor) -> Mixture:
        """Predict the four phases of each block.

        Args:
            y: Averages, float32 ``[B, 3, h, w]`` in 0..255.

        Returns:
            ``logits`` ``[B, 4, 1, h, w, K]``, shared by the channels; ``mu`` and ``log_s`` ``[B, 4, 3, h, w, K]``.
        """
        raise NotImplementedError


class _Residual(nn.Module):
    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(hidden, hidden, 3, padding=1)
        self.conv2 = nn.Conv2d(hidden, hidden, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.conv2(F.gelu(self.conv1(x)))
        return out


class HalfResolutionHead(Head):
    """Trunk on the averages, one output convolution for all four phases.

    Args:
        mixtures: Components K; 1 gives the residual head, a single logistic around the average.
        hidden: Channels of the trunk.
        blocks: Residual blocks of two 3x3 convolutions.
        input_scale: Affine of the network's input.
    """

    def __init__(self, mixtures: int = 5, hidden: int = 96, blocks: int = 4, input_scale: InputScale = "tanh") -> None:
        super().__init__()
        self.mixtures, self.input_scale = mixtures, input_scale
        self.reach = 2 + 2 * blocks
        self.stem = nn.Conv2d(3, hidden, 3, padding=1)
        self.trunk = nn.Sequential(*(_Residual(hidden) for _ in range(blocks)))
        self.head = nn.Conv2d(hidden, PHASES * 7 * mixtures, 3, padding=1)
        # components of several widths around the average to start with, where gradients do not vanish
        nn.init.normal_(self.head.weight, std=1e-3)
        bias = torch.zeros(PHASES, 7, mixtures)
        bias[:, 4:] = torch.linspace(0.5, 2.5, mixtures) if mixtures > 1 else 1.5
        self.head.bias = nn.Parameter(bias.flatten())

    def forward(self, y: Tensor) -> Mixture:
        """See `Head`; means are the average plus a predicted difference."""
        z = self.trunk(self.stem(scale_input(y, self.input_scale)))
        raw = in_float32(self.head, z)
        B, _, h, w = raw.shape
        raw = raw.view(B, PHASES, 7, self.mixtures, h, w).movedim(3, -1)
        mu = y[:, None, :, :, :, None] + raw[:, :, 1:4]
        return Mixture(raw[:, :, :1], mu, raw[:, :, 4:].clamp_min(MIN_LOG_SCALE))


class Heads(DensityModel):
    """One independent head per level, finest first.

    Scores follow the exact chain rule: the channels already seen update the components' weights, so that the channels'
    costs add up to the joint cost and each subpixel has an exact entropy.

    Args:
        heads: The heads of level 0, level 1 and so on.
    """

    chained = False
    lossless = False

    def __init__(self, heads: Sequence[Head]) -> None:
        super().__init__()
        if not heads:
            raise ValueError("no head given: give at least one for level 0")
        self.heads = nn.ModuleList(heads)
        self.levels = len(heads)

    def networks(self) -> list[nn.Module]:
        """The heads."""
        return list(self.heads)

    def halo(self, level: int) -> int | None:
        """See the base class."""
        return self.head(level).reach

    def steps(self, level: int, x: Tensor, y: Tensor, context: Tensor | None, options: StepOptions = PLAIN) -> Steps:
        """See the base class; four blocks a level, none of which sees another."""
        if not options.coded:
            return
        logits, mu, log_s = self.head(level)(y)
        for phase, (offset, value) in enumerate(zip(OFFSETS, subimages(x), strict=True)):
            shared = Mixture(logits[:, phase] / options.temperature, mu[:, phase], log_s[:, phase])
            predict = partial(chain_weights, shared=shared)
            pixels = value if options.draw is None else draw_pixels(predict, value, options.draw)
            yield CodedBlock(offset, pixels, predict(pixels)), context

    def head(self, level: int) -> Head:
        """The head of a level."""
        head = self.heads[level]
        if not isinstance(head, Head):
            raise TypeError(f"level {level} holds a {type(head).__name__}, which is not a Head")
        return head


def receptive_rows(convolutions: int) -> int:
    """Half-resolution rows that ``convolutions`` 3x3 layers at full resolution see on each side."""
    return math.ceil((convolutions + 1) / 2)
