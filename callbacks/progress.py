"""The progress bar of training and scoring."""

from typing import Any

import pytorch_lightning as L
from pytorch_lightning.callbacks import RichProgressBar


class Progress(RichProgressBar):
    """Lightning's bar, with its rate, without the logger's version number among the metrics."""

    def get_metrics(self, trainer: L.Trainer, pl_module: L.LightningModule) -> dict[str, Any]:
        """What stands behind the bar."""
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return metrics
