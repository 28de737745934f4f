"""Progress as lines: one an epoch, and one a minute within long ones, for logs and wherever there is no terminal."""
# ruff: noqa: ARG002 - the signatures are Lightning's

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytorch_lightning as L
import torch
from pytorch_lightning.callbacks import ProgressBar
from pytorch_lightning.trainer.states import TrainerFn

from callbacks.checkpoints import Checkpoints


class NoBar(ProgressBar):
    """Takes the place in which Lightning would put a bar of its own."""


class ProgressLines(L.Callback):
    """Says, on the first rank, how far training or scoring is, how fast it goes and how long it will go on.

    Args:
        log: file that the lines are added to, each with the time of day; None writes none.
        shown: print them too.
        every: seconds between two lines within an epoch or an evaluation.
    """

    def __init__(self, log: Path | None = None, shown: bool = True, every: float = 60.0) -> None:
        self.file = log  # Lightning sets `log` on callbacks
        self.shown = shown
        self.every = every
        self._begun = self._told = self._part = time.monotonic()
        self._batches = self._images = 0
        self._losses: list[torch.Tensor] = []
        self._validating = 0.0

    def left(self, trainer: L.Trainer) -> timedelta | None:
        """Time until training ends, at the pace of this start; None without a limit and before a first batch."""
        per_epoch, loop = trainer.num_training_batches, trainer.fit_loop.epoch_loop
        limits = [per_epoch * trainer.max_epochs] if trainer.max_epochs and trainer.max_epochs > 0 else []
        limits += [trainer.max_steps * trainer.accumulate_grad_batches] if trainer.max_steps > 0 else []
        if not limits or not self._batches or min(limits) == float("inf"):
            return None
        rest = max(0, min(limits) - loop.batch_progress.total.ready)
        return timedelta(seconds=round((time.monotonic() - self._begun) / self._batches * rest))

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Starts the clocks."""
        self._begun = self._told = time.monotonic()
        self._batches = 0

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """A new epoch's images, losses and seconds."""
        self._part, self._images, self._losses, self._validating = time.monotonic(), 0, [], 0.0

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Counts; nothing waits for the device unless a line is due."""
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        if isinstance(loss, torch.Tensor):
            self._losses.append(loss.detach())
        self._batches += 1
        self._images += len(batch.label) * trainer.world_size
        if time.monotonic() - self._told >= self.every:
            self._say(
                trainer,
                f"{_epoch(trainer)}, batch {batch_idx + 1}/{trainer.num_training_batches}",
                self._training(trainer),
            )

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The epoch's line."""
        keeper = next((one for one in trainer.callbacks if isinstance(one, Checkpoints)), None)  # type: ignore[attr-defined]
        names = dict.fromkeys([keeper.monitor] if keeper else [])
        names |= dict.fromkeys(("val/auroc", "val/loss"))
        logged = trainer.callback_metrics
        values = [f"{name} {float(logged[name]):.4f}" for name in names if name in logged]
        self._say(trainer, f"{_epoch(trainer)}, step {trainer.global_step}", self._training(trainer, values))

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Validation within training has its own time; otherwise this is the work itself."""
        if trainer.state.fn is TrainerFn.FITTING:
            self._validating -= time.monotonic()
        else:
            self._begun = self._told = time.monotonic()
            self._images = 0

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Training goes on, or scoring is done."""
        if trainer.state.fn is TrainerFn.FITTING:
            self._validating += time.monotonic()
        else:
            seconds = time.monotonic() - self._begun
            self._say(
                trainer, f"{_verb(trainer)}: {self._images:,} images", [_rate(self._images, seconds), _span(seconds)]
            )

    def on_validation_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Counts, and says so once in a while."""
        if trainer.state.fn is not TrainerFn.FITTING:
            self._images += 0 if batch is None else len(batch.label) * trainer.world_size
        if time.monotonic() - self._told < self.every:
            return
        if trainer.state.fn is TrainerFn.FITTING:
            self._say(trainer, f"{_epoch(trainer)}, validation batch {batch_idx + 1}", [])
            return
        loop = {"validate": trainer.validate_loop, "test": trainer.test_loop}.get(_verb(trainer), trainer.predict_loop)
        total, seconds = sum(loop.max_batches), time.monotonic() - self._begun
        left = f"{_span(seconds / (batch_idx + 1) * (total - batch_idx - 1))} left"
        done = f"{_verb(trainer)}: batch {batch_idx + 1}/{total}"
        self._say(trainer, done, [_rate(self._images, seconds), left])

    on_test_start = on_predict_start = on_validation_start
    on_test_end = on_predict_end = on_validation_end
    on_test_batch_end = on_predict_batch_end = on_validation_batch_end

    def _training(self, trainer: L.Trainer, values: list[str] | None = None) -> list[str]:
        loss = [f"loss {float(torch.stack(self._losses).float().mean()):.4f}"] if self._losses else []
        left = self.left(trainer)
        rest = [] if left is None else [f"{left} left"]
        return [*loss, *(values or []), _rate(self._images, time.monotonic() - self._part - self._validating), *rest]

    def _say(self, trainer: L.Trainer, what: str, parts: list[str]) -> None:
        self._told = time.monotonic()
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


def _verb(trainer: L.Trainer) -> str:
    return str(trainer.state.fn.value) if trainer.state.fn else ""


def _rate(images: int, seconds: float) -> str:
    rate = images / max(seconds, 1e-9)
    return f"{rate:,.0f} images/s" if rate >= 10 else f"{rate:.2g} images/s"


def _span(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
