"""Single steps of a delivery: ``(pixels [H, W, 3] uint8, strength, rng) -> pixels [h, w, 3] uint8``.

Codecs are Pillow's, filters OpenCV's. A step without randomness ignores ``rng``; one with randomness takes all of it
from there, so a delivery depends on nothing but the image and its generator.
"""

from collections.abc import Callable
from io import BytesIO
from math import sqrt
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Pixels = NDArray[np.uint8]
Rng = np.random.Generator
Size = tuple[int, int]  # Height and width in pixels
Step = Callable[[Pixels, float, Rng], Pixels]

AVIF_SPEED = 8  # Of 0 (slow) to 10; the quality decides what is lost, the speed mostly the size of the file


def size_of(pixels: Pixels) -> Size:
    """Height and width of pixels [H, W, 3]."""
    return pixels.shape[0], pixels.shape[1]


def scaled(height: int, width: int, factor: float) -> Size:
    """Both sides times a factor, at least one pixel each."""
    return max(1, round(height * factor)), max(1, round(width * factor))


def limited(height: int, width: int, longest: float) -> Size:
    """The size, reduced so that its longer side has at most ``longest`` pixels."""
    return scaled(height, width, min(1.0, longest / max(height, width, 1)))


def recoded(pixels: Pixels, kind: str, **options: Any) -> Pixels:
    """The image after it was saved and opened again."""
    file = BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return np.array(Image.open(file).convert("RGB"))


def jpeg(pixels: Pixels, quality: float, rng: Rng) -> Pixels:  # noqa: ARG001 - the signature of a step
    """JPEG with 4:2:0 chroma subsampling, as nearly every service saves; quality 1 to 100."""
    return recoded(pixels, "JPEG", quality=round(quality), subsampling=2)


def jpeg444(pixels: Pixels, quality: float, rng: Rng) -> Pixels:  # noqa: ARG001
    """JPEG without chroma subsampling; quality 1 to 100."""
    return recoded(pixels, "JPEG", quality=round(quality), subsampling=0)


def webp(pixels: Pixels, quality: float, rng: Rng) -> Pixels:  # noqa: ARG001
    """Lossy WebP; quality 0 to 100."""
    return recoded(pixels, "WEBP", quality=round(quality))


def avif(pixels: Pixels, quality: float, rng: Rng) -> Pixels:  # noqa: ARG001
    """AVIF; quality 0 to 100."""
    # with more threads the encoder makes other pixels, and by default Pillow uses as many as there are cores
    return recoded(pixels, "AVIF", quality=round(quality), speed=AVIF_SPEED, max_threads=1)


def resized(pixels: Pixels, size: Size) -> Pixels:
    """Bicubic and antialiased, as Pillow resizes."""
    if size == size_of(pixels):
        return pixels
    return np.array(Image.fromarray(pixels).resize(size[::-1], Image.Resampling.BICUBIC))


def resize(pixels: Pixels, factor: float, rng: Rng) -> Pixels:  # noqa: ARG001
    """Both sides times a factor."""
    return resized(pixels, scaled(*size_of(pixels), factor))


def side(pixels: Pixels, longest: float, rng: Rng) -> Pixels:  # noqa: ARG001
    """The longer side reduced to ``longest`` pixels; smaller images stay as they are."""
    return resized(pixels, limited(*size_of(pixels), longest))


def blur(pixels: Pixels, sigma: float, rng: Rng) -> Pixels:  # noqa: ARG001
    """Gaussian blur with a standard deviation in pixels."""
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma), np.uint8)


def kernel(pixels: Pixels, width: float, rng: Rng) -> Pixels:  # noqa: ARG001
    """Gaussian blur by a kernel of odd width in pixels, whose deviation OpenCV derives from it."""
    odd = 2 * int(width // 2) + 1
    return np.asarray(cv2.GaussianBlur(pixels, (odd, odd), 0), np.uint8)


def noise(pixels: Pixels, deviation: float, rng: Rng) -> Pixels:
    """Independent Gaussian noise on every value, its standard deviation in levels of 0 to 255."""
    added = rng.standard_normal(pixels.shape, dtype=np.float32)
    return np.clip(np.rint(pixels + deviation * added), 0, 255).astype(np.uint8)


def variance(pixels: Pixels, squared: float, rng: Rng) -> Pixels:
    """`noise`, given by its variance in squared levels."""
    return noise(pixels, sqrt(squared), rng)


def crop(pixels: Pixels, share: float, rng: Rng) -> Pixels:
    """A random place; ``share`` of each side is kept."""
    height, width = scaled(*size_of(pixels), share)
    top = int(rng.integers(pixels.shape[0] - height + 1))
    left = int(rng.integers(pixels.shape[1] - width + 1))
    return pixels[top : top + height, left : left + width]


def centre(pixels: Pixels, share: float, rng: Rng) -> Pixels:  # noqa: ARG001
    """The centre; ``share`` of each side is kept."""
    height, width = scaled(*size_of(pixels), share)
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return pixels[top : top + height, left : left + width]


def cut(pixels: Pixels, percent: float, rng: Rng) -> Pixels:
    """A random crop that removes ``percent`` of each side, enlarged to the former size (Frank et al. 2020)."""
    return resized(crop(pixels, 1 - percent / 100, rng), size_of(pixels))


def sharpen(pixels: Pixels, amount: float, rng: Rng) -> Pixels:  # noqa: ARG001
    """Unsharp mask of radius 2; 1 adds the difference to the blurred image once."""
    filtered = Image.fromarray(pixels).filter(ImageFilter.UnsharpMask(2, round(100 * amount), 0))
    return np.array(filtered)
