"""The values of every epoch of a stage, in a file that training writes and searches read."""

import json
from pathlib import Path
from typing import Any

from contracts.files import write_atomically

NAME = "history.json"


def read_history(folder: Path) -> list[dict[str, Any]]:
    """The completed epochs of a folder of checkpoints."""
    file = folder / NAME
    return list(json.loads(file.read_text())) if file.is_file() else []


def read_epochs(experiment: Path) -> list[dict[str, Any]]:
    """The completed epochs of an experiment's last window."""
    windows = sorted(experiment.glob("window_*"), key=lambda path: int(path.name.removeprefix("window_")))
    return read_history(windows[-1] / "checkpoints") if windows else []


def write_epoch(folder: Path, entry: dict[str, Any]) -> None:
    """Adds an epoch; entries of the same or later epochs, from a killed run, are removed."""
    kept = [old for old in read_history(folder) if old["epoch"] < entry["epoch"]]
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / NAME, json.dumps([*kept, entry], indent=1).encode())
