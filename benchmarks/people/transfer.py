"""An image as it is sent to the browser: its pixels, without anything that reveals their origin."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def stored_png(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG of pixels [H, W, 3] without metadata and compression, whose size depends on width and height alone.

    Compressed, an image that was a JPEG would be smaller than another, and so would a smooth one.
    """
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=0)
    return file.getvalue()
