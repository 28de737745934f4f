"""Writing a stage's dump under every name that readers look for."""

import os
import shutil
from pathlib import Path
from typing import Any

from benchmarks.plain import Plain
from benchmarks.predictions import Predictions, read_predictions, write_predictions
from contracts.errors import DataError
from tasks.experiment.stage_folder import SELECTION, StageFolder


def write_dump(folder: StageFolder, benchmark: Any, task: str, predictions: Predictions) -> Path:
    """Writes the predictions of one task for one stage.

    The first of the benchmark's names for it is the file, the others are links to it (copies if the file system has
    none). An older dump of validation images at one of these names is renamed to "selection".

    Args:
        folder: of the stage.
        benchmark: its ``dumps`` name the files, by task; `benchmarks.plain.Plain`'s names by default.
        task: "validate" or "test".
        predictions: one per image.

    Returns:
        The file.
    """
    first, *others = getattr(benchmark, "dumps", Plain.dumps)[task]
    path = folder.predictions(first)
    write_predictions(path, predictions)
    for name in others:
        other = folder.predictions(name)
        selection = folder.predictions(SELECTION)
        if other.is_file() and not selection.exists() and _task_of(other) == name:
            other.replace(selection)
        temporary = other.with_name(f".{other.name}.{os.getpid()}.tmp")
        temporary.unlink(missing_ok=True)
        try:
            os.link(path, temporary)
        except OSError:
            shutil.copyfile(path, temporary)
        temporary.replace(other)
    return path


def _task_of(path: Path) -> str | None:
    try:
        return str(read_predictions(path).about.get("stage"))
    except DataError:
        return None
