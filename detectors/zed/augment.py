"""JPEG compression as an augmentation: photographs come in every quality, and the model has to learn all of them."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from contracts.errors import ConfigError
from detectors.parts.training.degradations import jpeg


class Jpeg:
    """Compresses an image at a random quality (libjpeg, 4:2:0) and decodes it.

    Args:
        quality: lowest and highest quality, 1..100; uniform between them.
        probability: probability that an image is compressed.

    Raises:
        ConfigError: a value out of range.
    """

    def __init__(self, quality: Sequence[int] = (80, 100), probability: float = 1.0) -> None:
        if len(quality) != 2 or not 1 <= quality[0] <= quality[1] <= 100:
            raise ConfigError(f"Jpeg.quality={list(quality)}", "Give two qualities from 1 to 100, the lower first.")
        if not 0 <= probability <= 1:
            raise ConfigError(f"Jpeg.probability={probability}", "Give a number from 0 to 1.")
        self.quality = quality[0], quality[1]
        self.probability = probability

    def __call__(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        """Compress one uint8 image ``[3, H, W]`` with randomness from ``rng``."""
        chance, quality = rng.random(), int(rng.integers(self.quality[0], self.quality[1] + 1))
        if chance >= self.probability:
            return image
        if image.dtype != torch.uint8:
            raise ConfigError(
                f"Jpeg was given {image.dtype} pixels", "Put it before augmentations whose results are not uint8."
            )
        return jpeg(image, quality)
