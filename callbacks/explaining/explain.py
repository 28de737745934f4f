"""Explanations beside the predictions: attention, and artefact maps of the most confident images."""

import heapq
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as L
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.predictions import Predictions, merge
from callbacks.collector import Collector
from callbacks.explaining.attention import write_attention
from callbacks.explaining.maps import write_maps, write_single_maps
from contracts.batch import Batch
from contracts.errors import ConfigError
from contracts.explain import Explainable


class Explain(L.Callback):
    """Writes explanations at the end of ``task=test``; see `write_explanation`.

    On several devices, maps are written for images that the first one scored.

    Args:
        folder: the stage's folder of checkpoints; explanations are written to ``explain/`` beside it.
        images: number of images with maps: the most confident ones of each class, right and wrong.
    """

    serves = ("test",)

    def __init__(self, folder: Path, images: int = 4) -> None:
        if images < 0:
            raise ConfigError(f"callbacks.explain.images={images}", "Give 0 or more.")
        self.out = folder.parent / "explain"
        self.images = images
        self._parts: list[Predictions] = []
        self._kept: dict[tuple[int, bool], list[tuple[float, int, Tensor]]] = {}

    def on_test_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Batch, *_: Any
    ) -> None:
        """Keeps the most confident images so far."""
        if not isinstance(pl_module, Explainable) or not trainer.is_global_zero or not self.images:
            return
        first = {int(image): crop for crop, image in reversed(list(enumerate(batch.crop_to_image.tolist())))}
        for image, crop in first.items():
            label, logit, row = int(batch.label[image]), float(outputs.logits[crop]), int(batch.row[image])
            heap = self._kept.setdefault((label, (logit > 0) == (label == 1)), [])
            entry = (abs(logit), row)
            if len(heap) < self.images or entry > heap[0][:2]:
                heapq.heappush(heap, (*entry, batch.images[crop].cpu()))
                if len(heap) > self.images:
                    heapq.heappop(heap)

    def on_test_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Writes the explanations of all passes so far."""
        collector = next((c for c in trainer.callbacks if isinstance(c, Collector)), None)  # type: ignore[attr-defined]
        if collector is None or collector.predictions is None or not isinstance(pl_module, Explainable):
            return
        self._parts.append(collector.predictions)
        predictions = merge(self._parts, np.concatenate([part.fused_ids for part in self._parts]))
        manifest = trainer.datamodule.manifest()  # type: ignore[attr-defined]
        entries = [e for heap in self._kept.values() for e in sorted(heap, reverse=True, key=lambda e: e[:2])]
        images = {manifest.image_id(row): image for _, row, image in entries}
        write_explanation(predictions, pl_module, images, self.out, self.out.parent / "maps")


def write_explanation(
    predictions: Predictions,
    detector: Explainable,
    images: Mapping[str, Tensor],
    out: Path,
    maps: Path | None = None,
) -> list[Path]:
    """Writes the explanations of a dump.

    * if the dump contains attention: ``attention_statistics.txt``, ``attention.csv``, ``attention_distribution.png``
      and ``attention_heat_map.png``;
    * ``maps/<number>_<id>.png`` for each image: the image and its maps, pixel by pixel.

    Args:
        predictions: the dump.
        detector: computes the maps.
        images: id to the image as the detector received it, [3, H, W].
        out: output folder, created if absent.
        maps: folder where the review page looks for single maps (``maps/`` beside the dump); None writes none.

    Returns:
        The files, plots first.
    """
    out.mkdir(parents=True, exist_ok=True)
    names = detector.map_names
    attention = attention_of(predictions, len(names))
    files = [] if attention is None else write_attention(predictions, attention, names, out)
    if maps is not None:
        write_single_maps(detector, images, maps)
    return files + write_maps(predictions, detector, images, attention, out / "maps")


def attention_of(predictions: Predictions, count: int) -> NDArray[np.float64] | None:
    """[N, count] weights, or None if the dump contains none."""
    columns = [predictions.extra.get(f"attention_{k}") for k in range(count)]
    if any(column is None for column in columns):
        return None
    return np.stack([np.asarray(column, dtype=np.float64) for column in columns], axis=1)


def most_confident(predictions: Predictions, count: int) -> list[int]:
    """Positions of the ``count`` most confident images of each class, right at 0.5, then wrong."""
    logits, labels = predictions.fused_logits, predictions.fused_labels
    order = np.argsort(-np.abs(logits), kind="stable")
    found: list[int] = []
    for label in (1, 0):
        for right in (True, False):
            chosen = order[(labels[order] == label) & (((logits[order] > 0) == (label == 1)) == right)]
            found += chosen[:count].tolist()
    return found
