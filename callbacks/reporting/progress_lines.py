"""Progress as lines for logs and non-terminals: one per epoch, and one per minute within long epochs."""
# ruff: noqa: ARG002 - the signatures are Lightning's

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from callbacks.checkpoints import Checkpoints
from callbacks.preemption import evaluation_loop, verb
from callbacks.reporting.history import losses
from contracts.process.lightning import Callback
from contracts.words import counted

if TYPE_CHECKING:
    import pytorch_lightning as L


class ProgressLines(Callback):
    """Reports progress, speed and remaining time of training and scoring, on the first rank.

    Args:
        log: file to which the lines are appended, each with date and time; None writes none.
        shown: also print the lines.
        every: seconds between two lines within an epoch or an evaluation.
    """

    def __init__(self, log: Path | None = None, shown: bool = True, every: float = 60.0) -> None:
        self.file = log  # Lightning sets `log` on callbacks
        self.shown = shown
        self.every = every
        self._begun = self._reported = self._part = time.monotonic()
        self._batches = self._images = 0
        self._losses: list[torch.Tensor] = []
        self._validating = 0.0

    def left(self, trainer: L.Trainer) -> timedelta | None:
        """Time until training ends at the average speed since the start; None without a limit or a first batch."""
        per_epoch, loop = trainer.num_training_batches, trainer.fit_loop.epoch_loop
        limits = [per_epoch * trainer.max_epochs] if trainer.max_epochs and trainer.max_epochs > 0 else []
        limits += [trainer.max_steps * trainer.accumulate_grad_batches] if trainer.max_steps > 0 else []
        if not limits or not self._batches or min(limits) == float("inf"):
            return None
        rest = max(0, min(limits) - loop.batch_progress.total.ready)
        return timedelta(seconds=round((time.monotonic() - self._begun) / self._batches * rest))

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Starts the clocks."""
        self._begun = self._reported = time.monotonic()
        self._batches = 0

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Resets the epoch's counters."""
        self._part, self._images, self._losses, self._validating = time.monotonic(), 0, [], 0.0

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Counts images and losses; waits for the device only if a line is due."""
        self._losses += losses(outputs)
        self._batches += 1
        self._images += len(batch.label) * trainer.world_size
        if time.monotonic() - self._reported >= self.every:
            self._report(
                trainer,
                f"{_epoch(trainer)}, batch {batch_idx + 1}/{trainer.num_training_batches}",
                self._training(trainer),
            )

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Reports the epoch."""
        monitors = [one.monitor for one in trainer.callbacks if isinstance(one, Checkpoints)]  # type: ignore[attr-defined]
        names = dict.fromkeys([*monitors, "val/auroc", "val/loss"])
        logged = trainer.callback_metrics
        values = [f"{name} {float(logged[name]):.4f}" for name in names if name in logged]
        self._report(trainer, f"{_epoch(trainer)}, step {trainer.global_step}", self._training(trainer, values))

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Starts the clock of an evaluation, or of a validation within training."""
        if verb(trainer) == "fit":
            self._validating -= time.monotonic()
        else:
            self._begun = self._reported = time.monotonic()
            self._images = 0

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stops the clock, and reports an evaluation."""
        if verb(trainer) == "fit":
            self._validating += time.monotonic()
        else:
            seconds = time.monotonic() - self._begun
            done = f"{verb(trainer)}: {counted(self._images, 'image')}"
            self._report(trainer, done, [_rate(self._images, seconds), _span(seconds)])

    def on_validation_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Counts images, and reports if a line is due."""
        if verb(trainer) != "fit":
            self._images += 0 if batch is None else len(batch.label) * trainer.world_size
        if time.monotonic() - self._reported < self.every:
            return
        if verb(trainer) == "fit":
            self._report(trainer, f"{_epoch(trainer)}, validation batch {batch_idx + 1}", [])
            return
        total, seconds = sum(evaluation_loop(trainer).max_batches), time.monotonic() - self._begun
        left = f"{_span(seconds / (batch_idx + 1) * (total - batch_idx - 1))} left"
        done = f"{verb(trainer)}: batch {batch_idx + 1}/{total}"
        self._report(trainer, done, [_rate(self._images, seconds), left])

    on_test_start = on_predict_start = on_validation_start
    on_test_end = on_predict_end = on_validation_end
    on_test_batch_end = on_predict_batch_end = on_validation_batch_end

    def _training(self, trainer: L.Trainer, values: list[str] | None = None) -> list[str]:
        loss = [f"loss {float(torch.stack(self._losses).float().mean()):.4f}"] if self._losses else []
        left = self.left(trainer)
        rest = [] if left is None else [f"{left} left"]
        return [*loss, *(values or []), _rate(self._images, time.monotonic() - self._part - self._validating), *rest]

    def _report(self, trainer: L.Trainer, what: str, parts: list[str]) -> None:
        self._reported = time.monotonic()
        if not trainer.is_global_zero:
            return
        line = f"{what}: {', '.join(parts)}" if parts and ":" not in what else ", ".join([what, *parts])
        if self.shown:
            print(line, flush=True)
        if self.file is not None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with self.file.open("a", encoding="utf-8") as opened:
                opened.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")


def _epoch(trainer: L.Trainer) -> str:
    most = trainer.max_epochs
    return f"epoch {trainer.current_epoch + 1}" + (f"/{most}" if most and most > 0 else "")


def _rate(images: int, seconds: float) -> str:
    rate = images / max(seconds, 1e-9)
    return f"{rate:,.0f} images/s" if rate >= 10 else f"{rate:.2g} images/s"


def _span(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
