"""An image as it goes to the browser: its pixels, and nothing that says where they come from."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datamodules.loading.decode import MAX_PIXELS, decode


def pixels_of(content: bytes | NDArray[np.uint8], max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Pixels [H, W, 3] of what a store returned.

    Raises:
        DataError: it cannot be decoded.
    """
    if isinstance(content, np.ndarray):
        return content
    return np.ascontiguousarray(decode(content, "pillow", max_pixels).permute(1, 2, 0).numpy())


def stored_png(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG without metadata and without compression, whose size depends on width and height alone.

    Compressed, an image that was a JPEG would be smaller than another, and so would be a smooth one.

    Args:
        pixels: [H, W, 3].
    """
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=0)
    return file.getvalue()
