"""What becomes of a stopped run: back into SLURM's queue, or an end with the signal's exit code."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime

from contracts.stop import Stopped, slurm_started
from tasks.experiment.run import HANDED, given_id


def ended(stopped: Stopped, env: Mapping[str, str] = os.environ, words: Sequence[str] = ()) -> int:
    """Asks SLURM to start the job again where that is wanted, and says what the exit code is.

    A job whose tasks save and end on the TERM of a pre-emption is over for SLURM, and would never come back. So the
    first rank asks for it: after USR1 or USR2, which announce the time limit, always; after TERM only if the job is
    being pre-empted. A job that was cancelled stays away, and one that SLURM itself puts back comes back once.

    Args:
        stopped: with the signal.
        env: environment.
        words: of the command line, to which the experiment's name is added where it was found by the run itself.

    Returns:
        128 + the signal's number (143 after TERM); 0 on other ranks, of which nobody shall think that they failed.
    """
    name = signal.Signals(stopped.signum).name
    if _rank(env) != "0":
        return 0
    named = HANDED not in env or given_id(env) or any(word.startswith("experiment_id=") for word in words)
    again = "the same command" if named else f"the same command with experiment_id={env[HANDED]}"
    print(f"pixelproof: stopped by {name}; {again} goes on from here", file=sys.stderr, flush=True)
    if slurm_started(env) and shutil.which("scontrol"):
        print(f"pixelproof: {_requeue(env['SLURM_JOB_ID'], stopped.signum)}", file=sys.stderr, flush=True)
    return 128 + stopped.signum


def wanted_back(shown: str, signum: int) -> tuple[bool, str]:
    """Whether a requeue is called for, and why, or why not.

    Args:
        shown: what ``scontrol show job`` says.
        signum: what the job was told.
    """
    fields = dict(re.findall(r"(\w+)=(\S*)", shown))
    state = fields.get("JobState", "unknown")
    if state != "RUNNING":
        return False, f"SLURM has the job as {state}"
    if signum != signal.SIGTERM:
        return True, "the time limit is near"
    if (told := _time(fields.get("PreemptTime"))) and (begun := _time(fields.get("StartTime"))) and told >= begun:
        return True, "it is being pre-empted"
    return False, "somebody asked it to end"


def _requeue(job: str, signum: int) -> str:
    shown = subprocess.run(["scontrol", "show", "job", job], capture_output=True, text=True, check=False)  # noqa: S603, S607
    if shown.returncode:
        return f"job {job} is not requeued: scontrol says {shown.stderr.strip()}"
    wanted, why = wanted_back(shown.stdout, signum)
    if not wanted:
        return f"job {job} is not requeued: {why}"
    done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, check=False)  # noqa: S603, S607
    if done.returncode > 0:  # below zero it was ended with the job that it had just put back
        return f"job {job} could not be requeued ({done.stderr.strip()}); submit it again to go on"
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
