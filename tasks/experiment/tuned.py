"""Learning rate and batch size found before training; a restarted run reuses them."""

from typing import Any

import pytorch_lightning as L

from detectors.base import Detector
from detectors.parts.training.tuning import tune
from tasks.experiment.run import Run
from tasks.experiment.stage_folder import StageFolder

NAME = "tuned.json"


def apply_tuned(run: Run, trainer: L.Trainer, detector: Detector, datamodule: Any, folder: StageFolder) -> None:
    """Finds the values requested by ``tune.lr`` and ``tune.batch_size``, or reuses those found earlier, and logs them.

    The searches depend on speed and memory, so a second search might find other values.
    """
    if not (run.config.tune.lr or run.config.tune.batch_size):
        return
    found = folder.read_json(NAME)
    if found:
        if "batch_size" in found:
            datamodule.batch_size = found["batch_size"]
        if "lr" in found:
            detector.learning_rate = found["lr"]
    else:
        found = tune(trainer, detector, datamodule, lr=run.config.tune.lr, batch_size=run.config.tune.batch_size)
        folder.write_json(NAME, found)
    for logger in trainer.loggers:
        logger.log_hyperparams({f"tuned/{name}": value for name, value in found.items()})
