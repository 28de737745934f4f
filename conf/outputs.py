"""Outputs that a task cannot write, found before it starts its work."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from conf.keys.schema import VERB_OPTIONS, Config, verb_options
from contracts.errors import ConfigError

RESULTS = Path("experiments_data")
LOGS = Path("experiments_logs")

FILES = ("prepare.out", "convert.out", "sweep.study")  # Options that name a file; the others name a folder

ELSEWHERE = ("doctor", "review", "compare", "leaderboard", "explain", "convert", "export", "serve", "candidates")
"""Tasks that write next to their inputs, or nothing."""


def unwritable(config: Config) -> Iterator[ConfigError]:
    """Outputs of the task that cannot be written here; with a launcher, its jobs check this themselves."""
    if config.launcher:
        return
    task = config.task
    for key in ("out", "cache", "study") if task in VERB_OPTIONS else ():
        name = getattr(getattr(config, task), key) if key in verb_options(task) else None
        if name is None:
            continue
        path, is_file = Path(name).expanduser(), f"{task}.{key}" in FILES
        why = "it is a folder" if is_file and path.is_dir() else refusal(path.parent if is_file else path)
        if why:
            kind = "FILE" if is_file else "FOLDER"
            yield ConfigError(f"{task}.{key}={name} cannot be written: {why}", f"Give {task}.{key}={kind} elsewhere.")
    given = task in VERB_OPTIONS and "out" in verb_options(task) and getattr(config, task).out is not None
    folders = (
        [] if given or task in ELSEWHERE else [RESULTS / config.experiment_id if config.experiment_id else RESULTS]
    )
    for folder in [*folders, *([LOGS] if task == "fit" else [])]:
        if why := refusal(folder):
            step = "Start in a folder where results can be written, or move the file that is in the way."
            yield ConfigError(f"{folder.resolve()} cannot be written: {why}", step)


def refusal(folder: Path) -> str | None:
    """Why a folder cannot be created or written to, found by writing an unnamed file; None if it can."""
    try:
        for there in (folder, *folder.parents):
            if there.is_dir():
                with tempfile.TemporaryFile(dir=there):
                    longest = os.pathconf(there, "PC_NAME_MAX")
                    return next((f"{p} is too long" for p in folder.parts if len(os.fsencode(p)) > longest), None)
            if os.path.lexists(there):
                return f"{there} is not a folder"
    except OSError as error:
        return f"{error.strerror or error} ({there})"
    return None
