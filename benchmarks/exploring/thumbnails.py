"""Images of the page: the pixels of the centre at 1:1, and the whole image fitted."""

import base64
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 160
"""Pixels of the square in which an image is shown."""
QUALITY = 88
"""JPEG quality of a fitted image, which is reduced and therefore shows no pixels of the original."""


@dataclass(frozen=True)
class Thumbnail:
    """An image in two forms."""

    exact: str  # data URL of the central square at most `SIDE` wide, lossless
    exact_size: tuple[int, int]  # width and height of that square
    fitted: str  # data URL of the whole image, reduced; "" if ``exact`` is all of it
    width: int  # width of the original
    height: int  # height of the original


def thumbnail(pixels: NDArray[np.uint8]) -> Thumbnail:
    """Both forms of the pixels [H, W, 3]."""
    height, width = pixels.shape[:2]
    w, h = min(width, SIDE), min(height, SIDE)
    top, left = (height - h) // 2, (width - w) // 2
    exact = data_url(Image.fromarray(np.ascontiguousarray(pixels[top : top + h, left : left + w])))
    if (w, h) == (width, height):
        return Thumbnail(exact, (w, h), "", width, height)
    small = Image.fromarray(pixels)
    small.thumbnail((SIDE, SIDE), Image.Resampling.BOX, reducing_gap=2)
    return Thumbnail(exact, (w, h), data_url(small, "JPEG"), width, height)


def data_url(image: Image.Image, kind: str = "PNG") -> str:
    """An image as a data URL."""
    file = io.BytesIO()
    image.save(file, kind, **({"quality": QUALITY} if kind == "JPEG" else {"optimize": True}))
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"
