"""Leaving off when the cluster says so, with nothing lost; in place of Lightning's own signal handling and requeue."""
# ruff: noqa: ARG002 - the signatures are Lightning's

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as L
import torch
import torch.distributed as dist
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from pytorch_lightning.trainer.connectors.signal_connector import _SignalConnector

from callbacks.checkpoints import Checkpoints, may_save_behind_batch, resumable
from contracts.batch import Batch
from contracts.errors import ConfigError, PixelProofError
from contracts.files import write_atomically
from contracts.stop import STOP, Stopped, end_with_parent

GOING_ON, ASKED, OVERDUE = 0, 1, 2


class Preemption(L.Callback):
    """Stops at the next batch boundary after USR1, USR2, TERM or INT, all ranks at the same one.

    In training the state is saved first, behind the batch. In the validation of a training epoch, behind which alone
    Lightning resumes exactly, work goes on for ``grace`` seconds in the hope of its end; then it is left, and the
    restart goes on from the checkpoint before. Other evaluations are left at once: they start again from the beginning.

    Args:
        folder: of the checkpoints, where ``restarts.json`` is kept too; None where nothing is trained.
        grace: seconds that validation may go on after the signal.
        max_restarts: restarts of one SLURM job after which it is not worth trying again.
        idle_restarts: restarts in a row that found no step made, after which the run stops.

    Raises:
        ConfigError: for a value out of range.
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
        """From here on signals are only noted; a run that restarts for nothing ends here."""
        STOP.deferred = True
        if started_by_rank_zero(os.environ):
            end_with_parent()  # in a collective it would wait for that one in vain
        if dist.is_initialized() and trainer.world_size > 1 and self._group is None:
            # on the CPU, so that asking every batch keeps no GPU waiting
            self._group = dist.new_group(backend="gloo")
        if stage == "fit" and self.folder is not None:
            told = None
            if trainer.is_global_zero:
                told = note_restart(self.folder, os.environ, self.max_restarts, self.idle_restarts)
            if problem := trainer.strategy.broadcast(told):
                raise PixelProofError(problem, "See in the log what stops it each time; submit again to try again.")

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Alone again: signals stop at once; one noted in the last moments stops now."""
        if trainer.world_size == 1:
            STOP.deferred = False
            STOP.raise_noted()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Says what an error of the communication between ranks mostly means."""
        if trainer.world_size > 1 and isinstance(exception, RuntimeError):
            print(
                f"pixelproof: rank {trainer.global_rank} ends; if no error of its own stands below, it lost touch with "
                "another rank: see that one's log. The same command goes on from the last checkpoint.",
                file=sys.stderr,
                flush=True,
            )

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Saves and stops, where a checkpoint can be resumed from."""
        if not may_save_behind_batch(trainer):
            return
        if self._agreed(trainer) >= ASKED:
            for callback in trainer.callbacks:  # type: ignore[attr-defined]  # Lightning sets it without declaring it
                if isinstance(callback, Checkpoints):
                    callback.save_resumable(trainer)
            self._stop(trainer)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stops behind an epoch, which `Checkpoints`, standing before, has saved."""
        if self._agreed(trainer) >= ASKED:
            self._stop(trainer)

    def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Ranks may have different numbers of batches, and can agree only while all have some."""
        loop = _evaluation_loop(trainer)
        batches = int(sum(loop.max_batches))
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
        """Leaves an evaluation; that of a training epoch only when the time is up."""
        if batch_idx < self._common_batches:
            limit = OVERDUE if trainer.state.fn == "fit" else ASKED
            if self._agreed(trainer) >= limit:
                self._stop(trainer)

    on_test_epoch_start = on_predict_epoch_start = on_validation_epoch_start
    on_test_batch_end = on_predict_batch_end = on_validation_batch_end

    def _agreed(self, trainer: L.Trainer) -> int:
        """What the rank in the greatest hurry wants, known to all."""
        mine = GOING_ON if STOP.signum is None else OVERDUE if STOP.waited >= self.grace else ASKED
        if self._group is None:
            return mine
        wish = torch.tensor([mine, STOP.signum or 0])
        dist.all_reduce(wish, dist.ReduceOp.MAX, group=self._group)
        if STOP.signum is None and wish[0] > GOING_ON:
            STOP.signum = int(wish[1])
        return int(wish[0])

    def _stop(self, trainer: L.Trainer) -> None:
        for logger in trainer.loggers:
            mark = getattr(getattr(logger, "experiment", None), "mark_preempting", None)  # W&B alone has it
            if mark is not None and trainer.is_global_zero:
                mark()
        raise Stopped(STOP.signum or 0)


class NoSignals(_SignalConnector):
    """Lightning's own handling switched off: from its TERM handler it broadcasts to ranks that may not be listening."""

    def register_signal_handlers(self) -> None:
        """Registers nothing."""
        self.received_sigterm = False


def without_own_signals(trainer: L.Trainer) -> L.Trainer:
    """The same trainer, which leaves all signals to us."""
    trainer._signal_connector = NoSignals(trainer)
    return trainer


def cluster_plugins() -> list[Any]:
    """SLURM's environment without Lightning's requeue, where there is one."""
    if "SLURM_NTASKS" in os.environ and SLURMEnvironment.detect():
        return [SLURMEnvironment(auto_requeue=False)]
    return []


def started_by_rank_zero(env: Mapping[str, str]) -> bool:
    """Whether this is a rank that Lightning started from the first one of this machine."""
    return env.get("LOCAL_RANK", "0") != "0" and not env.keys() & {"TORCHELASTIC_RUN_ID", "SLURM_PROCID"}


def note_restart(folder: Path, env: Mapping[str, str], most: int, idle: int) -> str | None:
    """Notes how far the run had come at this start of a SLURM job, and says why it should stop, if so.

    Args:
        folder: of the checkpoints.
        env: environment.
        most: restarts allowed.
        idle: restarts in a row allowed to find nothing new.
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
        return f"job {job} was restarted {count} times (callbacks.preemption.max_restarts={most})"
    if count and len(steps) > idle and len(set(steps[-idle - 1 :])) == 1:
        return f"job {job} made no step between its last {idle + 1} starts; each found {steps[-1]} in {folder}"
    return None


def _evaluation_loop(trainer: L.Trainer) -> Any:
    if trainer.state.fn == "fit":
        return trainer.fit_loop.epoch_loop.val_loop
    return {"validate": trainer.validate_loop, "test": trainer.test_loop}.get(
        str(trainer.state.fn.value) if trainer.state.fn else "", trainer.predict_loop
    )
