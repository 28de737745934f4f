"""A realistic folder of photographs: JPEG, PNG and WebP of 0.3 to 12 megapixels, some rotated by EXIF."""

import os
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIZES = ((640, 480), (1024, 768), (1600, 1200), (2048, 1536), (3000, 2000), (4000, 3000))
FORMATS = (("JPEG", "jpg"), ("JPEG", "jpg"), ("JPEG", "jpg"), ("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp"))
"""Formats and suffixes: two thirds JPEG, a sixth PNG and a sixth WebP, each in every size."""


def pixels(width: int, height: int, seed: int) -> NDArray[np.uint8]:
    """Smooth shapes, texture and sensor noise [height, width, 3], which compress as photographs do."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), 128, dtype=np.float32)
    for share, spread in ((1 / 128, 45), (1 / 16, 20), (1 / 4, 9), (1, 3)):
        layer = rng.normal(0, spread, (max(2, int(height * share)), max(2, int(width * share)), 3)).astype(np.float32)
        image += cv2.resize(layer, (width, height), interpolation=cv2.INTER_CUBIC)
    return image.clip(0, 255).astype(np.uint8)


def photographs(folder: Path, count: int) -> Path:
    """Writes ``count`` images into one class folder: every size and format once, and hard links to them."""
    inside = folder / "photographs"
    inside.mkdir(parents=True)
    kinds = [(size, kind) for size in SIZES for kind in FORMATS]
    for number in range(count):
        (width, height), (name, suffix) = kinds[number % len(kinds)]
        file = inside / f"{number:05}.{suffix}"
        if number >= len(kinds):
            os.link(inside / f"{number % len(kinds):05}.{suffix}", file)
            continue
        image = Image.fromarray(pixels(width, height, number))
        exif = image.getexif()
        exif[0x0112] = 6 if number % 5 == 0 else 1
        image.save(file, name, quality=90, exif=exif)
    return folder
