"""Two images of an image's patches: those with the least texture, and those with the most.

Zhong et al., "PatchCraft: Exploring Texture Patch for Efficient AI-generated Image Detection", 2023 (arXiv 2311.12397).
"""

from hashlib import blake2b

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from contracts.errors import ConfigError
from contracts.keys import generator, random_key

TIMES = 3  # Patches taken at random for each one used in an image of patches; the middle third is not used


class TexturePatches:
    """Cuts random patches and arranges the poorest and the richest: poor on the left, rich on the right.

    Args:
        side: side of each of the two images in pixels.
        per_side: patches along a side.
        by_pixels: places depend on the pixels alone, so that copies of an image get equal patches; else they are
            random each time an image is read.

    Raises:
        ConfigError: the side is not a multiple of ``per_side``, or a patch is smaller than 2 pixels.
    """

    def __init__(self, side: int = 256, per_side: int = 8, by_pixels: bool = True) -> None:
        if per_side < 1 or side % per_side or side // per_side < 2:
            raise ConfigError(
                f"detector.side={side} with detector.per_side={per_side}",
                "Give a side that is a multiple of per_side, and at least twice per_side.",
            )
        self.per_side, self.patch, self.by_pixels = per_side, side // per_side, by_pixels

    def __call__(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        """One image [3, H, W] → [3, side, 2 · side] of the same type."""
        image = at_least(image, self.patch)
        if self.by_pixels:
            pixels = image.contiguous().numpy()
            rng = generator(random_key(str(pixels.shape), blake2b(pixels.tobytes()).hexdigest()), "patches")
        count = TIMES * self.per_side**2
        places = [rng.integers(0, side - self.patch + 1, count) for side in image.shape[-2:]]
        return torch.cat(poor_and_rich(image, np.stack(places, 1), self.patch, self.per_side), 2)


def at_least(image: Tensor, patch: int) -> Tensor:
    """The image [3, H, W]; resized to patch x patch (Pillow's bilinear filter) where one of its sides is smaller."""
    if min(image.shape[-2:]) >= patch:
        return image
    scaled = [  # channel by channel, since Pillow has no floating-point images of three channels
        np.asarray(Image.fromarray(channel.numpy()).resize((patch, patch), Image.Resampling.BILINEAR))
        for channel in image
    ]
    return torch.from_numpy(np.stack(scaled))


def poor_and_rich(image: Tensor, places: NDArray[np.int64], patch: int, per_side: int) -> tuple[Tensor, Tensor]:
    """The images of the poorest and of the richest patches.

    Args:
        image: [3, H, W].
        places: [n, 2] top and left of each patch, n ≥ 2 · per_side².
        patch: side of a patch in pixels.
        per_side: patches along a side of the results.

    Returns:
        Two [3, per_side · patch, per_side · patch]: row by row the patches of least texture in ascending order, and
        those of most texture in descending order.
    """
    cut = torch.stack([image[:, top : top + patch, left : left + patch] for top, left in places.tolist()])
    order = torch.argsort(texture(cut), stable=True)
    count = per_side**2
    return _arranged(cut[order[:count]], per_side), _arranged(cut[order.flip(0)[:count]], per_side)


def texture(patches: Tensor) -> Tensor:
    """Sum of the absolute differences of neighbours: to the right, below, and along both diagonals.

    Args:
        patches: [n, 3, p, p], uint8 or float32 with 1.0 = white.

    Returns:
        [n] float64 in units of the full range; exact, and so with its ties, for uint8.
    """
    values = patches.long() if patches.dtype == torch.uint8 else patches.double()
    pairs = (
        (values[..., :-1], values[..., 1:]),
        (values[..., :-1, :], values[..., 1:, :]),
        (values[..., :-1, :-1], values[..., 1:, 1:]),
        (values[..., :-1, 1:], values[..., 1:, :-1]),
    )
    total = torch.stack([(one - other).abs().sum((1, 2, 3)) for one, other in pairs]).sum(0)
    return total / 255 if patches.dtype == torch.uint8 else total


def _arranged(patches: Tensor, per_side: int) -> Tensor:
    count, channels, patch, _ = patches.shape
    rows = patches.view(per_side, count // per_side, channels, patch, patch)
    return rows.permute(2, 0, 3, 1, 4).reshape(channels, per_side * patch, per_side * patch)
