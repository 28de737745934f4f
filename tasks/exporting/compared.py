"""An exported detector compared with the checkpoint it was made from, on the same images."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.fusion import mean_probability
from benchmarks.metrics import auroc
from benchmarks.predictions import sigmoid
from contracts.batch import Batch
from contracts.errors import DataError
from contracts.keys import random_key
from contracts.stage import Rows
from contracts.view import View
from datamodules.loading.pixels import pixels_of
from datamodules.loading.transforms import evaluation_views
from detectors.base import Detector
from tasks.exporting import preprocess

TOLERANCE = 1e-5
"""Largest difference of two float32 logits; of logits above 1, in relation to them."""
CALIBRATION = 32
"""Images that ranges of 8-bit activations are measured on."""


@dataclass(frozen=True)
class Compared:
    """What was measured."""

    images: int  # number of images
    sizes: int  # number of different sizes of them
    logits: float  # largest difference of a logit; of logits above 1, in relation to them
    pixels: int | None
    """Largest difference of a pixel of the reference preprocessing, in grey levels; None where it is not needed."""
    auroc: tuple[float, float] | None
    """AUROC of the checkpoint and of the export; None if the images have no labels of both classes."""
    bytes: tuple[int, int]  # size of the checkpoint's weights in float32, and of the exported file

    def as_json(self) -> dict[str, Any]:
        """In plain containers."""
        return asdict(self)


def chosen(datamodule: Any, count: int) -> tuple[Rows, Rows]:
    """Rows to compare on, equally many of both labels, and rows to measure the ranges of activations on.

    The first are test images where there are some, the second training images where there are some.
    """
    manifest = datamodule.manifest()
    every = manifest.rows("train", "valid", "test", "")
    tested = manifest.rows("test") if len(manifest.rows("test")) else every
    trained = manifest.rows("train") if len(manifest.rows("train")) else every
    ids = manifest.column("id")

    def mixed(rows: Rows) -> list[int]:
        return sorted(rows.tolist(), key=lambda row: random_key("export", str(ids[row])))

    classes = [mixed(tested[manifest.labels[tested] == label]) for label in (0, 1, -1)]
    turns = [row for group in _transposed(classes) for row in group]
    return np.array(sorted(turns[:count]), np.int64), np.array(mixed(trained)[:CALIBRATION], np.int64)


def _transposed(lists: Sequence[Sequence[int]]) -> Iterable[list[int]]:
    """The first of each list, then the second of each, and so on; lists end at different places."""
    for place in range(max(map(len, lists), default=0)):
        yield [one[place] for one in lists if place < len(one)]


def odd(pixels: NDArray[np.uint8], row: int) -> NDArray[np.uint8]:
    """The image without a few rows and columns, so that sizes differ."""
    height, width = pixels.shape[:2]
    return pixels[: max(1, height - row % 7), : max(1, width - row % 5)]


def seen(datamodule: Any, rows: Rows, view: View, least: int) -> Iterable[tuple[int, NDArray[np.uint8], Tensor]]:
    """Row, pixels [H, W, 3] and views [n, 3, h, w] uint8 of images that the detector takes."""
    store = datamodule.store()
    for row in rows.tolist():
        pixels = odd(pixels_of(store.read(row), datamodule.max_pixels), row)
        if min(pixels.shape[:2]) < max(view.least, 1):
            continue
        views = torch.stack(evaluation_views(torch.from_numpy(pixels.copy()).permute(2, 0, 1), view, 0))
        if min(views.shape[-2:]) >= least:
            yield row, pixels, views


def score_of(detector: Detector) -> Callable[[Tensor], Tensor]:
    """The detector as a function of crops of one image, [n, 3, h, w] → logits [n]."""

    def logits(crops: Tensor) -> Tensor:
        one = torch.zeros(1, dtype=torch.int64)
        return detector.score(Batch(crops, one - 1, one, one, torch.zeros(len(crops), dtype=torch.int64), one)).logits

    return logits


@torch.inference_mode()
def compared(
    detector: Detector,
    exported: Callable[[Tensor], Tensor],
    datamodule: Any,
    rows: Rows,
    bytes_: tuple[int, int],
    reference: dict[str, Any] | None,
) -> Compared:
    """Compares logits, pixels and AUROC.

    Args:
        detector: of the checkpoint.
        exported: crops [n, 3, h, w] uint8 → logits [n].
        datamodule: of the images.
        rows: which of them.
        bytes_: see `Compared`.
        reference: ``eval_view`` in plain containers if `preprocess` is to be compared, or None.

    Raises:
        DataError: no image can be scored, or a logit is not finite.
    """
    original = score_of(detector.eval())
    labels, fused, far, off = [], [], 0.0, 0
    sizes = set()
    for row, pixels, views in seen(datamodule, rows, detector.eval_view, detector.sides().least):
        ours, theirs = (one(views).double().numpy() for one in (original, exported))
        if not np.isfinite([ours, theirs]).all():
            raise DataError(f"row {row}: logits {ours.tolist()} and {theirs.tolist()}", "Check the checkpoint.")
        far = max(far, float((np.abs(ours - theirs) / np.maximum(1, np.abs(ours))).max()))
        if reference is not None:
            off = max(off, int(np.abs(preprocess.crops(pixels, reference).astype(int) - views.numpy()).max()))
        sizes.add(pixels.shape[:2])
        labels.append(int(datamodule.manifest().labels[row]))
        fused.append([mean_probability(logits[None])[0] for logits in (ours, theirs)])
    if not fused:
        raise DataError("none of the images can be scored by the detector", "Choose datamodule= with larger images.")
    return Compared(
        len(fused),
        len(sizes),
        far,
        None if reference is None else off,
        _areas(np.array(labels), np.array(fused)),
        bytes_,
    )


def _areas(labels: NDArray[np.int64], logits: NDArray[np.float64]) -> tuple[float, float] | None:
    known = labels >= 0
    if len(np.unique(labels[known])) < 2:
        return None
    first, second = (auroc(sigmoid(logits[known, column]).astype(np.float64), labels[known]) for column in (0, 1))
    return float(first), float(second)
