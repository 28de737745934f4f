"""Loggers' step axis that goes on over the stages of a benchmark."""

import pytorch_lightning as L


class ContinuedAxis(L.Callback):
    """Counts logged steps from the optimiser steps that earlier stages took; training itself counts from zero.

    Args:
        steps_before: optimiser steps of all earlier stages.
    """

    def __init__(self, steps_before: int) -> None:
        self.steps_before = steps_before

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:  # noqa: ARG002
        """Lightning keeps this counter for loggers alone, apart from the global step; a resume restores it."""
        trainer.fit_loop.epoch_loop._batches_that_stepped = trainer.global_step + self.steps_before
