"""Saves checkpoints, and finds the one that a restart resumes from."""
# ruff: noqa: ARG002 - the signatures are Lightning's

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from callbacks.averaged import averaged
from contracts.batch import Batch
from contracts.errors import CheckpointError, ConfigError
from contracts.files import write_atomically
from contracts.process.lightning import Callback
from contracts.process.ranks import rank_zero_info, rank_zero_warn
from detectors.parts.weights import read_checkpoint

if TYPE_CHECKING:
    import pytorch_lightning as L

STEP = re.compile(r"step-(\d+)\.ckpt")


class Checkpoints(Callback):
    """Saves the best checkpoint on validation and the newest ones to resume from.

    ``best.ckpt`` contains weights (chosen on validation data, never on test images). ``step-<N>.ckpt`` contain
    everything a restart needs; ``last.ckpt`` points to the newest of them. They are written at the end of every epoch
    and, within an epoch, every ``minutes``. Lightning resumes exactly at two places only: after a training batch that
    is not the last of its epoch, and after an epoch's validation. Nothing is saved elsewhere.

    Args:
        folder: folder of the checkpoints.
        monitor: logged value by which the best checkpoint is chosen.
        mode: "max" or "min": whether a higher or a lower value is better.
        minutes: wall time between two saves within an epoch.
        keep: number of resumable checkpoints to keep.
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
        """The step of the last validation, so that a resumed run knows whether its weights were validated."""
        return {"validated": self.validated}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores that step."""
        self.validated = state_dict.get("validated")

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Completes what a killed run left unfinished, whether or not training has any step left.

        Incomplete files are removed, and ``last.ckpt`` points to the checkpoint that is resumed from: the run may have
        been killed after writing it and before changing the link.
        """
        if trainer.is_global_zero:
            for incomplete in (*self.folder.glob(".*.tmp"), *self.folder.glob(".last.*")):
                incomplete.unlink()
            resumed = Path(trainer.ckpt_path or "")
            if STEP.fullmatch(resumed.name) and resumed.parent == self.folder:
                self._point_to(resumed)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Starts the clock for wall-time saves."""
        self._saved_at = time.monotonic()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Saves if a save is due and possible here; makes sure that the last weights are validated."""
        if _last_of_training(trainer):
            _validate_now(trainer)
        if not may_save_after_batch(trainer):
            return
        due = time.monotonic() - self._saved_at >= self.seconds
        if trainer.strategy.broadcast(due):
            self.save_resumable(trainer)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Saves the weights if they are the best so far."""
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        self.keep_if_best(trainer, trainer.callback_metrics)

    def keep_if_best(self, trainer: L.Trainer, logged: Mapping[str, Any]) -> None:
        """Saves the weights just validated as ``best.ckpt`` if they are the best so far.

        Raises:
            ConfigError: the monitored value was not logged.
        """
        self.validated = trainer.global_step
        value = logged.get(self.monitor)
        if value is None:
            known = ", ".join(sorted(logged)) or "nothing"
            raise ConfigError(
                f"callbacks.checkpoints.monitor={self.monitor!r} was not logged (logged: {known})",
                "Name a logged value; a validation split with only one class has no AUROC: monitor val/loss with "
                "mode=min.",
            )
        score = float(value)
        note = self.folder / "best.json"
        best = json.loads(note.read_text())["value"] if note.is_file() else None
        if best is None or (score > best if self.mode == "max" else score < best):
            with averaged(trainer):
                trainer.save_checkpoint(self.folder / "best.ckpt", weights_only=True)
            if trainer.is_global_zero:
                step, epoch = trainer.global_step, trainer.current_epoch
                state = {"monitor": self.monitor, "value": score, "step": step, "epoch": epoch}
                write_atomically(note, json.dumps(state).encode())
        trainer.strategy.barrier("best")

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Saves after every epoch and its validation."""
        self.save_resumable(trainer)

    def save_resumable(self, trainer: L.Trainer) -> None:
        """Writes ``step-<N>.ckpt``, points ``last.ckpt`` to it, and deletes all but the newest ``keep``."""
        path = self.folder / f"step-{trainer.global_step:08d}.ckpt"
        trainer.save_checkpoint(path, weights_only=False)
        if trainer.is_global_zero:
            self._point_to(path)
            for old in list(resumable(self.folder))[self.keep :]:
                old.unlink()
        self._saved_at = time.monotonic()

    def _point_to(self, path: Path) -> None:
        """Makes ``last.ckpt`` a link to this checkpoint, in one step."""
        link = self.folder / f".last.{path.stem}"
        link.unlink(missing_ok=True)
        link.symlink_to(path.name)
        link.replace(self.folder / "last.ckpt")


def may_save_after_batch(trainer: L.Trainer) -> bool:
    """Whether training could resume from a checkpoint saved now, after a training batch.

    It could not after the last batch of an epoch or of training, where the end of the epoch saves, nor between two
    accumulated batches, whose gradients would be lost.
    """
    loop = trainer.fit_loop.epoch_loop
    return not (loop.batch_progress.is_last_batch or loop._should_accumulate() or _last_of_training(trainer))


def _last_of_training(trainer: L.Trainer) -> bool:
    last = trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
    return 0 < trainer.max_steps <= trainer.global_step or (last and trainer.current_epoch + 1 == trainer.max_epochs)


def _validate_now(trainer: L.Trainer) -> None:
    """Makes Lightning validate after this batch, the last of training, for any validation interval."""
    if trainer.check_val_every_n_epoch is not None:
        trainer.check_val_every_n_epoch = 1
    trainer.val_check_batch = 1
    if getattr(trainer, "_val_check_time_interval", None) is not None:  # Lightning sets it without declaring it
        trainer._val_check_time_interval = 0.0  # type: ignore[attr-defined]


def resumable(folder: Path) -> Iterator[Path]:
    """The resumable checkpoints of a folder, highest step (by file name) first."""
    found = [(int(match[1]), file) for file in folder.glob("step-*.ckpt") if (match := STEP.fullmatch(file.name))]
    yield from (file for _, file in sorted(found, reverse=True))


def newest_resumable(folder: Path) -> Path | None:
    """The newest checkpoint that can be read; a warning names those that cannot."""
    for file in resumable(folder):
        try:
            content = read_checkpoint(file)
        except CheckpointError as error:
            rank_zero_warn(f"skipped: {error.what}")
            continue
        rank_zero_info(f"resuming from {file} (epoch {content['epoch']}, step {content['global_step']})")
        return file
    return None
