"""Log-power spectra of images, and their mean over all directions.

Up-sampling leaves peaks and a different decay at high frequencies (Durall et al., "Watch your Up-Convolution", CVPR
2020; Frank et al., "Leveraging Frequency Analysis for Deep Fake Image Recognition", ICML 2020).
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LARGEST, SMALLEST = 256, 16
"""Sides of the central square that is transformed."""

FLOOR = 1 / (12 * 255**2)
"""Power of rounding to 8 bits, added to every coefficient: nothing below it was recorded, and log 0 is avoided."""

LUMA = np.array([0.299, 0.587, 0.114])
"""Weights of R, G, B (ITU-R BT.601)."""


def side_for(shorter: dict[str, NDArray[np.int64]]) -> int:
    """Side of the square to transform: the largest power of two that fits at least half the images of every group.

    Args:
        shorter: shorter sides of the images of each group, none of them empty.

    Returns:
        `SMALLEST` to `LARGEST`; smaller images have no spectrum.
    """
    middle = min((float(np.median(sides)) for sides in shorter.values()), default=0.0)
    side = LARGEST
    while side > SMALLEST and side > middle:
        side //= 2
    return side


def log_power(pixels: NDArray[np.uint8], side: int) -> Floats | None:
    """Base-10 logarithm of the power of the central square, [side, side] with frequency 0 in the middle.

    The mean is subtracted from the luma in 0..1; a Hann window is applied, and its power is divided out. None if the
    image [H, W, 3] is smaller than the square.
    """
    height, width = pixels.shape[:2]
    if min(height, width) < side:
        return None
    top, left = (height - side) // 2, (width - side) // 2
    luma = pixels[top : top + side, left : left + side] @ LUMA / 255
    window = _window(side)
    spectrum = np.fft.fft2((luma - luma.mean()) * window)
    found: Floats = np.fft.fftshift(np.log10(np.abs(spectrum) ** 2 / (window**2).sum() + FLOOR))
    return found


def azimuthal_mean(spectrum: Floats) -> Floats:
    """Mean over each ring of frequencies, [side / 2]: element k is (k + 1) / side cycles per pixel."""
    ring, size = _rings(len(spectrum))
    found: Floats = np.bincount(ring, spectrum.ravel())[1 : len(size) + 1] / size
    return found


def frequencies(side: int) -> Floats:
    """[side / 2] cycles per pixel of `azimuthal_mean`; the last one is the Nyquist frequency."""
    return np.arange(1, side // 2 + 1) / side


@cache
def _window(side: int) -> Floats:
    one = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(side) / side)
    return np.outer(one, one)


@cache
def _rings(side: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ring of every coefficient, and the number of coefficients in rings 1 to side / 2."""
    axis = np.arange(side) - side // 2
    ring = np.rint(np.hypot(axis[:, None], axis[None, :])).astype(np.int64).ravel()
    return ring, np.bincount(ring)[1 : side // 2 + 1]
