"""Steps that align a reconstruction with its real image, on uint8 arrays [H, W, 3]."""

import io
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn, idctn

Pixels = NDArray[np.uint8]

KERNELS = ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")
"""Pillow's filters, one of which is chosen at random."""


def resized(image: Pixels, width: int, height: int, kernel: str) -> Pixels:
    """By one of Pillow's filters (`KERNELS`)."""
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling[kernel.upper()]))


def pixel_mix(real: Pixels, fake: Pixels, share: float, kernel: str = "lanczos", truncate: bool = False) -> Pixels:
    """``share · fake + (1 - share) · real``.

    Args:
        real: [H, W, 3].
        fake: resized to the real image's size if it has another.
        share: share of the reconstruction, 0 to 1.
        kernel: kernel of that resize.
        truncate: truncate to integers as the original does, which darkens by half a level; otherwise round.
    """
    fake = resized(fake, real.shape[1], real.shape[0], kernel)
    mixed = np.float32(share) * fake.astype(np.float32) + np.float32(1 - share) * real.astype(np.float32)
    return _levels(mixed, truncate)


def frequency_mix(real: Pixels, fake: Pixels, share: float) -> Pixels:
    """``share · real + (1 - share) · fake`` of the spectra of a cosine transform of each channel, rounded.

    The share is the real image's here. As the transform is linear, this is the mix of the pixels up to rounding; the
    published code selects no frequencies.
    """
    fake = resized(fake, real.shape[1], real.shape[0], "lanczos")
    of_real, of_fake = (dctn(x.astype(np.float32), axes=(0, 1), norm="ortho") for x in (real, fake))
    mixed = idctn(np.float32(share) * of_real + np.float32(1 - share) * of_fake, axes=(0, 1), norm="ortho")
    return _levels(np.asarray(mixed, np.float32), truncate=False)


def jpeg(image: Pixels, quality: int) -> Pixels:
    """The image saved as JPEG with Pillow's defaults (chroma at half resolution); unchanged at quality 100."""
    if quality >= 100:
        return image
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def rebuilt(
    real: Pixels,
    autoencode: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    multiple: int = 8,
    truncate: bool = False,
) -> tuple[Pixels, Pixels]:
    """A real image and its reconstruction, both cropped centrally to a multiple of the autoencoder's stride.

    Args:
        real: [H, W, 3].
        autoencode: images [H, W, 3] from -1 to 1 → reconstructions of that range.
        multiple: the stride.
        truncate: truncate to integers as the original does, which lowers about a quarter of the values by 1 even if
            the autoencoder changes nothing; otherwise round.
    """
    height, width = (side // multiple * multiple for side in real.shape[:2])
    top, left = (real.shape[0] - height) // 2, (real.shape[1] - width) // 2
    cropped = real[top : top + height, left : left + width]
    decoded = autoencode(cropped.astype(np.float32) / np.float32(127.5) - np.float32(1))
    return cropped, _levels(np.asarray((decoded + 1) / 2 * 255, np.float32), truncate)


def median(image: Pixels, side: int = 3) -> Pixels:
    """Median of each window."""
    return np.asarray(cv2.medianBlur(image, side), np.uint8)


def motion(image: Pixels, angle: float, length: int = 5) -> Pixels:
    """Mean of an image [H, W, 3] along a line of an odd number of pixels, at an angle in degrees."""
    steps = np.arange(length) - length // 2
    radians = np.deg2rad(angle)
    rows, columns = (np.rint(steps * part).astype(int) + length // 2 for part in (np.sin(radians), np.cos(radians)))
    kernel = np.zeros((length, length), np.float32)
    kernel[rows, columns] = 1
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()), np.uint8)


def sharpened(image: Pixels, strength: float) -> Pixels:
    """Unsharp mask: x + strength · (x - blur of standard deviation 3), truncated to integers."""
    x = image.astype(np.float32)
    return _levels(x + strength * (x - np.asarray(cv2.GaussianBlur(x, (0, 0), 3))), truncate=True)


def _levels(values: NDArray[np.float32], truncate: bool) -> Pixels:
    whole = np.clip(values, 0, 255)
    return (whole if truncate else np.rint(whole)).astype(np.uint8)
