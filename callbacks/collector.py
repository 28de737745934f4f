"""Collects the scores of all ranks into one set of predictions with each image exactly once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import torch.distributed
from numpy.typing import NDArray

from benchmarks.fusion import Fusion
from benchmarks.predictions import Predictions, from_crops, image_columns
from contracts.batch import Batch
from contracts.errors import DataError
from contracts.process.lightning import Callback
from detectors.base import Detector, Scores

if TYPE_CHECKING:
    import pytorch_lightning as L


class _Part(NamedTuple):
    """The scores of one batch or of one rank."""

    logits: NDArray[np.float32]
    row: NDArray[np.int64]
    extras: dict[str, NDArray[np.float32]]
    classes: NDArray[np.float32] | None


def joined(parts: list[_Part]) -> _Part:
    """Concatenated parts."""
    return _Part(
        np.concatenate([part.logits for part in parts]),
        np.concatenate([part.row for part in parts]),
        {name: np.concatenate([part.extras[name] for part in parts]) for name in parts[0].extras},
        None if parts[0].classes is None else np.concatenate([p.classes for p in parts if p.classes is not None]),
    )


def columns(name: str, values: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Columns of a dump for an extra: ``name`` for values [M]; ``name_0``, ``name_1``, … for [M, ...]."""
    flat = values.reshape(len(values), -1).T
    return {name if values.ndim == 1 else f"{name}_{k}": one for k, one in enumerate(flat)}


def fused_classes(log_posterior: NDArray[np.float32], image: NDArray[np.int64], images: int) -> NDArray[np.float32]:
    """Logarithm [N, K] of the mean probability over the crops of each image, given [M, K] and their images [M]."""
    fused = np.full((images, log_posterior.shape[1]), -np.inf)
    np.logaddexp.at(fused, image, log_posterior)
    return (fused - np.log(np.bincount(image, minlength=images))[:, None]).astype(np.float32)


class Collector(Callback):
    """Collects every crop's logits in evaluation and gathers them over ranks at the end.

    On rank 0, ``predictions`` then contains every evaluated image once, in the manifest's order, for any number of
    ranks, workers or batches; on other ranks it is None.

    Args:
        fusion: how the scores of an image's crops are combined; see `benchmarks.fusion`.
    """

    def __init__(self, fusion: str | Fusion = "mean_probability") -> None:
        self.fusion = fusion
        self.predictions: Predictions | None = None
        self.failures: list[Any] = []
        self.notes: dict[str, str] = {}
        self._parts: list[_Part] = []

    def _start(self, *_: Any) -> None:
        self._parts = []
        self.predictions = None

    def _add(
        self, _trainer: L.Trainer, _module: L.LightningModule, outputs: Scores | None, batch: Batch | None, *_: Any
    ) -> None:
        if outputs is None or batch is None:
            return
        row = batch.row[batch.crop_to_image].cpu().numpy()
        extras = {name: value.detach().float().cpu().numpy() for name, value in outputs.extras.items()}
        classes = None if outputs.classes is None else outputs.classes.detach().float().cpu().numpy()
        self._parts.append(_Part(outputs.logits.detach().float().cpu().numpy(), row, extras, classes))

    def _finish(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        datamodule = trainer.datamodule  # type: ignore[attr-defined]  # Lightning sets it without declaring it
        own = joined(self._parts) if self._parts else None
        parts: list[Any] = [(own, list(datamodule.failures), dict(datamodule.notes))]
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            gathered: list[Any] | None = [None] * trainer.world_size if trainer.is_global_zero else None
            torch.distributed.gather_object(parts[0], gathered, dst=0)
            parts = gathered or []
        self._parts = []
        if trainer.is_global_zero:
            whole = [part for part, _, _ in parts if part is not None]
            self.failures = sorted({failure for _, failures, _ in parts for failure in failures})
            self.notes = {name: note for _, _, notes in parts for name, note in notes.items()}
            if not whole:
                first = f"; the first is {self.failures[0].id!r}: {self.failures[0].reason}" if self.failures else ""
                raise DataError(f"no image could be scored{first}", "failures.csv lists every image with its reason.")
            self.predictions = self._build(datamodule, joined(whole), tuple(cast(Detector, module).sources))

    def _build(self, datamodule: Any, part: _Part, sources: tuple[str, ...]) -> Predictions:
        manifest = datamodule.manifest()
        rows, crop_to_image, crops = np.unique(part.row, return_inverse=True, return_counts=True)
        too_many = crops > datamodule.crops_per_image
        if too_many.any():
            twice = manifest.image_id(rows[too_many][0])
            raise DataError(f"image {twice!r} was scored more than once", "Report this as a bug of PixelProof.")
        extra = {
            column: (np.bincount(crop_to_image, one) / crops).astype(np.float32)
            for name, values in part.extras.items()
            for column, one in columns(name, values).items()
        }
        fused = None if part.classes is None else fused_classes(part.classes, crop_to_image, len(rows))
        return from_crops(
            part.logits,
            crop_to_image,
            **image_columns(manifest, rows),
            fused_multi_logits=fused,
            crop_multi_logits=part.classes,
            class_names=None if fused is None else sources,
            extra=extra if fused is None else extra | {"attributed": np.array(sources)[fused.argmax(1)]},
            fusion=self.fusion,
        )

    # Lightning's signatures differ between these hooks
    on_validation_epoch_start = on_test_epoch_start = on_predict_epoch_start = _start  # type: ignore[assignment]
    on_validation_batch_end = on_test_batch_end = on_predict_batch_end = _add  # type: ignore[assignment]
    on_validation_epoch_end = on_test_epoch_end = on_predict_epoch_end = _finish  # type: ignore[assignment]
