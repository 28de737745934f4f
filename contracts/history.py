"""What every epoch of a stage came to: one file, written in training, read by searches."""

import json
from pathlib import Path
from typing import Any

from contracts.files import write_atomically

NAME = "history.json"


def read_history(folder: Path) -> list[dict[str, Any]]:
    """The epochs of a folder of checkpoints so far; empty where none has ended."""
    file = folder / NAME
    return list(json.loads(file.read_text())) if file.is_file() else []


def read_epochs(experiment: Path) -> list[dict[str, Any]]:
    """The epochs of an experiment's folder, of its last window where there are several."""
    windows = sorted(experiment.glob("window_*"), key=lambda path: int(path.name.removeprefix("window_")))
    return read_history(windows[-1] / "checkpoints") if windows else []


def write_epoch(folder: Path, entry: dict[str, Any]) -> None:
    """Adds an epoch, in place of what a killed run left of it and of later ones."""
    kept = [old for old in read_history(folder) if old["epoch"] < entry["epoch"]]
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / NAME, json.dumps([*kept, entry], indent=1).encode())
