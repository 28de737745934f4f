"""Random blur and JPEG of training images, as in CNNDetection and the detectors that follow it."""

import io
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import cv2
import numpy as np
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import Tensor

from contracts.errors import ConfigError, nearest

Codec = Literal["pillow", "opencv"]


def blur(image: Tensor, sigma: float, truncate: bool = False) -> Tensor:
    """Blur an image [3, H, W] uint8 with a Gaussian, channel by channel, with reflected borders.

    Args:
        image: uint8.
        sigma: standard deviation in pixels.
        truncate: truncate both passes to integers as the originals do, which darkens by 1 level at sigma 2; otherwise
            the result is rounded once.
    """
    pixels = image.numpy()
    if truncate:
        made = np.stack([gaussian_filter(channel, sigma) for channel in pixels])
    else:
        each = [gaussian_filter(channel.astype(np.float32), sigma) for channel in pixels]
        made = np.stack(each).round().clip(0, 255).astype(np.uint8)
    return torch.from_numpy(made)


def jpeg(image: Tensor, quality: int, codec: Codec = "pillow") -> Tensor:
    """Compress an image [3, H, W] uint8 as JPEG and decode it.

    Args:
        image: uint8.
        quality: 1 to 100; chroma has half the resolution.
        codec: program that writes the file.
    """
    pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
    if codec == "opencv":
        coded = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        decoded = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))
        return torch.from_numpy(decoded[..., ::-1].copy()).permute(2, 0, 1)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)


def _as_bytes(change: Callable[[Tensor], Tensor], image: Tensor) -> Tensor:
    """``change`` of an image [3, H, W]; a float one (1.0 = white) is rounded to 8 bits first and stays float."""
    if image.dtype == torch.uint8:
        return change(image)
    return change((image * 255).round().clamp(0, 255).to(torch.uint8)).to(image.dtype) / 255


def sometimes_blurred(
    image: Tensor,
    rng: np.random.Generator,
    p: float = 0.5,
    sigmas: Sequence[float] = (0.0, 3.0),
    truncate: bool = False,
) -> Tensor:
    """`blur` an image with probability p, with a random standard deviation in ``sigmas``, for ``detector.train_view``.

    A float image (1.0 = white) is rounded to 8 bits.
    """
    chance, share = rng.random(2)
    sigma = sigmas[0] + share * (sigmas[-1] - sigmas[0])
    return _as_bytes(partial(blur, sigma=sigma, truncate=truncate), image) if chance < p else image


def sometimes_jpeg(
    image: Tensor,
    rng: np.random.Generator,
    p: float = 0.5,
    qualities: Sequence[int] = (30, 100),
    between: bool = True,
    codecs: Sequence[Codec] = ("opencv", "pillow"),
) -> Tensor:
    """Compress an image with `jpeg` with probability p, for ``detector.train_view``.

    Args:
        image: [3, H, W] uint8, or float (1.0 = white), which is rounded to 8 bits.
        rng: random generator of this image and epoch.
        p: probability.
        qualities: the lowest and the highest; or, if not ``between``, all possible values.
        between: whether every quality between them is possible; RINE's training uses the two ends alone.
        codecs: one of these at random.

    Raises:
        ConfigError: an unknown codec.
    """
    for codec in codecs:
        if codec not in ("pillow", "opencv"):
            raise ConfigError(f"codecs: {codec!r} is unknown", nearest(codec, ("pillow", "opencv")))
    if rng.random() >= p:
        return image
    quality = rng.integers(qualities[0], qualities[-1] + 1) if between else rng.choice(list(qualities))
    codec = codecs[int(rng.integers(len(codecs)))]
    return _as_bytes(partial(jpeg, quality=int(quality), codec=codec), image)
