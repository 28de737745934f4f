"""Artefact maps of images; one pixel of a map corresponds to one of the image."""

import json
import re
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from benchmarks.predictions import Predictions
from contracts.batch import as_unit_float
from contracts.explain import Explainable
from contracts.files import write_atomically
from contracts.names import utf8_path

GAIN = 4.0  # Brightness of a map: the colour scale ends at a difference of a quarter of the range

INDEX = "index.json"  # File in the folder of single maps: image id → title → file, for the review page

GAP = 4
HEAD = 30


def write_maps(
    predictions: Predictions,
    detector: Explainable,
    images: Mapping[str, Tensor],
    attention: NDArray[np.float64] | None,
    folder: Path,
) -> list[Path]:
    """Writes one PNG per image, in the given order: the image, then its maps, each with its name and weight."""
    place = {name: k for k, name in enumerate(predictions.fused_ids.tolist())}
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    files = []
    for number, (name, image) in enumerate(images.items()):
        k = place[name]
        maps = detector.artefact_maps(image[None].contiguous())[0].cpu().numpy()
        weights = [None] * len(maps) if attention is None else attention[k].tolist()
        kind = {0: "real", 1: str(predictions.generators[k]) or "generated"}.get(int(predictions.fused_labels[k]), "")
        heads = [f"{kind}\nscore {predictions.fused_scores[k]:.3f}"]
        heads += [
            title if weight is None else f"{title}\nweight {weight:.3f}"
            for title, weight in zip(detector.map_names, weights, strict=True)
        ]
        stem = re.sub(r"[^\w-]+", "_", name)[-60:]
        file = folder / utf8_path(f"{number:03d}_{stem}.png")
        strip(image, maps, heads).save(file)
        files.append(file)
    return files


def write_single_maps(detector: Explainable, images: Mapping[str, Tensor], folder: Path) -> None:
    """Writes each map of each image as a file, and the index by which the review page finds them."""
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / INDEX
    index: dict[str, dict[str, str]] = json.loads(note.read_text(encoding="utf-8")) if note.is_file() else {}
    for name, image in images.items():
        maps = detector.artefact_maps(image[None].contiguous())[0].cpu().numpy()
        files = {}
        for k, (title, one) in enumerate(zip(detector.map_names, maps, strict=True)):
            files[title] = f"{blake2b(name.encode(), digest_size=8).hexdigest()}_npr{k}.png"
            Image.fromarray(hot(one)).save(folder / files[title])
        index[name] = {**index.get(name, {}), **files}
    write_atomically(note, (json.dumps(index, indent=1, sort_keys=True) + "\n").encode())


def strip(image: Tensor, maps: NDArray[np.float32], heads: list[str]) -> Image.Image:
    """The image [3, H, W] and its maps [K, H', W'] side by side, unscaled, each under its title."""
    pixels = (as_unit_float(image).clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    panels = [pixels, *(hot(one) for one in maps)]
    height, width = pixels.shape[:2]
    step = max(width, 72) + GAP
    sheet = Image.new("RGB", (step * len(panels) - GAP, height + HEAD), "white")
    draw = ImageDraw.Draw(sheet)
    for k, (panel, head) in enumerate(zip(panels, heads, strict=True)):
        sheet.paste(Image.fromarray(panel), (k * step, HEAD))
        draw.multiline_text((k * step, 1), head, fill="black", spacing=2)
    return sheet


def hot(one: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A map [H, W] in colours from black (0) over red and yellow to white (1 / `GAIN` and more)."""
    colours = mpl.colormaps["hot"](np.clip(one * GAIN, 0, 1), bytes=True)
    return np.ascontiguousarray(colours[..., :3])
