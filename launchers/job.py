"""Jobs and the interface of launchers."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Job:
    """One command."""

    words: tuple[str, ...]  # arguments of the program, without those of the launcher
    program: Path  # the script
    devices: int | None = None  # number of devices, or None if the trainer uses all available ones
    nodes: int = 1  # ``trainer.num_nodes``
    trains: bool = True  # whether the job uses a trainer

    def command(self, *further: str) -> list[str]:
        """The job's command line, without a launcher."""
        return [sys.executable, "-u", str(self.program), *self.words, *further, "launcher=null"]


class Launcher(Protocol):
    """Runs jobs or submits them."""

    def launch(self, jobs: list[Job]) -> int:
        """Starts all jobs; returns 0 if all succeeded or were submitted."""
