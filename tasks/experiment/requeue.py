"""After a run was stopped by a signal: its exit code, and a requeue by SLURM if it should restart."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime

from contracts.process.stop import Stopped, slurm_started
from tasks.experiment.run import HANDED, given_id

RESUMED = ("fit", "sweep", "prepare", "test", "trace", "generate", "guess", "export_tree")
"""Tasks that keep what they have done, so that the same command continues."""


def ended(stopped: Stopped, env: Mapping[str, str] = os.environ, words: Sequence[str] = ()) -> int:
    """Requeues the SLURM job if it should restart, and returns the exit code.

    SLURM considers a job complete if its tasks save and exit on the TERM signal of a pre-emption. Therefore the first
    rank requests a requeue: always after USR1 or USR2, which announce the time limit; after TERM only if the job is
    being pre-empted. A cancelled job is not requeued, and a job that SLURM requeues itself is not requeued twice.

    Args:
        stopped: the exception, which has the signal.
        env: environment.
        words: arguments of the command line; the message adds the experiment's name if the run chose it.

    Returns:
        128 + the signal's number (143 after TERM); 0 on other ranks, which must not count as failed.
    """
    name = signal.Signals(stopped.signum).name
    if _rank(env) != "0":
        return 0
    print(f"pixelproof: stopped by {name}{_next(env, words)}", file=sys.stderr, flush=True)
    if slurm_started(env) and shutil.which("scontrol"):
        print(f"pixelproof: {_requeue(env['SLURM_JOB_ID'], stopped.signum)}", file=sys.stderr, flush=True)
    return 128 + stopped.signum


def _next(env: Mapping[str, str], words: Sequence[str]) -> str:
    """What the same command would do, as the end of the message."""
    verb = next((word.partition("=")[2] for word in words if word.startswith("task=")), "fit")
    if verb == "serve":
        return ""
    kept = verb in RESUMED or any(word.startswith("predict.shards=") for word in words)  # finished shards are
    if not kept or words[:1] in (["look"], ["models"]):
        return "; the same command starts from the beginning"
    named = HANDED not in env or given_id(env) or any(word.startswith("experiment_id=") for word in words)
    return f"; the same command{'' if named else f' with experiment_id={env[HANDED]}'} continues from here"


def should_requeue(shown: str, signum: int) -> tuple[bool, str]:
    """Whether the job should be requeued, and the reason, by the output of ``scontrol show job`` and the signal."""
    fields = dict(re.findall(r"(\w+)=(\S*)", shown))
    state = fields.get("JobState", "unknown")
    if state != "RUNNING":
        return False, f"its state in SLURM is {state}"
    if signum != signal.SIGTERM:
        return True, "the time limit is near"
    preempted_at, started_at = _time(fields.get("PreemptTime")), _time(fields.get("StartTime"))
    if preempted_at and started_at and preempted_at >= started_at:
        return True, "it is being pre-empted"
    return False, "it received SIGTERM, but is not being pre-empted"


def _requeue(job: str, signum: int) -> str:
    shown = subprocess.run(["scontrol", "show", "job", job], capture_output=True, text=True, check=False)  # noqa: S603, S607
    if shown.returncode:
        return f"job {job} is not requeued: scontrol reports {shown.stderr.strip()}"
    wanted, why = should_requeue(shown.stdout, signum)
    if not wanted:
        return f"job {job} is not requeued: {why}"
    done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, check=False)  # noqa: S603, S607
    if done.returncode > 0:  # negative: killed together with the job it had just requeued
        return f"job {job} could not be requeued ({done.stderr.strip()}); submit it again to continue"
    return f"job {job} is requeued: {why}"


def _rank(env: Mapping[str, str]) -> str:
    if slurm_started(env) and "SLURM_PROCID" in env:
        return env["SLURM_PROCID"]
    return env.get("RANK") or env.get("LOCAL_RANK") or "0"


def _time(text: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text or "")
    except ValueError:
        return None  # "None", "Unknown" or "N/A"
