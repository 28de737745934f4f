"""Value ranges of the two image tokenizers, and checks of the images they are given."""

from typing import Protocol

import torch
from torch import Tensor

from contracts.errors import DataError


class Tokenizer(Protocol):
    """The image size and value range of an autoencoder with a codebook."""

    @property
    def image_size(self) -> int:
        """Side of an image in pixels."""
        ...

    @property
    def value_range(self) -> tuple[float, float]:
        """Smallest and largest pixel value."""
        ...


NO_RESAMPLING = "a tokenizer's images are not resampled, since that destroys the traces"


def from_unit(tokenizer: Tokenizer, images: Tensor) -> Tensor:
    """Map images from [0, 1] to the tokenizer's range, and reject images that would silently destroy the signal.

    Args:
        tokenizer: The tokenizer that will encode them.
        images: [B, 3, S, S], floating point, in [0, 1], S the tokenizer's own image size.

    Raises:
        DataError: For another shape, size, type or range; images are never resampled, since resampling erases
            the quantisation traces that the tracer reads.
    """
    size = tokenizer.image_size
    if images.ndim != 4 or images.shape[1] != 3:
        raise DataError(
            f"expected RGB images [B, 3, {size}, {size}], got shape {tuple(images.shape)}", "Convert to RGB."
        )
    if tuple(images.shape[2:]) != (size, size):
        raise DataError(
            f"expected {size}×{size} pixels, got {images.shape[2]}×{images.shape[3]}: {NO_RESAMPLING}",
            f"Use the file as generated, or crop it: detector.eval_view.crop={size}; benchmark=forensynths_tables also "
            "needs benchmark.size_policy=detector.",
        )
    if not images.is_floating_point():
        raise DataError(f"expected floating-point images in [0, 1], got {images.dtype}", "Divide uint8 pixels by 255.")
    low, high = (float(v) for v in images.aminmax()) if images.numel() else (0.0, 0.0)
    if not (low >= 0.0 and high <= 1.0):
        raise DataError(f"expected pixel values in [0, 1], got {low:.4g} … {high:.4g}", "Divide by 255, or clip.")
    bottom, top = tokenizer.value_range
    return images * (top - bottom) + bottom


def to_unit(tokenizer: Tokenizer, images: Tensor) -> Tensor:
    """Map images from the tokenizer's range to [0, 1]."""
    bottom, top = tokenizer.value_range
    return (images - bottom) / (top - bottom)


def to_uint8(images: Tensor) -> Tensor:
    """Images in [0, 1] → uint8 as all published code saves them: ``floor(255 x)``, not rounded."""
    return images.mul(255).clamp(0, 255).to(torch.uint8)


def nearest_code(x: Tensor, codebook: Tensor) -> Tensor:
    """Index of the row of a codebook [V, C] nearest to x [..., C], squared Euclidean distance, always in float32.

    It is int64 [...]; the lowest index wins a tie.
    """
    with torch.autocast(x.device.type, enabled=False):
        flat, codes = x.reshape(-1, x.shape[-1]).float(), codebook.float()
        distance = flat.square().sum(1, keepdim=True) + codes.square().sum(1)
        distance = distance.addmm(flat, codes.T, alpha=-2)
        return distance.argmin(1).reshape(x.shape[:-1])
