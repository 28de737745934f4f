"""A step axis of loggers that continues over the stages of a benchmark."""

import pytorch_lightning as L


class ContinuedAxis(L.Callback):
    """Adds the optimiser steps of earlier stages to logged steps; training itself counts from zero.

    Args:
        steps_before: optimiser steps of all earlier stages.
    """

    def __init__(self, steps_before: int) -> None:
        self.steps_before = steps_before

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:  # noqa: ARG002
        """Sets Lightning's counter for loggers, which is separate from the global step and restored on resuming."""
        trainer.fit_loop.epoch_loop._batches_that_stepped = trainer.global_step + self.steps_before
