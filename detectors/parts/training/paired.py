"""Paired training: an image and a degraded copy of it should get the same prediction.

After the abstract of DCPT (arXiv 2604.10102), which publishes neither code nor constants; those here are our own.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2.functional import InterpolationMode, resize_image

from contracts.batch import Batch, as_unit_float
from contracts.errors import ConfigError
from contracts.keys import generator
from detectors.parts.training.degradations import blur, jpeg


def agreement(clean: Tensor, degraded: Tensor) -> Tensor:
    """Symmetric Kullback-Leibler divergence of two predictions, mean over images; logits [B] each."""
    p, q = clean.float(), degraded.float()
    return ((p.sigmoid() - q.sigmoid()) * (p - q)).mean()


class Paired:
    """The term that ``detector.paired`` adds to a training loss: `agreement`, and the copies' own cross-entropy.

    Every image gets one of JPEG compression, blur or down- and upsampling, chosen by its key.

    Args:
        weight: weight of the disagreement.
        degraded_weight: weight of the cross-entropy of the degraded copies.
        qualities: lowest and highest JPEG quality.
        sigmas: lowest and highest standard deviation of the blur, in pixels.
        scales: lowest and highest factor of the downsampling.

    Raises:
        ConfigError: a value out of range.
    """

    def __init__(
        self,
        weight: float = 1.0,
        degraded_weight: float = 0.0,
        qualities: Sequence[int] = (30, 95),
        sigmas: Sequence[float] = (0.5, 2.0),
        scales: Sequence[float] = (0.5, 0.9),
    ) -> None:
        if weight < 0 or degraded_weight < 0:
            raise ConfigError(f"detector.paired.weight={weight}", "Give 0 or more.")
        for name, (low, high), least, most in (
            ("qualities", qualities, 1, 100), ("sigmas", sigmas, 0, 50), ("scales", scales, 0.05, 1)
        ):  # fmt: skip
            if not least <= low <= high <= most:
                raise ConfigError(f"detector.paired.{name}=[{low}, {high}]", f"Give two values from {least} to {most}.")
        self.weight, self.degraded_weight = weight, degraded_weight
        self.qualities, self.sigmas, self.scales = tuple(qualities), tuple(sigmas), tuple(scales)

    def __call__(self, detector: Any, batch: Batch) -> Tensor:
        """The term for one batch of images.

        Raises:
            ConfigError: the batch holds features of a frozen backbone.
        """
        if batch.images.ndim != 4:
            raise ConfigError("detector.paired with benchmark.features", "Set benchmark.features=null.")
        keys = batch.key[batch.crop_to_image].tolist()
        worse = torch.stack([self.degraded(image, key) for image, key in zip(batch.images.cpu(), keys, strict=True)])
        clean = detector.score(batch).logits
        degraded = detector.score(batch._replace(images=worse.to(batch.images.device))).logits
        entropy = F.binary_cross_entropy_with_logits(degraded, batch.label[batch.crop_to_image].float())
        return self.weight * agreement(clean, degraded) + self.degraded_weight * entropy

    def degraded(self, image: Tensor, key: int) -> Tensor:
        """A degraded copy [3, H, W] uint8 of an image, uint8 or unit-range float32, on the CPU."""
        if image.dtype != torch.uint8:
            image = as_unit_float(image).mul(255).round().clamp(0, 255).to(torch.uint8)
        rng = generator(key, "paired")
        kind, share = int(rng.integers(3)), rng.random()
        if kind == 0:
            return jpeg(image, int(np.interp(share, (0, 1), self.qualities).round()))
        if kind == 1:
            return blur(image, float(np.interp(share, (0, 1), self.sigmas)))
        height, width = image.shape[-2:]
        factor = float(np.interp(share, (0, 1), self.scales))
        small = resize_image(image, [max(1, round(side * factor)) for side in (height, width)], antialias=True)
        large: Tensor = resize_image(small, [height, width], InterpolationMode.BILINEAR, antialias=True)
        return large
