"""Paths of a configuration that do not exist."""

import os
from collections.abc import Iterator, Sequence
from glob import has_magic, iglob
from pathlib import Path

from conf.keys.schema import Config
from conf.keys.verbs import REQUIRED
from contracts.errors import ConfigError, nearest
from contracts.names import given_path, glob_pattern, is_exported

EXPERIMENTS = Path("experiments_data")


def missing_paths(config: Config, used: Sequence[str]) -> Iterator[ConfigError]:
    """Missing data, checkpoints and dumps that the task needs."""
    required = REQUIRED.get(config.task, ())
    if config.ckpt is not None and not is_exported(given_path(config.ckpt)):
        yield from _file("ckpt", config.ckpt)
    elif config.ckpt is None and "ckpt" in required:
        yield ConfigError(f"task={config.task} needs weights", "Give ckpt=FILE.")
    path = config.datamodule.get("path")
    if "datamodule" in used and isinstance(path, str) and path != "???":
        yield from _data(path)
    if config.task == "threshold":
        own = EXPERIMENTS / (config.experiment_id or "/nowhere")
        if config.threshold.input is None and not any(own.glob("window_*/predictions_validate_all.npz")):
            yield ConfigError(
                "task=threshold needs a table of scores",
                "Give threshold.input=predictions.csv, a dump, or the experiment_id of a validated experiment.",
            )
        elif config.threshold.input is not None:
            yield from _dump("threshold.input", config.threshold.input)
    if config.task == "predict" and config.predict.threshold is not None:
        yield from _file("predict.threshold", config.predict.threshold)
    if config.task == "predict" and config.predict.calibration is not None:
        yield from _file("predict.calibration", config.predict.calibration)
    if config.task == "calibrate" and config.calibrate.input is not None:
        yield from _dump("calibrate.input", config.calibrate.input)
    for dump in config.guess.against if config.task == "guess" else ():
        yield from _dump("guess.against", dump)
    if config.task == "review":
        if not config.review.inputs and not config.review.people and config.experiment_id is None:
            step = "Give experiment_id=NAME, or review.inputs=[a.npz,b.npz]."
            yield ConfigError("task=review has nothing to review", step)
        for dump in config.review.inputs:
            yield from _dump("review.inputs", dump)
        for file in config.review.people:
            yield from _file("review.people", file)


def _dump(key: str, name: str) -> Iterator[ConfigError]:
    """A dump may also be named by its experiment."""
    path = given_path(name)
    if path.is_file() or path.is_dir() or (EXPERIMENTS / name).is_dir():
        return
    known = sorted(folder.name for folder in EXPERIMENTS.glob("*") if folder.is_dir())
    step = nearest(name, known) if known else f"Give a dump file; {EXPERIMENTS.resolve()} contains no experiment."
    yield ConfigError(f"{key}: {name} does not exist, neither as a file nor as an experiment", step)


def _file(key: str, name: str) -> Iterator[ConfigError]:
    path = given_path(name)
    if path.is_dir():
        yield ConfigError(f"{key}: {name} is a folder", "Name a file in it.")
    elif not path.is_file():
        yield ConfigError(f"{key}: {name} does not exist", _look(path))


def _data(name: str) -> Iterator[ConfigError]:
    path = given_path(name)
    if os.path.exists(path) or next(iglob(glob_pattern(path)[1], recursive=True), None):  # noqa: PTH110, PTH207 - as the folder data module does
        return
    what = "matches nothing" if has_magic(name) else "does not exist"
    yield ConfigError(f"datamodule.path={name} {what}", _look(path))


def _look(path: Path) -> str:
    """The next step for a missing path, which names the deepest folder that exists."""
    there = next((parent for parent in path.parents if parent.is_dir()), Path())
    return f"Correct the path: {there.resolve()} contains no {path.relative_to(there).parts[0]}."
