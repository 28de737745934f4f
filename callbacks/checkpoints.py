"""Which checkpoints are kept, and which one a restart goes on from."""
# ruff: noqa: ARG002 - the signatures are Lightning's

import json
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as L
from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities import rank_zero_info, rank_zero_warn

from callbacks.averaged import averaged
from contracts.batch import Batch
from contracts.errors import CheckpointError, ConfigError
from contracts.files import write_atomically
from detectors.parts.weights import read_checkpoint

STEP = re.compile(r"step-(\d+)\.ckpt")


class Checkpoints(L.Callback):
    """Keeps the best checkpoint on validation, and the newest ones to resume from.

    ``best.ckpt`` holds weights (chosen on validation data, never on test images). ``step-<N>.ckpt`` hold everything a
    restart needs; ``last.ckpt`` points to the newest of them. They are written at the end of every epoch and, inside
    an epoch, whenever ``minutes`` have passed. Lightning resumes exactly from two places: behind a training batch that
    is not an epoch's last, and behind an epoch's validation; so only there is anything saved.

    Args:
        folder: where the files go.
        monitor: logged value that the best checkpoint is chosen by.
        mode: "max" or "min".
        minutes: wall time between two saves inside an epoch.
        keep: number of newest resumable checkpoints kept.
    """

    def __init__(
        self, folder: Path, monitor: str = "val/auroc", mode: str = "max", minutes: float = 10.0, keep: int = 2
    ) -> None:
        if mode not in ("max", "min"):
            raise ConfigError(f"callbacks.checkpoints.mode={mode!r}", "Choose 'max' or 'min'.")
        if keep < 1:
            raise ConfigError(f"callbacks.checkpoints.keep={keep}", "Keep at least one checkpoint to resume from.")
        self.folder = folder
        self.monitor = monitor
        self.mode = mode
        self.seconds = 60 * minutes
        self.keep = keep
        self.validated: int | None = None
        self._saved_at = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """The step of the last validation, so that a resumed run knows whether its weights were judged."""
        return {"validated": self.validated}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes it back."""
        self.validated = state_dict.get("validated")

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Starts the clock of wall-time saves, and sweeps away what a killed run left half written."""
        self._saved_at = time.monotonic()
        if trainer.is_global_zero:
            for half in (*self.folder.glob(".*.tmp"), *self.folder.glob(".last.*")):
                half.unlink()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Saves when the time has come and the place is right; has the last weights validated in any case."""
        if _last_of_training(trainer):
            _validate_now(trainer)
        if not may_save_behind_batch(trainer):
            return
        due = time.monotonic() - self._saved_at >= self.seconds
        if trainer.strategy.broadcast(due):
            self.save_resumable(trainer)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Keeps the weights if they are the best so far."""
        if trainer.sanity_checking or trainer.state.fn is not TrainerFn.FITTING:
            return
        self.keep_if_best(trainer, trainer.callback_metrics)

    def keep_if_best(self, trainer: L.Trainer, logged: Mapping[str, Any]) -> None:
        """Saves the weights just validated as ``best.ckpt`` if they are.

        Args:
            trainer: with those weights.
            logged: values of their validation.

        Raises:
            ConfigError: the monitored value is not among them.
        """
        self.validated = trainer.global_step
        value = logged.get(self.monitor)
        if value is None:
            known = ", ".join(sorted(logged)) or "nothing"
            raise ConfigError(
                f"callbacks.checkpoints.monitor={self.monitor!r} was not logged (logged: {known})",
                "Name a logged value; a validation split with one class alone has no AUROC: monitor val/loss with "
                "mode=min.",
            )
        score = float(value)
        note = self.folder / "best.json"
        best = json.loads(note.read_text())["value"] if note.is_file() else None
        if best is None or (score > best if self.mode == "max" else score < best):
            with averaged(trainer):
                trainer.save_checkpoint(self.folder / "best.ckpt", weights_only=True)
            if trainer.is_global_zero:
                state = {
                    "monitor": self.monitor,
                    "value": score,
                    "step": trainer.global_step,
                    "epoch": trainer.current_epoch,
                }
                write_atomically(note, json.dumps(state).encode())
        trainer.strategy.barrier("best")

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Saves behind every epoch, its validation included."""
        self.save_resumable(trainer)

    def save_resumable(self, trainer: L.Trainer) -> None:
        """Writes ``step-<N>.ckpt``, points ``last.ckpt`` to it, and drops the oldest beyond ``keep``."""
        path = self.folder / f"step-{trainer.global_step:08d}.ckpt"
        trainer.save_checkpoint(path, weights_only=False)
        if trainer.is_global_zero:
            link = self.folder / f".last.{trainer.global_step}"
            link.unlink(missing_ok=True)
            link.symlink_to(path.name)
            link.replace(self.folder / "last.ckpt")
            for old in list(resumable(self.folder))[self.keep :]:
                old.unlink()
        self._saved_at = time.monotonic()


def may_save_behind_batch(trainer: L.Trainer) -> bool:
    """Whether a checkpoint of this moment, behind a training batch, could be resumed from.

    Not behind an epoch's last batch or the last one of training, where the epoch's end saves anyway; nor between two
    accumulated batches, whose gradients would be lost.
    """
    loop = trainer.fit_loop.epoch_loop
    return not (loop.batch_progress.is_last_batch or loop._should_accumulate() or _last_of_training(trainer))


def _last_of_training(trainer: L.Trainer) -> bool:
    last = trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
    return 0 < trainer.max_steps <= trainer.global_step or (last and trainer.current_epoch + 1 == trainer.max_epochs)


def _validate_now(trainer: L.Trainer) -> None:
    """Training ends behind this batch: its weights are validated, whatever the intervals say, so that they may win."""
    if trainer.check_val_every_n_epoch is not None:
        trainer.check_val_every_n_epoch = 1
    trainer.val_check_batch = 1
    if getattr(trainer, "_val_check_time_interval", None) is not None:  # Lightning sets it without declaring it
        trainer._val_check_time_interval = 0.0  # type: ignore[attr-defined]


def resumable(folder: Path) -> Iterator[Path]:
    """The resumable checkpoints of a folder, highest step first (by name, never by date)."""
    found = [(int(match[1]), file) for file in folder.glob("step-*.ckpt") if (match := STEP.fullmatch(file.name))]
    yield from (file for _, file in sorted(found, reverse=True))


def newest_resumable(folder: Path) -> Path | None:
    """The newest checkpoint that can be read; those that cannot are named and passed over."""
    for file in resumable(folder):
        try:
            content = read_checkpoint(file)
        except CheckpointError as error:
            rank_zero_warn(f"passed over: {error.what}")
            continue
        rank_zero_info(f"resuming from {file} (epoch {content['epoch']}, step {content['global_step']})")
        return file
    return None
