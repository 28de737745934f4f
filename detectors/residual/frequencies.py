"""High-pass filters in the frequency domain, as FreqNet uses them on images, features and channels.

Tan et al., "Frequency-Aware Deepfake Detection: Improving Generalizability through Frequency Space Learning", AAAI 2024
(arXiv 2403.07240). The published filter clears the shifted spectrum from n//2 - n//4 to n//2 + n//4 - 1, so that the
frequency +n//4 survives and -n//4 does not, and takes the real part of the result. That equals a filter with the mean
of both gains, 1/2, at ±n//4, which needs only the half spectrum of real images.
"""

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SHARE = 4  # Frequencies below n // `SHARE` are removed


def high_pass(images: Tensor, symmetric: bool = True) -> Tensor:
    """Images without their low frequencies (a rectangle of half of the spectrum in both directions); then ReLU.

    Args:
        images: [B, C, H, W] float.
        symmetric: remove n // 4 in both directions, instead of in one as published.

    Returns:
        [B, C, H, W] float32, not negative.
    """
    with torch.autocast(images.device.type, enabled=False):
        images = images.float()
        if torch.compiler.is_exporting():
            return _by_matrices(images, symmetric).relu_()
        gain = _rectangle(images.shape[-2], images.shape[-1], symmetric).to(images.device)
        filtered: Tensor = torch.fft.irfft2(torch.fft.rfft2(images) * gain, s=images.shape[-2:])
    return filtered.relu_()


def _by_matrices(images: Tensor, symmetric: bool) -> Tensor:
    """The same filter as matrix products, which runtimes of graphs compute faster than Fourier transforms.

    The removed rectangle is the product of a filter of the rows and one of the columns, whose responses are real where
    ``symmetric``; otherwise the real part of the product is taken.
    """
    down, across = (_block_response(side, symmetric) for side in images.shape[-2:])
    low = down[0] @ (images @ across[0].T)
    return images - (low if symmetric else low - down[1] @ (images @ across[1].T))


def channel_high_pass(features: Tensor, symmetric: bool = True) -> Tensor:
    """The same along the channels of features [B, C, H, W]: a circulant matrix of the channels; then ReLU."""
    matrix = _circulant(features.shape[1], symmetric).to(features.device)
    with torch.autocast(features.device.type, enabled=False):
        return torch.nn.functional.conv2d(features.float(), matrix[:, :, None, None]).relu_()


@lru_cache(maxsize=64)
def _removed(size: int, symmetric: bool) -> NDArray[np.bool_]:
    """Which signed frequencies, in FFT order, lie in the block that is cleared: [size] bool."""
    place = np.arange(size)
    frequency = np.where(place < (size + 1) // 2, place, place - size)
    edge = size // SHARE
    return (frequency >= -edge) & ((frequency <= edge) if symmetric and edge else (frequency < edge))


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # a tensor of inference mode, kept by a validation, could not be trained with
def _rectangle(height: int, width: int, symmetric: bool) -> Tensor:
    """Gain of each frequency of the half spectrum, [height, width // 2 + 1]."""
    whole = ~(_removed(height, symmetric)[:, None] & _removed(width, symmetric)[None])
    return _both_ways(torch.from_numpy(whole).double())[:, : width // 2 + 1].float()


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _block_response(size: int, symmetric: bool) -> tuple[Tensor, Tensor]:
    """Real and imaginary part of the matrix [size, size] that keeps only the block of frequencies to be removed."""
    response = np.fft.ifft(_removed(size, symmetric))  # NumPy, so that a graph gets the matrix and not its computation
    place = np.arange(size)
    matrix = response[(place[:, None] - place[None]) % size].astype(np.complex64)
    return torch.from_numpy(matrix.real.copy()), torch.from_numpy(matrix.imag.copy())


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _circulant(size: int, symmetric: bool) -> Tensor:
    """The filter of ``size`` channels as a matrix [size, size]."""
    gain = _both_ways(torch.from_numpy(~_removed(size, symmetric)).double())
    response: Tensor = torch.fft.ifft(gain).real
    place = torch.arange(size)
    return response[(place[:, None] - place[None]) % size].float()


def _both_ways(gain: Tensor) -> Tensor:
    """The mean of the gains at each frequency and at its negative."""
    axes = tuple(range(gain.ndim))
    return (gain + gain.flip(axes).roll((1,) * gain.ndim, axes)) / 2
