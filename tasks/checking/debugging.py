"""Debugging runs: a few batches pass through all of the training code, and no result is kept."""

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from conf.compose import Composed
from conf.keys.written import text_of
from conf.training import debugging
from contracts.errors import ConfigError
from contracts.stage import Rows, Stage
from contracts.words import counted
from tasks.experiment.run import Run


class DebuggingRun(Run):
    """A run of a few batches on one device, for ``trainer.fast_dev_run`` and ``trainer.overfit_batches``.

    Its checkpoints, logs and splits are written to a temporary folder, which is removed afterwards, so they cannot be
    mistaken for results.
    """

    def __init__(self, composed: Composed, temporary: Path) -> None:
        super().__init__(composed)
        self.temporary = temporary
        self.key = debugging(composed.config.trainer) or ""

    @cached_property
    def experiment_id(self) -> str:
        """Name of the temporary experiment; no number is reserved."""
        return "debugging"

    @property
    def folder(self) -> Path:
        """The temporary experiment folder."""
        return self.temporary / self.experiment_id

    @property
    def logs(self) -> Path:
        """The temporary folder of logs."""
        return self.temporary / "logs"

    def loggers(self, **extra: Any) -> list[Any]:  # noqa: ARG002 - the signature of `Run`
        """None of the configured loggers, which may send to a server."""
        return []

    def callbacks(self, **extra: Any) -> list[Any]:
        """As `Run.callbacks`; a few images may be of one class, which has no AUROC, so the loss is monitored."""
        return super().callbacks(**{**extra, "monitor": "val/loss", "mode": "min"})

    def trainer(self, **extra: Any) -> Any:
        """As `Run.trainer`.

        Raises:
            ConfigError: it has several devices.
        """
        trainer = super().trainer(**extra)
        if trainer.world_size > 1:
            raise ConfigError(
                f"trainer.{self.key} is a debugging run, and the trainer has {trainer.world_size} devices",
                "Set trainer.devices=1 trainer.num_nodes=1, or choose trainer=fast.",
            )
        trainer.limit_train_batches = trainer.limit_val_batches = 1.0  # of the images that `few` has left
        return trainer

    def few(self, stage: Stage, batch_size: int) -> Stage:
        """The stage with only as many images as the debugging run uses, the same ones in every epoch."""
        return replace(stage, train=self._few(stage.train, batch_size), validate=self._few(stage.validate, batch_size))

    def _few(self, rows: Rows, batch_size: int) -> Rows:
        asked = self.config.trainer[self.key]
        batches = len(rows) / batch_size * asked if isinstance(asked, float) else int(asked)
        count = min(len(rows), max(1, int(batches)) * batch_size)
        return rows[np.linspace(0, len(rows) - 1, count).astype(np.int64)]  # evenly spaced: of every class

    def outcome(self, steps: int, images: int, values: dict[str, float]) -> str:
        """The last line of the run."""
        found = ", ".join(f"{name} {value:.4g}" for name, value in values.items() if name == "val/loss")
        value = text_of(self.config.trainer[self.key])
        return (
            f"Debugging run (trainer.{self.key}={value}): {counted(steps, 'training step')}, "
            f"{counted(images, 'image')} validated, {found}. "
            "Nothing was kept: no checkpoint, dump or table."
        )
