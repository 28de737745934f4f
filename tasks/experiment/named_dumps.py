"""Finding dumps by a file, an experiment's name, or a folder that contains stages."""

from collections.abc import Sequence
from pathlib import Path

from contracts.errors import DataError, nearest
from contracts.names import given_path
from tasks.experiment.run import DATA
from tasks.experiment.stage_folder import SELECTION

STAGES = ("test", SELECTION, "validate", "predict")


def dumps_of(key: str, name: str, stages: Sequence[str] = STAGES) -> list[Path]:
    """The given file, or the dumps in an experiment or folder for the first stage name that has any, in stage order.

    Messages name the option ``key``.

    Raises:
        DataError: there is no such file or experiment, or it has no such dump.
    """
    path = given_path(name)
    if path.is_file() or path.suffix.lower() in (".npz", ".csv", ".tsv"):
        return [path]
    folders = [folder for folder in (path, DATA / name) if folder.is_dir()]
    for folder in folders:
        if found := in_folder(folder, stages):
            return found
    if folders:
        verb = next(stage for stage in stages if stage != SELECTION)
        kind = {"test": "test dump", "validate": "validation dump"}.get(verb, "dump")
        raise DataError(f"{folders[-1]} contains no {kind}", f"Run task={verb} experiment_id={folders[-1].name} first.")
    known = sorted({entry.parents[1].name for entry in DATA.glob("*/window_*/predictions_*_all.npz")})
    step = nearest(name, known) if known else "Test an experiment first: task=test experiment_id=NAME."
    raise DataError(f"{key}: there is no experiment or file {name!r}", step)


def in_folder(folder: Path, stages: Sequence[str] = STAGES) -> list[Path]:
    """An experiment's dumps for the first stage name that has any, in stage order; maybe none."""
    for stage in stages:
        file = f"predictions_{stage}_all.npz"
        found = sorted(folder.glob(f"window_*/{file}"), key=lambda path: (len(path.parent.name), path))
        if found := [*found, *(one for one in (folder / file,) if one.is_file())]:
            return found
    return []
