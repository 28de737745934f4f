"""Staged augmentations for training the inverse decoder: at most one operation per image, stronger in later epochs.

Source: Zhao et al., "Data Provenance for Image Auto-Regressive Generation" (2026), Table A2. Only the encoder's
input is augmented; the target stays that of the clean image.
"""

from dataclasses import dataclass
from itertools import accumulate
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2 import functional as TF

from detectors.parts.training.degradations import jpeg

Operation = Literal["jpeg", "blur", "noise", "brightness", "saturation", "contrast", "resize"]
OPERATIONS: tuple[Operation, ...] = get_args(Operation)
PROBABILITY = 0.5
SIGMA = (0.1, 2.0)


@dataclass(frozen=True)
class Strength:
    """Values each operation samples from: lists of JPEG qualities and odd kernel sizes, and ranges for the others."""

    jpeg: tuple[int, ...]
    blur: tuple[int, ...]
    noise: tuple[float, float]
    brightness: tuple[float, float]
    saturation: tuple[float, float]
    contrast: tuple[float, float]
    resize: tuple[float, float]


STAGES: dict[str, Strength | None] = {
    "none": None,
    "weak": Strength((90, 85, 80), (1, 3), (0.005, 0.02), (1.0, 1.2), (1.0, 1.5), (1.0, 1.5), (0.8, 0.9)),
    "medium": Strength((80, 75, 70, 65), (3, 5), (0.02, 0.04), (1.3, 1.5), (1.5, 2.0), (1.5, 2.0), (0.7, 0.8)),
    "strong": Strength((60, 55, 50), (5, 7, 9), (0.03, 0.05), (1.5, 2.0), (2.0, 2.5), (2.0, 2.4), (0.5, 0.7)),
}
STAGE_EPOCHS = {"none": 5, "weak": 5, "medium": 20, "strong": 20}


def stage_at(epoch: int, epochs: int) -> str:
    """Name of the stage of an epoch (from 0): 5, 5, 20 and 20 of 50 epochs, in proportion for other numbers."""
    if not 0 <= epoch < epochs:
        raise ValueError(f"epoch {epoch} is outside 0 to {epochs - 1}")
    ends = accumulate(STAGE_EPOCHS.values())
    whole = sum(STAGE_EPOCHS.values())
    return next(name for name, end in zip(STAGE_EPOCHS, ends, strict=True) if epoch * whole < end * epochs)


def apply(
    images: Tensor, operation: Operation, amount: float, *, sigma: float = 1.0, noise: Tensor | None = None
) -> Tensor:
    """One operation on images [B, 3, H, W] in [0, 1] → the same shape and range.

    Args:
        images: Floating point.
        operation: Name of the operation.
        amount: JPEG quality, odd kernel size, noise deviation, factor of brightness, saturation or contrast, or the
            scale to shrink to before going back to the old size (bilinear, antialiased).
        sigma: Standard deviation of the blur, in pixels.
        noise: Standard normal, like the images, for ``noise``.

    Raises:
        ValueError: If the operation is unknown, or ``noise`` is absent for the operation ``noise``.
    """
    if operation == "jpeg":
        levels = images.mul(255).round().to(torch.uint8).cpu()
        return torch.stack([jpeg(image, int(amount)) for image in levels]).to(images) / 255
    if operation == "blur":
        return torch.as_tensor(TF.gaussian_blur(images, [int(amount)] * 2, [sigma] * 2)).clamp(0, 1)
    if operation == "noise":
        if noise is None:
            raise ValueError("operation 'noise' needs a noise tensor")
        return (images + amount * noise).clamp(0, 1)
    if operation == "resize":
        small = F.interpolate(images, scale_factor=amount, mode="bilinear", antialias=True)
        return F.interpolate(small, size=images.shape[2:], mode="bilinear", antialias=True).clamp(0, 1)
    if operation in ("brightness", "saturation", "contrast"):
        return torch.as_tensor(getattr(TF, f"adjust_{operation}")(images, amount))
    raise ValueError(f"unknown operation {operation!r}; choose one of {', '.join(OPERATIONS)}")


def augment(images: Tensor, stage: str, generator: torch.Generator, probability: float = PROBABILITY) -> Tensor:
    """Apply one random operation of a stage to each image with some probability.

    Args:
        images: [B, 3, H, W] in [0, 1].
        stage: A key of :data:`STAGES`.
        generator: Source of all randomness, on the CPU, which makes results independent of the device.
        probability: Probability that an image is changed.

    Returns:
        A new tensor of the same shape and range.
    """
    if stage not in STAGES:
        raise ValueError(f"unknown stage {stage!r}; choose one of {', '.join(STAGES)}")
    strength = STAGES[stage]
    if strength is None:
        return images.clone()
    result = []
    for image in images.split(1):  # type: ignore[no-untyped-call]
        touch, which, where, how = torch.rand(4, generator=generator).tolist()
        if touch >= probability:
            result.append(image)
            continue
        operation = OPERATIONS[min(int(which * len(OPERATIONS)), len(OPERATIONS) - 1)]
        choices = getattr(strength, operation)
        if operation in ("jpeg", "blur"):
            amount = choices[min(int(where * len(choices)), len(choices) - 1)]
        else:
            amount = choices[0] + where * (choices[1] - choices[0])
        noise = torch.randn(image.shape, generator=generator).to(image) if operation == "noise" else None
        sigma = SIGMA[0] + how * (SIGMA[1] - SIGMA[0])
        result.append(apply(image, operation, amount, sigma=sigma, noise=noise))
    return torch.cat(result)
