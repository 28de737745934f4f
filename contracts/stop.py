"""The wish to stop: USR1, USR2, TERM and INT alike, noted in a handler and acted upon where that is safe.

A handler that saves, or talks to other ranks, hangs or corrupts sooner or later (pytorch-lightning issues 20806 and
21406). So the handler only notes the signal. Where one process works alone and nothing waits for it, `Stopped` is
raised at once; where `StopSignals.deferred` is set, whoever set it looks between two batches and raises it.
"""

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM, signal.SIGINT)
"""USR1 is what SLURM is asked to send before the time limit, USR2 is submitit's, TERM is pre-emption, or a cancel; INT
is Ctrl-C."""

IMPATIENT = 3.0
"""Seconds after which a second INT ends the process at once; a terminal and a parent may both send the first."""

PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Stopped(BaseException):
    """The run leaves off because of a signal; what had to be saved is saved.

    As with ``KeyboardInterrupt``, no library's ``except Exception`` may swallow it.

    Args:
        signum: the signal.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}")
        self.signum = signum


class StopSignals:
    """The process's one set of handlers.

    Attributes:
        signum: the signal noted, or None. TERM, which leaves less time, takes the place of the others.
        since: ``time.monotonic()`` of the first one.
        deferred: whether the handler only notes.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self.since = 0.0
        self.deferred = False
        self._owner = 0

    @contextmanager
    def handled(self, deferred: bool) -> Iterator[None]:
        """Takes the signals over, and gives them back; only the main thread may, in others nothing changes.

        INT stays ignored where it is, as in what a script starts in the background.

        Args:
            deferred: see the attribute.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._owner = os.getpid()
        self.signum, self.since, self.deferred = None, 0.0, deferred
        taken = [one for one in SIGNALS if one != signal.SIGINT or signal.getsignal(one) is not signal.SIG_IGN]
        before = {signum: signal.signal(signum, self._note) for signum in taken}
        try:
            yield
        finally:
            for signum, handler in before.items():
                signal.signal(signum, signal.SIG_DFL if handler is None else handler)

    def release(self) -> None:
        """Lets through what a launcher has held back until there are handlers.

        Raises:
            Stopped: a signal has come already.
        """
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    @property
    def waited(self) -> float:
        """Seconds since the first signal; 0 without one."""
        return time.monotonic() - self.since if self.signum is not None else 0.0

    def raise_noted(self) -> None:
        """Raises what was noted.

        Raises:
            Stopped: a signal has come.
        """
        if self.signum is not None:
            raise Stopped(self.signum)

    def _note(self, signum: int, _frame: FrameType | None) -> None:
        if os.getpid() != self._owner:
            if signum == signal.SIGTERM:  # a forked worker, which its parent may end this way
                signal.signal(signum, signal.SIG_DFL)
                os.kill(os.getpid(), signum)
            return
        if self.signum is None:
            self.since = time.monotonic()
        impatient = signum == signal.SIGINT and self.signum == signum and self.waited > IMPATIENT
        if self.signum is None or signum == signal.SIGTERM:
            self.signum = signum
        if impatient or not self.deferred:
            raise Stopped(signum)


STOP = StopSignals()
"""Of this process."""


def ignore_in_worker(_worker: int = 0) -> None:
    """For worker processes: SLURM signals them too, and one that ended would take the batch it loads along."""
    for signum in SIGNALS:
        signal.signal(signum, signal.SIG_IGN)


def end_with_parent() -> None:
    """Has Linux end this process with the one that started it."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def one_of_several(env: Mapping[str, str]) -> bool:
    """Whether this process is one rank of several, told by what launchers put into the environment."""
    if "LOCAL_RANK" in env or int(env.get("WORLD_SIZE") or 1) > 1:
        return True
    return slurm_started(env) and int(env.get("SLURM_NTASKS") or 1) > 1


def slurm_started(env: Mapping[str, str]) -> bool:
    """Whether SLURM runs this process as a batch job, not as a shell that somebody types into."""
    return "SLURM_JOB_ID" in env and env.get("SLURM_JOB_NAME") not in ("bash", "interactive")
