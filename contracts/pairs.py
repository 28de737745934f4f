"""The interface through which a data module gets training images made from real ones."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from contracts.view import Encoded


class Pairs(Protocol):
    """Makes labelled images of a real one; see `datamodules.pairing.pair.Pair`."""

    def prepare(self, images: Callable[[int], tuple[Encoded, Tensor]], count: int, device: torch.device) -> None:
        """Prepares everything that is kept between epochs.

        Args:
            images: returns an image by its number, as it is stored and decoded.
            count: number of images.
            device: device of the networks.
        """
        ...

    def made(self, stored: Encoded, decoded: Tensor, rng: np.random.Generator) -> list[tuple[int, Tensor]]:
        """Labels and images [3, H, W] uint8 that are made of one image, once per use."""
        ...
