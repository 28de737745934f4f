"""Maps of a detector, drawn image by image into files that people and the review page look at."""

import json
import re
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.heat import draw
from benchmarks.predictions import Predictions
from contracts.errors import ConfigError
from contracts.files import write_atomically
from contracts.names import utf8_path
from datamodules.loading.decode import decode
from detectors.base import Detector

FOLDER = "maps"
INDEX = "index.json"
"""In that folder: id of an image to the files of its maps, by name."""


def draw_maps(
    detector: Detector, datamodule: Any, predictions: Predictions, out: Path, number: int, robust: float
) -> Path:
    """Draws the maps of the images with the highest scores, at one screen pixel a pixel.

    Args:
        detector: with its weights.
        datamodule: that the predictions were made with.
        predictions: names the images.
        out: the folder of the dump.
        number: of images; -1 for all.
        robust: share of the values that the colours span.

    Returns:
        The folder of the maps.

    Raises:
        ConfigError: the detector has no maps, or the share is none.
    """
    if not 0.5 < robust <= 1:
        raise ConfigError(f"predict.robust={robust}", "Give a share above 0.5, up to 1 for the whole range.")
    order = np.argsort(-predictions.fused_logits, kind="stable")
    index: dict[str, dict[str, str]] = {}
    folder = out / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for position in order[: None if number < 0 else number].tolist():
        name = str(predictions.fused_ids[position])
        image = _image(datamodule, int(predictions.fused_identifiers[position]))
        index[name] = {}
        for title, values in detector.maps(image).items():
            file = f"{file_name(name)}/{title}.png"
            place = folder / utf8_path(file)
            place.parent.mkdir(exist_ok=True)
            write_atomically(place, draw(values.numpy(), f"{title}, nats a subpixel", robust))
            index[name][title] = file
    write_atomically(folder / INDEX, (json.dumps(index, indent=1, ensure_ascii=False) + "\n").encode())
    return folder


def file_name(image_id: str) -> str:
    """A folder name for an id: itself where it can be one, else its letters and a hash."""
    plain = re.sub(r"[^\w.-]+", "_", image_id)[:80].lstrip(".")
    return plain if plain == image_id else f"{plain}-{blake2b(image_id.encode(), digest_size=4).hexdigest()}"


def _image(datamodule: Any, row: int) -> Tensor:
    data = datamodule.store().read(row)
    if isinstance(data, np.ndarray):
        return torch.from_numpy(data).permute(2, 0, 1)
    return decode(data, datamodule.decoder, datamodule.max_pixels)
