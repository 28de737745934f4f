"""The folder with the results of one stage of an experiment."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from contracts.errors import CheckpointError
from contracts.files import write_atomically

SELECTION = "selection"
"""Name of the dump of the images a checkpoint was chosen on, if "validate" is the name of test images."""


@dataclass(frozen=True)
class StageFolder:
    """``<experiment>/window_<k>/``, where k is the position of the stage."""

    experiment: Path
    index: int

    @property
    def path(self) -> Path:
        """The folder itself."""
        return self.experiment / f"window_{self.index}"

    @property
    def checkpoints(self) -> Path:
        """Folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def done(self) -> bool:
        """Whether training and validation of the stage are complete."""
        return (self.path / "done").exists()

    def best(self) -> Path:
        """The best checkpoint on the validation images.

        Raises:
            CheckpointError: there is none yet.
        """
        file = self.checkpoints / "best.ckpt"
        if not file.is_file():
            raise CheckpointError(f"{file} does not exist: this stage has not been trained", "Run task=fit first.")
        return file

    def predictions(self, stage: str) -> Path:
        """The dump of a task (validate, test)."""
        return self.path / f"predictions_{stage}_all.npz"

    def write_json(self, name: str, content: Any) -> None:
        """Writes a JSON file atomically."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path / name, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())

    def read_json(self, name: str) -> dict[str, Any]:
        """Reads a JSON file; empty if it does not exist."""
        file = self.path / name
        return dict(json.loads(file.read_text())) if file.is_file() else {}

    def other_versions(self, now: Mapping[str, str], resuming: bool) -> list[str]:
        """Packages whose version differs from that at the stage's start, recorded in ``versions.json``.

        Args:
            now: versions by package.
            resuming: whether there is a checkpoint to resume from; else the stage starts now.
        """
        recorded = self.read_json("versions.json") if resuming else {}
        if not recorded:
            self.write_json("versions.json", dict(now))
        return [f"{name} {recorded[name]} → {now.get(name)}" for name in recorded if recorded[name] != now.get(name)]

    def finish(self) -> None:
        """Marks the stage as complete."""
        write_atomically(self.path / "done", b"")


def file_hash(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
