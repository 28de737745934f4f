"""What every epoch came to, in a file of our own, whatever loggers there are."""
# ruff: noqa: ARG002 - the signatures are Lightning's

import json
from pathlib import Path
from typing import Any

import pytorch_lightning as L
import torch

from contracts.batch import Batch
from contracts.files import write_atomically

NAME = "history.json"


class History(L.Callback):
    """Writes ``history.json`` beside the checkpoints: a list with one entry an epoch, the values of its validation.

    ``train/loss`` is the mean over the first rank's batches since the epoch began or was resumed, so that an epoch's
    gap between training and validation can be read without a logger.

    Args:
        folder: of the checkpoints.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._losses: list[torch.Tensor] = []

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """A new mean."""
        self._losses = []

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Keeps the loss where it is; nothing waits for the device."""
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        if isinstance(loss, torch.Tensor):
            self._losses.append(loss.detach())

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Writes the epoch's entry, in place of one that a killed run left."""
        if not trainer.is_global_zero:
            return
        values = {name: float(v) for name, v in trainer.callback_metrics.items() if name.startswith("val/")}
        if self._losses:
            values["train/loss"] = float(torch.stack(self._losses).float().mean())
        entry = {"epoch": trainer.current_epoch, "step": trainer.global_step, **values}
        kept = [old for old in read_history(self.folder) if old["epoch"] < trainer.current_epoch]
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.folder / NAME, json.dumps([*kept, entry], indent=1).encode())


def read_history(folder: Path) -> list[dict[str, Any]]:
    """The epochs of a folder of checkpoints so far; empty where none has ended."""
    file = folder / NAME
    return list(json.loads(file.read_text())) if file.is_file() else []
