"""The preprocessing of an exported detector, with NumPy and Pillow alone; and a score, with ONNX Runtime.

This file is copied into every exported ONNX folder, where it reads the settings from ``config.json`` beside it:

    python preprocess.py photo.jpg
"""

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

Pixels = NDArray[np.uint8]


def pixels(image: Any) -> Pixels:
    """Pixels [H, W, 3] uint8 of a path, file or PIL image: rotated upright, drawn on white, without colour profile."""
    opened = ImageOps.exif_transpose(image if isinstance(image, Image.Image) else Image.open(image))
    if opened.mode.startswith("I"):  # 16-bit gray: the high byte
        return np.repeat((np.asarray(opened).astype(np.int64) >> 8).astype(np.uint8)[..., None], 3, 2)
    if opened.has_transparency_data:
        layer = opened.convert("RGBA")
        opened = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return np.array(opened.convert("RGB"))


def crops(image: Pixels, view: dict[str, Any]) -> Pixels:
    """Input [n, 3, h, w] uint8 of the graph, from pixels [H, W, 3] uint8 and the ``eval_view`` of ``config.json``.

    It is the whole image or its central crop; or five crops (the corners and the centre), or ten (those of the image
    and of its mirror image), whose probabilities are averaged.

    Raises:
        ValueError: the image is too small for the detector.
    """
    if min(image.shape[:2]) < view.get("least", 1):
        raise ValueError(f"{image.shape[1]}x{image.shape[0]} is too small: the detector needs {view['least']} pixels")
    if view.get("resize"):
        bicubic = view.get("interpolation") == "bicubic"
        image = _bicubic(image, view["resize"]) if bicubic else bilinear(image, view["resize"])
    side = view.get("crop")
    if not side:
        return np.ascontiguousarray(image.transpose(2, 0, 1)[None])
    image = _filled(image, side, view.get("fill", "tile"))
    down, right = image.shape[0] - side, image.shape[1] - side
    places = [(round(down / 2), round(right / 2))]
    if view.get("crops", "one") != "one":
        places = [(0, 0), (0, right), (down, 0), (down, right), *places]
    whole = [image, image[:, ::-1]] if view.get("crops") == "ten" else [image]
    found = [one[top : top + side, left : left + side] for one in whole for top, left in places]
    return np.ascontiguousarray(np.stack(found).transpose(0, 3, 1, 2))


def bilinear(image: Pixels, side: int) -> Pixels:
    """Resize to [side, side, 3] as torchvision does 8-bit images: antialiased, in integers, rows of pixels first."""
    if image.shape[:2] == (side, side):
        return image
    return _along(_along(image.transpose(1, 0, 2), side).transpose(1, 0, 2), side)


def _along(image: Pixels, count: int) -> Pixels:
    """The first axis resized: weighted sums of 15-bit integers, rounded to 8 bits."""
    size = len(image)
    if size == count:
        return image
    scale = size / count
    reach = max(scale, 1.0)
    taps = []
    for place in range(count):
        centre = scale * (place + 0.5)
        first, last = max(int(centre - reach + 0.5), 0), min(int(centre + reach + 0.5), size)
        weights = np.clip(1 - np.abs((np.arange(first, last) - centre + 0.5) / reach), 0, None)
        taps.append((first, weights / weights.sum()))
    most = max(weights.max() for _, weights in taps)
    bits = 0
    while bits < 22 and int(0.5 + most * (1 << (bits + 1))) < 1 << 15:
        bits += 1
    rows = image.astype(np.int64)
    made = np.empty((count, *image.shape[1:]), np.uint8)
    for place, (first, weights) in enumerate(taps):
        whole = (0.5 + weights * (1 << bits)).astype(np.int64)
        total = np.tensordot(whole, rows[first : first + len(whole)], 1) + (1 << (bits - 1))
        made[place] = np.clip(total >> bits, 0, 255)
    return made


def _bicubic(image: Pixels, side: int) -> Pixels:
    if image.shape[:2] == (side, side):
        return image
    return np.array(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))


def _filled(image: Pixels, side: int, fill: str) -> Pixels:
    height, width = image.shape[:2]
    if min(height, width) >= side:
        return image
    if fill == "error":
        raise ValueError(f"{width}x{height} is smaller than the crop of {side} pixels")
    if fill == "tile":
        return np.tile(image, (math.ceil(side / height), math.ceil(side / width), 1))
    down, right = max(side - height, 0), max(side - width, 0)
    return np.pad(image, ((down // 2, down - down // 2), (right // 2, right - right // 2), (0, 0)))


def probability(folder: Path, image: Any) -> float:
    """P(generated) of an image: the mean over its crops."""
    import onnxruntime

    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    logits = session.run(["logits"], {"images": crops(pixels(image), settings["detector"]["eval_view"])})[0]
    return float(np.mean(1 / (1 + np.exp(-logits.astype(np.float64)))))


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(f"{name}: P(generated) {probability(Path(__file__).resolve().parent, name):.4f}")
