"""Runs jobs on an existing Ray cluster."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.errors import ConfigError
from launchers.job import Job


@dataclass(frozen=True)
class RayLauncher:
    """Runs each job as a Ray task; a job whose worker is lost is restarted on another one.

    The working directory and the data must be the same on all nodes.

    Args:
        address: address of the cluster; "auto" for this node's cluster; "local" starts one for this command.
        cpus: cores per job.
        gpus: GPUs per job.
        retries: maximum number of restarts of a job whose worker was lost or that failed.

    Raises:
        ConfigError: a value is out of range.
    """

    address: str = "auto"
    cpus: int = 1
    gpus: float = 0
    retries: int = 3

    def __post_init__(self) -> None:
        if self.cpus < 1:
            raise ConfigError(f"launcher.cpus={self.cpus}", "Give 1 or more.")

    def launch(self, jobs: list[Job]) -> int:
        """Runs all jobs and waits.

        Returns:
            0 if all succeeded, otherwise 1.

        Raises:
            ConfigError: Ray is not installed, or no cluster answers.
        """
        ray = _ray()
        try:
            own = {"include_dashboard": False} if self.address == "local" else {}
            ray.init(address=self.address, log_to_driver=False, **own)
        except ConnectionError as error:
            raise ConfigError(
                f"launcher.address={self.address}: no Ray cluster answers",
                "Start one (ray start --head), or give its address.",
            ) from error
        try:
            task = ray.remote(num_cpus=self.cpus, num_gpus=self.gpus, max_retries=self.retries, retry_exceptions=True)
            waiting = {task(_run).remote(job.command(), str(Path.cwd())): job for job in jobs}
            failed = 0
            for reference, job in waiting.items():
                try:
                    print(f"{' '.join(job.words)}: {ray.get(reference)}", flush=True)
                except ray.exceptions.RayError as error:
                    failed += 1
                    print(f"pixelproof: {' '.join(job.words)}: {error}", file=sys.stderr)
        finally:
            ray.shutdown()
        return int(failed > 0)


def _run(command: list[str], folder: str) -> str:
    """Runs the command on a worker; returns the last line of its output."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=dict(os.environ))  # noqa: S603
    if done.returncode:
        raise RuntimeError(f"exit code {done.returncode}: {done.stderr[-1000:]}")
    return done.stdout.strip().rpartition("\n")[2]


def _ray() -> Any:
    try:
        import ray
    except ModuleNotFoundError as error:
        raise ConfigError("launcher=ray needs Ray", "pip install 'pixelproof[ray]'") from error
    return ray
