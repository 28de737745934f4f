"""Dumps by what people call them: a file, an experiment, or a folder that holds windows."""

from collections.abc import Sequence
from pathlib import Path

from contracts.errors import DataError, nearest
from contracts.names import given_path
from tasks.experiment.run import DATA
from tasks.experiment.stage_folder import SELECTION

STAGES = ("test", SELECTION, "validate", "predict")


def dumps_of(key: str, name: str, stages: Sequence[str] = STAGES) -> list[Path]:
    """The file itself, or an experiment's or folder's dumps of the first stage that has any, window by window.

    Args:
        key: the option that names it, for messages.
        name: what was typed.
        stages: where to look, the best first.

    Raises:
        DataError: it is neither, or the experiment has no such dump.
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
        raise DataError(f"{folders[-1]} holds no {kind}", f"Run task={verb} experiment_id={folders[-1].name} first.")
    known = sorted({entry.parents[1].name for entry in DATA.glob("*/window_*/predictions_*_all.npz")})
    raise DataError(f"{key}: there is no experiment or file {name!r}", nearest(name, known))


def in_folder(folder: Path, stages: Sequence[str] = STAGES) -> list[Path]:
    """An experiment's dumps of the first stage that has any, window by window; none where there are none."""
    for stage in stages:
        file = f"predictions_{stage}_all.npz"
        found = sorted(folder.glob(f"window_*/{file}"), key=lambda path: (len(path.parent.name), path))
        if found := [*found, *(one for one in (folder / file,) if one.is_file())]:
            return found
    return []
