"""The interface of ZED's density models: one mixture per subpixel, for each level of the pyramid.

A level is predicted on its half-resolution grid ``[h, w]``, that of the averages y. A *block* is one of the four phases
of the 2x2 grid (`pyramid.OFFSETS`), so it is ``[h, w]`` too, and any range of rows can be evaluated with a halo.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from detectors.zed.entropy.logistic import Mixture, sample

InputScale = Literal["uint8", "unit", "tanh"]

MIN_LOG_SCALE = -7.0  # Smallest log-scale of a component, in log pixel units

_AFFINE: dict[str, tuple[float, float]] = {"uint8": (1.0, 0.0), "unit": (1 / 255, 0.0), "tanh": (1 / 127.5, -1.0)}


class CodedBlock(NamedTuple):
    """One phase of the 2x2 grid and the model's prediction of it."""

    offset: tuple[int, int]  # Row and column inside the 2x2 block
    value: Tensor  # Actual pixels, float32 ``[B, 3, h, w]`` in 0..255, padded where the phase is one short
    mixture: Mixture  # Prediction of each subpixel given all coded before it, ``[B, 3, h, w, K]``


class StepOptions(NamedTuple):
    """How a level is predicted."""

    coded: bool = True  # False skips the predictions where only the context is wanted
    temperature: float = 1.0  # Divides the logits of the mixture weights
    draw: torch.Generator | None = None
    """Sample the pixels from the model, given the averages, instead of taking those of the image."""


Steps = Iterator[tuple[CodedBlock | None, Tensor | None]]
PLAIN = StepOptions()


class DensityModel(nn.Module, ABC):
    """A conditional density of the pixels of each level given the average image above it."""

    levels: int  # Levels of the pyramid it models, 0 being full resolution
    chained: bool  # Whether a level takes context from the coarser one
    lossless: bool  # Whether its coding costs add up to that of a decodable file

    @abstractmethod
    def networks(self) -> list[nn.Module]:
        """The parts that compute, each of which can be compiled separately."""

    @abstractmethod
    def halo(self, level: int) -> int | None:
        """Rows of the half-resolution grid that a prediction sees on each side; None if it sees the whole image."""

    @abstractmethod
    def steps(self, level: int, x: Tensor, y: Tensor, context: Tensor | None, options: StepOptions = PLAIN) -> Steps:
        """Predict a level block by block.

        Args:
            level: 0 is full resolution.
            x: The level's pixels, float32 ``[B, 3, H, W]`` in 0..255.
            y: Their averages, float32 ``[B, 3, h, w]`` with ``h = ceil(H / 2)`` and ``w = ceil(W / 2)``.
            context: Features ``[B, F, h, w]`` from the coarser level, for chained models.
            options: How to predict it.

        Yields:
            A block (None if not ``coded``) and the context so far, the last of which goes to the finer level.
        """

    def expand(self, level: int, context: Tensor) -> Tensor:
        """Bring the context of ``level + 1``, ``[B, F, h, w]``, to the grid of ``level``, ``[B, F, 2h, 2w]``."""
        raise NotImplementedError(f"{type(self).__name__} has no context between levels (asked at level {level})")


def scale_input(pixels: Tensor, preset: InputScale) -> Tensor:
    """Scale the network's input; likelihood and entropy stay in pixel units.

    Args:
        pixels: Values in 0..255.
        preset: ``uint8`` leaves them, ``unit`` maps to 0..1, ``tanh`` to -1..1.

    Raises:
        ValueError: If the preset is unknown.
    """
    if preset not in _AFFINE:
        raise ValueError(f"input scale {preset!r} is unknown: choose one of {', '.join(_AFFINE)}")
    gain, offset = _AFFINE[preset]
    return pixels * gain + offset


def draw_pixels(predict: Callable[[Tensor], Mixture], like: Tensor, generator: torch.Generator) -> Tensor:
    """Sample a phase channel by channel, each given the channels sampled before it.

    Args:
        predict: From pixels ``[B, 3, h, w]`` to their mixtures, where a channel depends only on those before it.
        like: Tensor whose shape, dtype and device the result gets.
        generator: Source of randomness.
    """
    value = torch.zeros_like(like)
    for channel in range(value.shape[1]):
        value[:, channel] = sample(Mixture(*(p[:, channel] for p in predict(value))), generator)
    return value


def in_float32(layer: nn.Module, x: Tensor) -> Tensor:
    """Run a last layer outside autocast: rounding only the means to bfloat16 would shift D by 0.03 nats."""
    with torch.autocast(x.device.type, enabled=False):
        out: Tensor = layer(x if x.dtype == torch.float64 else x.float())
    return out
