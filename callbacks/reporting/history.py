"""A record of the values of every epoch, independent of loggers."""
# ruff: noqa: ARG002 - the signatures are Lightning's

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from contracts.batch import Batch
from contracts.history import write_epoch
from contracts.process.lightning import Callback

if TYPE_CHECKING:
    import pytorch_lightning as L


def losses(outputs: Any) -> list[torch.Tensor]:
    """The loss that a training step returned to Lightning, on its device; empty if the step was skipped."""
    loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
    return [loss.detach()] if isinstance(loss, torch.Tensor) else []


class History(Callback):
    """Writes ``history.json`` beside the checkpoints: a list with the validation values of each epoch.

    ``train/loss`` is the mean over the first rank's batches since the epoch began or was resumed, so that the gap
    between training and validation is known without a logger.

    Args:
        folder: folder of the checkpoints.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._losses: list[torch.Tensor] = []

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Starts a new mean."""
        self._losses = []

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Keeps the loss on its device, to avoid waiting for it."""
        self._losses += losses(outputs)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Writes the epoch's values."""
        if not trainer.is_global_zero:
            return
        values = {name: float(v) for name, v in trainer.callback_metrics.items() if name.startswith("val/")}
        if self._losses:
            values["train/loss"] = float(torch.stack(self._losses).float().mean())
        write_epoch(self.folder, {"epoch": trainer.current_epoch, "step": trainer.global_step, **values})
