"""Stop signals (USR1, USR2, TERM and INT), recorded in a handler and acted upon where that is safe.

A handler that saves or communicates with other ranks can hang or corrupt data (pytorch-lightning issues 20806 and
21406). Therefore the handler only records the signal. In a single process it raises `Stopped` immediately; if
`StopSignals.deferred` is set, the code that set it checks between batches and raises it.
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
"""SLURM sends USR1 before the time limit (as requested on submission) and TERM on pre-emption or cancellation, submitit
sends USR2, Ctrl-C sends INT."""

SECOND_INTERRUPT = 3.0
"""Seconds after which a second INT stops immediately; a terminal and a parent process may both send the first."""

PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Stopped(BaseException):
    """A signal stopped the run, whose state has been saved.

    Like ``KeyboardInterrupt`` it is not an ``Exception``, so that libraries do not catch it.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}")
        self.signum = signum


class StopSignals:
    """The signal handlers of the process.

    Attributes:
        signum: the recorded signal, or None. TERM, which leaves less time, replaces the others.
        since: ``time.monotonic()`` of the first signal.
        deferred: whether the handler only records signals.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self.since = 0.0
        self.deferred = False
        self._owner = 0

    @contextmanager
    def handled(self, deferred: bool) -> Iterator[None]:
        """Installs the handlers in the context; does nothing outside the main thread. Afterwards no signal is recorded.

        INT stays ignored if it was, as in a background job of a script.
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
            self.signum, self.deferred = None, False

    def release(self) -> None:
        """Unblocks signals that a launcher blocked until the handlers were installed.

        Raises:
            Stopped: a signal was pending.
        """
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    @property
    def waited(self) -> float:
        """Seconds since the first signal; 0 without one."""
        return time.monotonic() - self.since if self.signum is not None else 0.0

    def raise_noted(self) -> None:
        """Acts on a recorded signal.

        Raises:
            Stopped: a signal was recorded.
        """
        if self.signum is not None:
            raise Stopped(self.signum)

    def _note(self, signum: int, _frame: FrameType | None) -> None:
        if os.getpid() != self._owner:
            if signum == signal.SIGTERM:  # a forked worker, which its parent may stop this way
                signal.signal(signum, signal.SIG_DFL)
                os.kill(os.getpid(), signum)
            return
        if self.signum is None:
            self.since = time.monotonic()
        repeated = signum == signal.SIGINT and self.signum == signum and self.waited > SECOND_INTERRUPT
        if self.signum is None or signum == signal.SIGTERM:
            self.signum = signum
        if repeated or not self.deferred:
            raise Stopped(signum)


STOP = StopSignals()  # The handlers of this process


def ignore_in_worker(_worker: int = 0) -> None:
    """Ignores the signals in a worker process: SLURM signals workers too, and the batch being loaded would be lost."""
    for signum in SIGNALS:
        signal.signal(signum, signal.SIG_IGN)


def end_with_parent() -> None:
    """Makes Linux kill this process when its parent ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def one_of_several(env: Mapping[str, str]) -> bool:
    """Whether this process is one of several ranks, according to the environment that launchers set."""
    if "LOCAL_RANK" in env or int(env.get("WORLD_SIZE") or 1) > 1:
        return True
    return slurm_started(env) and int(env.get("SLURM_NTASKS") or 1) > 1


def slurm_started(env: Mapping[str, str]) -> bool:
    """Whether SLURM runs this process as a batch job and not in an interactive shell."""
    return "SLURM_JOB_ID" in env and env.get("SLURM_JOB_NAME") not in ("bash", "interactive")
