"""One pass over images before training, for detectors whose decision is fitted in closed form."""

from collections.abc import Callable, Iterable
from typing import Any

import pytorch_lightning as L
import torch
import torch.distributed
from torch import Tensor

from contracts.batch import Batch
from contracts.errors import ConfigError
from detectors.base import Detector


class FittedOnce(Detector):
    """A detector without a loss: its ``on_train_start`` fits it to images that are `measured` once."""

    def loss(self, batch: Batch) -> Tensor:  # noqa: ARG002
        """There is none.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(f"{type(self).__name__} has no loss", "task=fit fits it to validation images.")

    def training_step(self, batch: Batch, batch_idx: int) -> None:  # type: ignore[override]
        """Trains nothing; Lightning goes on to the validation."""

    def configure_optimizers(self) -> None:
        """No optimiser."""


def measured(
    trainer: L.Trainer, loader: Iterable[Batch | None], measure: Callable[[Batch], Tensor]
) -> tuple[Tensor, Tensor]:
    """A vector for each image, equal on all ranks and in row order, independent of batching.

    Args:
        trainer: moves the batches to its device.
        loader: this rank's batches.
        measure: a batch on the device → [B, D], a vector for each crop; those of an image are averaged.

    Returns:
        Vectors [n, D] on the CPU in the dtype that ``measure`` gives, and labels [n].
    """
    rows: list[tuple[int, int, Tensor]] = []
    with torch.no_grad():
        for batch in loader:
            if batch is None:
                continue
            there: Batch = trainer.strategy.batch_to_device(batch)
            found = measure(there)
            means = found.new_zeros(len(batch.label), *found.shape[1:])
            means.index_reduce_(0, there.crop_to_image, found, "mean", include_self=False)
            rows += zip(batch.row.tolist(), batch.label.tolist(), means.cpu(), strict=True)
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        every: list[Any] = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(every, rows)
        rows = [row for part in every for row in part]
    rows.sort(key=lambda row: row[0])
    labels = torch.tensor([label for _, label, _ in rows], dtype=torch.int64)
    return torch.stack([vector for _, _, vector in rows]) if rows else torch.zeros(0, 0), labels
