"""SAFE's augmentations of training images: rotation, colour jitter and random masking.

Li et al., KDD 2025 (arXiv 2408.06741), in this order after crop and flip. Every image's random numbers are its own.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as v2

from contracts.errors import ConfigError


class Rotate:
    """Rotates an image about its centre (nearest neighbour, the same size, black corners).

    Args:
        degrees: the angle is uniform between -degrees and degrees.

    Raises:
        ConfigError: not from 0 to 180.
    """

    def __init__(self, degrees: float = 180.0) -> None:
        if not 0 <= degrees <= 180:
            raise ConfigError(f"Rotate.degrees={degrees}", "Give an angle from 0 to 180.")
        self.degrees = degrees

    def __call__(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        """One image [3, H, W]."""
        rotated: Tensor = v2.rotate(image, float(rng.uniform(-self.degrees, self.degrees)))
        return rotated


class ColourJitter:
    """Scales brightness, contrast and saturation by random factors, in random order.

    Args:
        brightness: b; the factor is uniform from 1 - b to 1 + b.
        contrast: c; the factor is uniform from 1 - c to 1 + c.
        saturation: s; the factor is uniform from 1 - s to 1 + s.

    Raises:
        ConfigError: not from 0 to 1.
    """

    def __init__(self, brightness: float = 0.5, contrast: float = 0.5, saturation: float = 0.5) -> None:
        self.ranges: list[tuple[Callable[..., Tensor], float]] = [
            (v2.adjust_brightness, brightness), (v2.adjust_contrast, contrast), (v2.adjust_saturation, saturation),
        ]  # fmt: skip
        for name, value in (("brightness", brightness), ("contrast", contrast), ("saturation", saturation)):
            if not 0 <= value <= 1:
                raise ConfigError(f"ColourJitter.{name}={value}", "Give a number from 0 to 1.")

    def __call__(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        """One image [3, H, W]."""
        factors = [float(rng.uniform(1 - share, 1 + share)) for _, share in self.ranges]
        for index in rng.permutation(len(self.ranges)).tolist():
            image = self.ranges[index][0](image, factors[index])
        return image


class MaskCells:
    """Blackens random cells of a grid.

    Args:
        probability: probability that an image is masked at all.
        most: the masked share of the image's area is uniform from 0 to this.
        cell: side of a cell in pixels.

    Raises:
        ConfigError: a value out of range.
    """

    def __init__(self, probability: float = 0.5, most: float = 0.75, cell: int = 16) -> None:
        for name, value in (("probability", probability), ("most", most)):
            if not 0 <= value <= 1:
                raise ConfigError(f"MaskCells.{name}={value}", "Give a number from 0 to 1.")
        if cell < 1:
            raise ConfigError(f"MaskCells.cell={cell}", "Give a side in pixels.")
        self.probability, self.most, self.cell = probability, most, cell

    def __call__(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        """One image [3, H, W]; ⌊H · W · share / cell²⌋ of its whole cells become 0."""
        chance, share = rng.random(), rng.uniform(0, self.most)
        height, width = image.shape[-2:]
        rows, columns = height // self.cell, width // self.cell
        count = min(int(height * width * share / self.cell**2), rows * columns)
        if chance >= self.probability or not count:
            return image
        masked = torch.zeros(rows * columns, dtype=torch.bool)
        masked[torch.from_numpy(rng.permutation(rows * columns)[:count])] = True
        pixels = masked.view(rows, columns).repeat_interleave(self.cell, 0).repeat_interleave(self.cell, 1)
        image = image.clone()
        image[:, : pixels.shape[0], : pixels.shape[1]].masked_fill_(pixels, 0)
        return image
