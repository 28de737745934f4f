"""Image files of a detector's maps, which the review page also shows."""

import json
import re
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.drawing.heat import draw
from benchmarks.predictions import Predictions
from contracts.errors import ConfigError
from contracts.files import write_atomically
from contracts.keys import sample_key
from contracts.names import utf8_path
from datamodules.loading.decode import decode
from datamodules.loading.transforms import evaluation_views
from detectors.base import Detector

FOLDER = "maps"
INDEX = "index.json"  # File in that folder: image id to files of its maps, by map name


def draw_maps(
    detector: Detector, datamodule: Any, predictions: Predictions, out: Path, number: int, robust: float
) -> Path:
    """Draws the maps of the images with the highest scores, one pixel for each pixel of the detector's view.

    Of five crops, the central one is drawn. A number of -1 draws all. Colours span the fraction ``robust`` of values.

    Returns:
        The folder of the maps.

    Raises:
        ConfigError: the detector has no maps, or ``robust`` is out of range.
    """
    if not 0.5 < robust <= 1:
        raise ConfigError(
            f"predict.robust={robust} is out of range", "Give a fraction above 0.5, up to 1 for the whole range."
        )
    order = np.argsort(-predictions.fused_logits, kind="stable")
    index: dict[str, dict[str, str]] = {}
    view = replace(detector.eval_view, crops="one")
    folder = out / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for position in order[: None if number < 0 else number].tolist():
        name = str(predictions.fused_ids[position])
        image = _image(datamodule, int(predictions.fused_identifiers[position]))
        (seen,) = evaluation_views(image, view, sample_key(datamodule.seed, 0, name))
        index[name] = {}
        for title, values in detector.maps(seen).items():
            file = f"{file_name(name)}/{title}.png"
            place = folder / utf8_path(file)
            place.parent.mkdir(exist_ok=True)
            write_atomically(place, draw(values.numpy(), f"{title}, {detector.map_unit}", robust))
            index[name][title] = file
    write_atomically(folder / INDEX, (json.dumps(index, indent=1, ensure_ascii=False) + "\n").encode())
    return folder


def file_name(image_id: str) -> str:
    """A folder name for an id: the id if it is a valid name, else a simplified form and a hash."""
    plain = re.sub(r"[^\w.-]+", "_", image_id)[:80].encode()[:200].decode(errors="ignore").lstrip(".")
    return plain if plain == image_id else f"{plain}-{blake2b(image_id.encode(), digest_size=4).hexdigest()}"


def _image(datamodule: Any, row: int) -> Tensor:
    data = datamodule.store().read(row)
    if isinstance(data, np.ndarray):
        return torch.from_numpy(data).permute(2, 0, 1)
    return decode(data, datamodule.decoder, datamodule.max_pixels)
