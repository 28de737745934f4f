"""What a launcher is given."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Job:
    """One command.

    Attributes:
        words: what stands behind the program's name, without the launcher's own words.
        program: the script.
        devices: of ``trainer.devices``: a number, or None where the trainer takes what is there.
        nodes: of ``trainer.num_nodes``.
        trains: whether a trainer takes part at all.
    """

    words: tuple[str, ...]
    program: Path
    devices: int | None = None
    nodes: int = 1
    trains: bool = True

    def command(self, *further: str) -> list[str]:
        """The job as a command line, which launches nothing further."""
        return [sys.executable, "-u", str(self.program), *self.words, *further, "launcher=null"]


class Launcher(Protocol):
    """Runs jobs, or has them run."""

    def launch(self, jobs: list[Job]) -> int:
        """Starts all jobs; 0 if they went well, or were handed over."""
