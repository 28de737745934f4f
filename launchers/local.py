"""Runs jobs as processes of this machine."""

import os
import signal
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

from contracts.errors import ConfigError
from contracts.process.stop import Stopped
from contracts.words import counted
from launchers.job import Job

SAVE_TIMEOUT = 60.0  # Seconds that jobs have to save after a signal


class LocalLauncher:
    """Runs each job in its own process and process group; jobs with several devices never share ports or ranks.

    Args:
        at_once: number of jobs that run at the same time.
        logs: folder for a log file per job; null prints everything to the screen.

    Raises:
        ConfigError: a value is out of range.
    """

    def __init__(self, at_once: int = 1, logs: str | None = None) -> None:
        if at_once < 1:
            raise ConfigError(f"launcher.at_once={at_once}", "Give 1 or more.")
        self.at_once = at_once
        self.logs = Path(logs) if logs else None

    def launch(self, jobs: list[Job]) -> int:
        """Runs all jobs, even if one fails.

        Returns:
            0 if all succeeded, otherwise the exit code of the first failed job.
        """
        codes: dict[int, int] = {}
        running: dict[int, subprocess.Popen[bytes]] = {}
        waiting = deque(enumerate(jobs))
        try:
            while waiting or running:
                while waiting and len(running) < self.at_once:
                    number, job = waiting.popleft()
                    print(f"[{number + 1}/{len(jobs)}] {' '.join(job.words)}", flush=True)
                    running[number] = self._start(job, number)
                for number in [number for number, process in running.items() if process.poll() is not None]:
                    codes[number] = running.pop(number).returncode
                time.sleep(0.05)
        except (Stopped, KeyboardInterrupt) as stop:
            _stop(running, stop)
            raise
        failed = [number + 1 for number in sorted(codes) if codes[number]]
        if failed:
            numbers = ", ".join(map(str, failed))
            print(f"pixelproof: failed jobs (of {len(jobs)}): {numbers}", file=sys.stderr)
            return codes[failed[0] - 1] if codes[failed[0] - 1] > 0 else 1
        return 0

    def _start(self, job: Job, number: int) -> "subprocess.Popen[bytes]":
        env = {name: value for name, value in os.environ.items() if name not in ("MASTER_PORT", "LOCAL_RANK")}
        if self.logs is None:
            return subprocess.Popen(job.command(), env=env)  # noqa: S603 - our own program
        self.logs.mkdir(parents=True, exist_ok=True)
        log = self.logs / f"job_{number}.log"
        print(f"  log: {log}", flush=True)
        with log.open("ab") as file:
            return subprocess.Popen(job.command(), env=env, stdout=file, stderr=subprocess.STDOUT)  # noqa: S603


def _stop(running: dict[int, "subprocess.Popen[bytes]"], stop: BaseException) -> None:
    """Forwards a signal and waits until the jobs have saved."""
    for process in running.values():
        process.send_signal(stop.signum if isinstance(stop, Stopped) else signal.SIGINT)
    if running:
        jobs = counted(len(running), "running job")
        print(f"pixelproof: waiting for {jobs} to save", file=sys.stderr, flush=True)
    limit = time.monotonic() + SAVE_TIMEOUT
    for process in running.values():
        try:
            process.wait(max(0.0, limit - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
