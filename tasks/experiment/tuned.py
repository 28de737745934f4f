"""Learning rate and batch size found before training: once, and the same again after a restart."""

from typing import Any

import pytorch_lightning as L

from detectors.base import Detector
from detectors.parts.tuning import tune
from tasks.experiment.run import Run
from tasks.experiment.stage_folder import StageFolder

NAME = "tuned.json"


def apply_tuned(run: Run, trainer: L.Trainer, detector: Detector, datamodule: Any, folder: StageFolder) -> None:
    """Finds what ``tune.lr`` and ``tune.batch_size`` ask for, or takes what an earlier start found, and logs it.

    The searches time and fill the machine, so that a second one could end elsewhere: a resumed run would not be the
    run that was killed.
    """
    if not (run.tune.lr or run.tune.batch_size):
        return
    found = folder.read_json(NAME)
    if found:
        if "batch_size" in found:
            datamodule.batch_size = found["batch_size"]
        if "lr" in found:
            detector.learning_rate = found["lr"]
    else:
        found = tune(trainer, detector, datamodule, lr=run.tune.lr, batch_size=run.tune.batch_size)
        folder.write_json(NAME, found)
    for logger in trainer.loggers:
        logger.log_hyperparams({f"tuned/{name}": value for name, value in found.items()})
