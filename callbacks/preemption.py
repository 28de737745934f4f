"""Stops a run on a signal without losing work; replaces Lightning's signal handling and requeue."""
# ruff: noqa: ARG002 - the signatures are Lightning's

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist

from callbacks.checkpoints import Checkpoints, may_save_after_batch, resumable
from contracts.batch import Batch
from contracts.errors import ConfigError, PixelProofError
from contracts.files import write_atomically
from contracts.process.lightning import Callback
from contracts.process.stop import STOP, Stopped, end_with_parent
from contracts.words import counted

if TYPE_CHECKING:
    import pytorch_lightning as L

RUNNING, REQUESTED, OVERDUE = 0, 1, 2


class Preemption(Callback):
    """Stops all ranks at the same batch after USR1, USR2, TERM or INT.

    Training saves its state first, after the batch. The validation of a training epoch continues for ``grace`` seconds
    in case it finishes, because Lightning resumes exactly only after it; otherwise it is stopped, and a restart resumes
    from the previous checkpoint. Other evaluations stop immediately and start again from the beginning.

    Args:
        folder: folder of the checkpoints and of ``restarts.json``; None if nothing is trained.
        grace: seconds that validation may continue after the signal.
        max_restarts: maximum number of restarts of one SLURM job.
        idle_restarts: consecutive restarts without a new training step after which the run stops.

    Raises:
        ConfigError: a value is out of range.
    """

    def __init__(
        self, folder: Path | None = None, grace: float = 15.0, max_restarts: int = 100, idle_restarts: int = 2
    ) -> None:
        if grace < 0:
            raise ConfigError(f"callbacks.preemption.grace={grace}", "Give seconds, 0 or more.")
        for name, value in (("max_restarts", max_restarts), ("idle_restarts", idle_restarts)):
            if value < 1:
                raise ConfigError(f"callbacks.preemption.{name}={value}", "Give 1 or more.")
        self.folder = folder
        self.grace = grace
        self.max_restarts = max_restarts
        self.idle_restarts = idle_restarts
        self._group: Any = None
        self._common_batches = 0

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Defers signals from now on; stops a run that restarts without progress."""
        STOP.deferred = True
        if started_by_rank_zero(os.environ):
            end_with_parent()  # otherwise it would wait for that process in a collective operation forever
        if dist.is_initialized() and trainer.world_size > 1 and self._group is None:
            # on the CPU, so that the exchange after every batch does not make a GPU wait
            self._group = dist.new_group(backend="gloo")
        if stage == "fit" and self.folder is not None:
            problem = None
            if trainer.is_global_zero:
                problem = record_restart(self.folder, os.environ, self.max_restarts, self.idle_restarts)
            if problem := trainer.strategy.broadcast(problem):
                raise PixelProofError(problem, "The log shows why it stops each time; submit it again to try again.")

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Lets signals stop a single process immediately again, including one that is pending."""
        if trainer.world_size == 1:
            STOP.deferred = False
            STOP.raise_noted()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Explains errors of the communication between ranks."""
        if trainer.world_size > 1 and isinstance(exception, RuntimeError):
            print(
                f"pixelproof: rank {trainer.global_rank} ends; unless its own error follows, it lost the connection to "
                "another rank: see the log of that rank. The same command resumes from the last checkpoint.",
                file=sys.stderr,
                flush=True,
            )

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Saves and stops if training could resume from here."""
        if not may_save_after_batch(trainer):
            return
        if self._agreed(trainer) >= REQUESTED:
            for callback in trainer.callbacks:  # type: ignore[attr-defined]  # Lightning sets it without declaring it
                if isinstance(callback, Checkpoints):
                    callback.save_resumable(trainer)
            self._stop(trainer)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stops after an epoch, which `Checkpoints`, an earlier callback, has saved."""
        if self._agreed(trainer) >= REQUESTED:
            self._stop(trainer)

    def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Finds the number of batches of the rank with the fewest: ranks can agree only while all have some."""
        batches = int(sum(evaluation_loop(trainer).max_batches))
        if self._group is not None:
            least = torch.tensor(batches)
            dist.all_reduce(least, dist.ReduceOp.MIN, group=self._group)
            batches = int(least)
        self._common_batches = batches

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Stops an evaluation; that of a training epoch only after ``grace`` seconds."""
        if batch_idx < self._common_batches:
            limit = OVERDUE if verb(trainer) == "fit" else REQUESTED
            if self._agreed(trainer) >= limit:
                self._stop(trainer)

    on_test_epoch_start = on_predict_epoch_start = on_validation_epoch_start
    on_test_batch_end = on_predict_batch_end = on_validation_batch_end

    def _agreed(self, trainer: L.Trainer) -> int:
        """The most urgent state of all ranks."""
        mine = RUNNING if STOP.signum is None else OVERDUE if STOP.waited >= self.grace else REQUESTED
        if self._group is None:
            return mine
        state = torch.tensor([mine, STOP.signum or 0])
        dist.all_reduce(state, dist.ReduceOp.MAX, group=self._group)
        if STOP.signum is None and state[0] > RUNNING:
            STOP.signum = int(state[1])
        return int(state[0])

    def _stop(self, trainer: L.Trainer) -> None:
        for logger in trainer.loggers:
            mark = getattr(getattr(logger, "experiment", None), "mark_preempting", None)  # W&B alone has it
            if mark is not None and trainer.is_global_zero:
                mark()
        raise Stopped(STOP.signum or 0)


def without_own_signals(trainer: L.Trainer) -> L.Trainer:
    """The trainer, with its signal handling disabled."""
    from pytorch_lightning.trainer.connectors.signal_connector import _SignalConnector

    class NoSignals(_SignalConnector):
        """Disables Lightning's signal handling: its TERM handler broadcasts to ranks that may not be listening."""

        def register_signal_handlers(self) -> None:
            """Registers nothing."""
            self.received_sigterm = False

    trainer._signal_connector = NoSignals(trainer)
    return trainer


def cluster_plugins() -> list[Any]:
    """Lightning's SLURM environment without its requeue, inside a SLURM job."""
    if "SLURM_NTASKS" not in os.environ:
        return []
    from lightning_fabric.plugins.environments.slurm import SLURMEnvironment

    return [SLURMEnvironment(auto_requeue=False)] if SLURMEnvironment.detect() else []


def started_by_rank_zero(env: Mapping[str, str]) -> bool:
    """Whether this is a rank that Lightning started from rank 0 of this machine."""
    return env.get("LOCAL_RANK", "0") != "0" and not env.keys() & {"TORCHELASTIC_RUN_ID", "SLURM_PROCID"}


def record_restart(folder: Path, env: Mapping[str, str], most: int, idle: int) -> str | None:
    """Records the newest checkpoint at this start of a SLURM job; returns the reason if the run should stop.

    Args:
        folder: folder of the checkpoints.
        env: environment.
        most: maximum number of restarts.
        idle: consecutive restarts without a new checkpoint after which to stop.
    """
    job = env.get("SLURM_JOB_ID")
    if job is None:
        return None
    file = folder / "restarts.json"
    known = json.loads(file.read_text()) if file.is_file() else {}
    steps: list[str] = known["found"] if known.get("job") == job else []
    newest = next(resumable(folder), None)
    steps.append(newest.stem if newest else "nothing")
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(file, json.dumps({"job": job, "found": steps}).encode())
    count = int(env.get("SLURM_RESTART_COUNT") or 0)
    if count > most:
        return f"job {job} was restarted {counted(count, 'time')} (callbacks.preemption.max_restarts={most})"
    if count and len(steps) > idle and len(set(steps[-idle - 1 :])) == 1:
        return f"job {job} made no progress between its last {idle + 1} starts; each found {steps[-1]} in {folder}"
    return None


def verb(trainer: L.Trainer) -> str:
    """The current activity of a trainer or a `tasks.scoring.scorer.Scorer`: "fit", "validate", "test" or "predict"."""
    fn = trainer.state.fn
    return str(getattr(fn, "value", fn) or "")


def evaluation_loop(trainer: L.Trainer) -> Any:
    """The trainer's current evaluation loop; in training, the loop of its validation."""
    return trainer.fit_loop.epoch_loop.val_loop if verb(trainer) == "fit" else getattr(trainer, f"{verb(trainer)}_loop")
