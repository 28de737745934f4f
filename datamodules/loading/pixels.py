"""Pixels of an image, whether its store holds them or an encoded file."""

import numpy as np
from numpy.typing import NDArray

from datamodules.loading.decode import MAX_PIXELS, decode


def pixels_of(content: bytes | NDArray[np.uint8], max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Pixels [H, W, 3] of what a store returned, decoded by Pillow, the reference.

    Raises:
        DataError: it cannot be decoded.
    """
    if isinstance(content, np.ndarray):
        return content
    return np.ascontiguousarray(decode(content, "pillow", max_pixels).permute(1, 2, 0).numpy())
