"""JPEG compression in the evaluation and training chains, by OpenCV or Pillow."""

import io
import random
from dataclasses import dataclass
from functools import cache
from typing import Literal

import cv2
import numpy as np
from PIL import Image

from benchmarks.ai_genbench.images.arrays import Levels

Codec = Literal["cv2", "pil"]
CODECS: tuple[Codec, ...] = ("cv2", "pil")

V1_QUALITIES = (50, 101)  # The original chooses one of the two ends of the range it meant; both codecs treat 101 as 100

MAX_QUALITY = 100


@dataclass(frozen=True)
class Jpeg:
    """One compression: the library, and the quality as chosen (101 acts as 100)."""

    codec: Codec
    quality: int


def draw_v1_jpeg(draw: random.Random) -> Jpeg:
    """Codec, then quality 50 or 101."""
    codec = draw.choice(CODECS)
    return Jpeg(codec, draw.choice(V1_QUALITIES))


def draw_jpeg(draw: random.Random, lowest: int) -> Jpeg:
    """Codec, then a whole quality from `lowest` to 100."""
    codec = draw.choice(CODECS)
    return Jpeg(codec, draw.randint(lowest, MAX_QUALITY))


def jpeg_round_trip(levels: Levels, jpeg: Jpeg) -> Levels:
    """Compress and decode again.

    Both codecs use libjpeg-turbo with the same defaults (4:2:0, accurate DCT, smooth upsampling). If their pixels agree
    on a test image, which is tried once, OpenCV, the faster one, is used for both.
    """
    quality = min(jpeg.quality, MAX_QUALITY)
    if jpeg.codec == "cv2" or codecs_agree():
        return _cv2_round_trip(levels, quality)
    return _pil_round_trip(levels, quality)


@cache
def codecs_agree() -> bool:
    """Whether OpenCV and Pillow, as installed here, decode their JPEGs to the same pixels."""
    y, x = np.mgrid[:61, :75]
    wave = 127.5 + 127.5 * np.sin(np.stack([x * y / 90, x / 3 + y, (x - y) ** 2 / 40], axis=-1))
    noise = np.random.default_rng(0).integers(-40, 41, wave.shape)
    levels = np.clip(wave + noise, 0, 255).astype(np.uint8)
    return all(
        np.array_equal(_cv2_round_trip(levels, quality), _pil_round_trip(levels, quality))
        for quality in (30, 50, 75, 90, 95, MAX_QUALITY)
    )


def _cv2_round_trip(levels: Levels, quality: int) -> Levels:
    bgr = cv2.cvtColor(levels, cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB), dtype=np.uint8)


def _pil_round_trip(levels: Levels, quality: int) -> Levels:
    buffer = io.BytesIO()
    Image.fromarray(levels).save(buffer, "JPEG", quality=quality)
    with Image.open(buffer) as decoded:
        return np.asarray(decoded)
