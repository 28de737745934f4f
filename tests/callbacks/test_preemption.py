"""Signals noted, restarts counted, and when SLURM is asked to bring a job back."""

import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from callbacks.checkpoints import Checkpoints
from callbacks.preemption import Preemption, cluster_plugins, record_restart, started_by_rank_zero
from contracts.errors import ConfigError
from contracts.process.stop import STOP, Stopped, ignore_in_worker, one_of_several
from tasks.experiment import requeue
from tasks.experiment.requeue import ended, should_requeue
from tasks.experiment.run import given_id

RUNNING = "JobId=7 JobState=RUNNING StartTime=2026-11-22T10:00:00 PreemptEligibleTime=2026-11-22T10:00:00 PreemptTime="


@pytest.mark.parametrize(
    ("shown", "signum", "wanted"),
    [
        (RUNNING + "2026-11-22T10:05:00", signal.SIGTERM, True),
        (RUNNING + "2026-11-22T09:05:00", signal.SIGTERM, False),  # of an earlier life
        (RUNNING + "None", signal.SIGTERM, False),
        (RUNNING + "None", signal.SIGUSR1, True),
        (RUNNING + "None", signal.SIGUSR2, True),
        ("JobId=7 JobState=CANCELLED PreemptTime=None", signal.SIGTERM, False),
        ("JobId=7 JobState=COMPLETING PreemptTime=2026-11-22T10:05:00", signal.SIGTERM, False),
        ("JobId=7 JobState=CANCELLED PreemptTime=None", signal.SIGUSR1, False),
    ],
)
def test_who_comes_back(shown: str, signum: int, wanted: bool) -> None:
    assert should_requeue(shown, signum)[0] is wanted


def test_exit_codes_and_who_asks(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[list[str]] = []

    def scontrol(words: list[str], **_: Any) -> "subprocess.CompletedProcess[str]":
        asked.append(words)
        return subprocess.CompletedProcess(words, 0, RUNNING + "None", "")

    monkeypatch.setattr(requeue.shutil, "which", lambda name: name)
    monkeypatch.setattr(requeue.subprocess, "run", scontrol)
    assert ended(Stopped(signal.SIGTERM), {}) == 143
    assert ended(Stopped(signal.SIGUSR1), {"LOCAL_RANK": "1"}) == 0
    job = {"SLURM_JOB_ID": "7", "SLURM_PROCID": "1"}
    assert ended(Stopped(signal.SIGUSR1), job) == 0
    assert asked == []
    assert ended(Stopped(signal.SIGUSR1), job | {"SLURM_PROCID": "0"}) == 128 + signal.SIGUSR1
    assert asked[-1] == ["scontrol", "requeue", "7"]
    assert ended(Stopped(signal.SIGUSR1), job | {"SLURM_PROCID": "0", "SLURM_JOB_NAME": "bash"}) == 138
    assert len(asked) == 2
    assert "job 7 is requeued" in capsys.readouterr().err


def test_a_signal_stops_at_once_or_is_noted() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with STOP.handled(deferred=False), pytest.raises(Stopped):
        signal.raise_signal(signal.SIGUSR1)
    with STOP.handled(deferred=True):
        assert STOP.signum is None
        os.kill(os.getpid(), signal.SIGUSR2)
        os.kill(os.getpid(), signal.SIGTERM)
        limit = time.monotonic() + 60  # another thread may be the one that gets a signal
        while STOP.signum != signal.SIGTERM or STOP.waited == 0:
            assert time.monotonic() < limit
            time.sleep(0.01)
        with pytest.raises(Stopped):
            STOP.raise_noted()
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_signal_held_back_comes_when_there_are_handlers() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    signal.pthread_kill(threading.get_ident(), signal.SIGUSR2)  # other threads hold nothing back
    with STOP.handled(deferred=False), pytest.raises(Stopped):
        STOP.release()


def test_forked_workers_neither_note_nor_die() -> None:
    with STOP.handled(deferred=True):
        pid = os.fork()
        if pid == 0:
            ignore_in_worker()
            for signum in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
                os.kill(os.getpid(), signum)
            os._exit(5)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5
        pid = os.fork()
        if pid == 0:
            os.kill(os.getpid(), signal.SIGTERM)  # one that its parent ends
            time.sleep(300)
            os._exit(5)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGTERM
        assert STOP.signum is None


def test_a_run_that_gets_nowhere_stops(tmp_path: Path) -> None:
    env = {"SLURM_JOB_ID": "7"}
    assert record_restart(tmp_path, {}, 100, 2) is None
    assert not (tmp_path / "restarts.json").exists()
    assert record_restart(tmp_path, env, 100, 2) is None
    assert record_restart(tmp_path, env | {"SLURM_RESTART_COUNT": "1"}, 100, 2) is None
    reason = record_restart(tmp_path, env | {"SLURM_RESTART_COUNT": "2"}, 100, 2)
    assert reason is not None
    assert "made no progress" in reason
    assert record_restart(tmp_path, {"SLURM_JOB_ID": "8"}, 100, 2) is None  # submitted again
    for step in range(1, 6):
        (tmp_path / f"step-{step:08d}.ckpt").touch()
        assert record_restart(tmp_path, {"SLURM_JOB_ID": "8", "SLURM_RESTART_COUNT": str(step)}, 5, 2) is None
    reason = record_restart(tmp_path, {"SLURM_JOB_ID": "8", "SLURM_RESTART_COUNT": "6"}, 5, 2)
    assert reason is not None
    assert "max_restarts=5" in reason


def test_what_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not one_of_several({})
    assert one_of_several({"LOCAL_RANK": "0"})
    assert one_of_several({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "2"})
    assert not one_of_several({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "2", "SLURM_JOB_NAME": "interactive"})
    assert started_by_rank_zero({"LOCAL_RANK": "1"})
    assert not started_by_rank_zero({"LOCAL_RANK": "1", "SLURM_PROCID": "1"})
    shell = {"SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "bash"}
    assert given_id(shell) is None  # where several runs share a job
    assert given_id(shell | {"SLURM_JOB_NAME": "train"}) == "7"
    monkeypatch.delenv("SLURM_NTASKS", raising=False)
    assert cluster_plugins() == []
    monkeypatch.setenv("SLURM_NTASKS", "1")
    (plugin,) = cluster_plugins()
    assert plugin.auto_requeue is False


@pytest.mark.parametrize("wrong", [{"grace": -1.0}, {"max_restarts": 0}, {"idle_restarts": 0}])
def test_values_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Preemption(**wrong)


def played(step: int, last: bool, accumulating: bool, marked: list[str], saved: list[int]) -> Any:
    """A trainer as far as `Preemption` looks at it."""

    class Saving(Checkpoints):
        def save_resumable(self, trainer: Any) -> None:  # noqa: ARG002
            saved.append(step)

    loop = SimpleNamespace(batch_progress=SimpleNamespace(is_last_batch=last), _should_accumulate=lambda: accumulating)
    run = SimpleNamespace(mark_preempting=lambda: marked.append("W&B"))
    return SimpleNamespace(
        fit_loop=SimpleNamespace(epoch_loop=loop),
        max_steps=-1,
        callbacks=[Saving(Path())],
        loggers=[SimpleNamespace(experiment=run), SimpleNamespace(experiment=object()), SimpleNamespace()],
        is_global_zero=True,
        state=SimpleNamespace(fn="fit"),
    )


def test_it_saves_marks_and_stops_where_a_restart_is_exact() -> None:
    marked: list[str] = []
    saved: list[int] = []
    callback, nothing = Preemption(grace=3600.0), cast(Any, None)
    with STOP.handled(deferred=True):
        callback.on_train_batch_end(played(1, False, False, marked, saved), nothing, None, nothing, 0)
        signal.raise_signal(signal.SIGTERM)
        callback.on_train_batch_end(played(2, True, False, marked, saved), nothing, None, nothing, 1)
        callback.on_train_batch_end(played(3, False, True, marked, saved), nothing, None, nothing, 2)
        callback._common_batches = 9
        callback.on_validation_batch_end(played(3, False, False, marked, saved), nothing, None, nothing, 0)
        assert (saved, marked) == ([], [])
        with pytest.raises(Stopped):
            callback.on_train_batch_end(played(4, False, False, marked, saved), nothing, None, nothing, 3)
        assert (saved, marked) == ([4], ["W&B"])
        with pytest.raises(Stopped):
            callback.on_train_epoch_end(played(5, True, False, marked, saved), nothing)
        callback.grace = 0.0
        with pytest.raises(Stopped):
            callback.on_validation_batch_end(played(6, True, False, marked, saved), nothing, None, nothing, 0)
        assert saved == [4]
