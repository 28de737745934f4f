"""The progress bar of training and scoring."""

from typing import Any

import pytorch_lightning as L
from pytorch_lightning.callbacks import ProgressBar, RichProgressBar

from callbacks.reporting.progress_lines import ProgressLines


class NoBar(ProgressBar):
    """Replaces Lightning's own progress bar."""


class Progress(RichProgressBar):
    """Lightning's progress bar with epochs counted from 1 and the time until training ends."""

    def get_metrics(self, trainer: L.Trainer, pl_module: L.LightningModule) -> dict[str, Any]:
        """The values shown after the bar."""
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        lines = next((one for one in trainer.callbacks if isinstance(one, ProgressLines)), None)  # type: ignore[attr-defined]
        left = lines.left(trainer) if lines is not None and trainer.training else None
        return metrics if left is None else metrics | {"run": f"{left} left"}

    def _get_train_description(self, current_epoch: int) -> str:
        most = self.trainer.max_epochs
        shown = f"Epoch {current_epoch + 1}" + (f"/{most}" if most and most > 0 else "")
        return f"{shown:{len(self.validation_description)}}"  # of constant length, to avoid flickering
