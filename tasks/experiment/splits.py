"""The images an experiment trains, validates and tests on: recorded at its start, compared by later commands."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml
from numpy.typing import NDArray

from contracts.errors import DataError
from contracts.files import write_atomically
from contracts.process.ranks import rank_zero_only
from contracts.stage import Rows, Stage
from datamodules.tables.manifest import Manifest
from tasks.experiment.run import LOCK
from tasks.experiment.stage_rows import rows_of

FILE = "splits.parquet"
"""In an experiment's folder: ``id``, ``label`` and ``role`` (train, valid, test, or "" for unused) of every image."""
SHOWN = 3

logger = logging.getLogger(__name__)


@rank_zero_only
def _warn(text: str) -> None:
    logger.warning("%s", text)


def roles(manifest: Manifest, stages: Sequence[Stage]) -> NDArray[np.object_]:
    """[N] role of each image: train if any stage trains on it, else valid, else test."""
    found = np.where(manifest.column("split") == "test", "test", "").astype(object)
    for field, role in (("validate", "valid"), ("train", "train")):
        for stage in stages:
            found[rows_of(stage)[field]] = role
    return found


@dataclass(frozen=True)
class Changes:
    """Differences between the current images and the recorded ones."""

    before: NDArray[np.object_]
    """[N] recorded role of each row of the current manifest; None for an image that is not recorded."""
    relabelled: Rows  # rows whose label changed
    gone: Mapping[str, str]  # ids of missing images, with their recorded role


def record(folder: Path, manifest: Manifest, stages: Sequence[Stage]) -> None:
    """Records the role of each image, unless it is recorded already.

    An experiment started by a version without this file does not get one, since its first training images are unknown.
    """
    if (folder / FILE).is_file() or any(folder.glob("window_*")):
        return
    table = {"id": manifest.table["id"], "label": manifest.table["label"], "role": pa.array(roles(manifest, stages))}
    out = pa.BufferOutputStream()
    pq.write_table(pa.table(table), out, compression="zstd")
    write_atomically(folder / FILE, out.getvalue().to_pybytes())


def refuse_changed_training(folder: Path, manifest: Manifest, stages: Sequence[Stage]) -> None:
    """Checks that an experiment continues with its original training and validation images.

    Raises:
        DataError: one is new, missing, relabelled or has another role.
    """
    changes = _changes(folder, manifest)
    if changes is None:
        return
    now, used = roles(manifest, stages), ("train", "valid")
    ids = manifest.column("id")
    new = [row for row in _none(changes.before) if now[row] in used]
    moved = [
        row
        for row in np.flatnonzero((now != changes.before) & (changes.before != None))  # noqa: E711 - of an array
        if now[row] in used or changes.before[row] in used
    ]
    gone = [f"{name} ({role})" for name, role in changes.gone.items() if role in used]
    relabelled = [row for row in changes.relabelled if now[row] in used]
    parts = [
        _part("have another role", [_move(ids[row], changes.before[row], now[row]) for row in moved]),
        _part("are new", [f"{ids[row]} ({now[row]})" for row in new]),
        _part("are missing", gone),
        _part("have another label", [str(ids[row]) for row in relabelled]),
    ]
    if any(parts):
        raise DataError(
            f"the training and validation images differ from those that {folder} was started with ({folder / FILE}):"
            + "".join(parts),
            "Restore the original data, or start a new experiment with another experiment_id.",
        )


def refuse_trained(
    checkpoint: Path, manifest: Manifest, rows: Rows, resolved: Mapping[str, Any], *, roles: Sequence[str], verb: str
) -> None:
    """Checks that no image to be scored was used to train the weights.

    Args:
        checkpoint: with the weights; the record of the experiment whose folder contains it is used.
        manifest: the current one.
        rows: to be scored.
        resolved: the current configuration. If it names other data than the experiment's, ids may be equal by chance: a
            leak is then a warning instead of an error.
        roles: recorded roles that must not be among the rows.
        verb: the task, for messages.

    Raises:
        DataError: an image has one of the roles.
    """
    folder = checkpoint.absolute().parents[2] if len(checkpoint.absolute().parents) > 2 else checkpoint.parent
    changes = _changes(folder, manifest)
    if changes is None:
        return
    ids = manifest.column("id")
    leaked = [row for row in rows.tolist() if changes.before[row] in roles]
    same = _same_data(folder, resolved)
    if leaked:
        used = " or ".join({"train": "trained", "valid": "validated"}[role] for role in roles)
        what = f"{len(leaked)} of {len(rows)} images to {verb} are images that {folder} was {used} on" + _part(
            "have another role", [_move(ids[row], changes.before[row], verb) for row in leaked]
        )
        file = folder / FILE
        if same:
            raise DataError(
                f"{what}\n    ({file} lists all of them)",
                "Restore the data with which the experiment was started; or train a new experiment on the current "
                "data: task=fit with another experiment_id.",
            )
        _warn(
            f"{what}\n    datamodule.path differs from the experiment's: if these are the same images, and not "
            "others with the same ids, the results are invalid."
        )
    elif same:
        _warn_changed_tests(folder, manifest, changes)


def _warn_changed_tests(folder: Path, manifest: Manifest, changes: Changes) -> None:
    ids, tested = manifest.column("id"), manifest.column("split") == "test"
    parts = [
        _part("are new", [str(ids[row]) for row in _none(changes.before) if tested[row]]),
        _part("are missing", [name for name, role in changes.gone.items() if role == "test"]),
        _part("are no longer tested", [str(ids[row]) for row in np.flatnonzero(~tested & (changes.before == "test"))]),
        _part("have another label", [str(ids[row]) for row in changes.relabelled if tested[row]]),
    ]
    if any(parts):
        _warn(
            f"the test images differ from those with which {folder} was started:{''.join(parts)}\n  → Compare its "
            "results only with results on the same images."
        )


def _changes(folder: Path, manifest: Manifest) -> Changes | None:
    """Differences from the record; None if there is no record."""
    file = folder / FILE
    if not file.is_file():
        return None
    try:
        table = pq.read_table(file, columns=["id", "label", "role"])
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"{file} cannot be read: {error}", "Restore it; it is the only record of the training images."
        ) from error
    recorded = table["id"].combine_chunks()
    place = np.asarray(pc.index_in(manifest.table["id"], value_set=recorded).fill_null(-1).to_numpy())
    role = np.array([*table["role"].to_pylist(), None], dtype=object)  # place -1: not recorded
    label = np.append(table["label"].to_numpy(), -2)
    relabelled = np.flatnonzero((place >= 0) & (label[place] != manifest.labels)).astype(np.int64)
    lost = np.ones(len(table), bool)
    lost[place[place >= 0]] = False
    missing = np.flatnonzero(lost)
    gone = dict(zip(recorded.take(pa.array(missing)).to_pylist(), role[missing].tolist(), strict=True))
    return Changes(role[place], relabelled, gone)


def _same_data(folder: Path, resolved: Mapping[str, Any]) -> bool:
    """Whether the configuration names the experiment's original data."""
    file = folder / LOCK
    if not file.is_file():
        return False
    original, now = yaml.safe_load(file.read_text(encoding="utf-8"))["config"]["datamodule"], resolved["datamodule"]
    places = [Path(str(node.get("path", ""))).expanduser().resolve() for node in (original, now)]
    return original.get("_target_") == now.get("_target_") and places[0] == places[1]


def _none(before: NDArray[np.object_]) -> list[int]:
    return [row for row, role in enumerate(before.tolist()) if role is None]


def _move(name: object, before: object, now: object) -> str:
    return f"{name}: {before or 'unused'} → {now or 'unused'}"


def _part(what: str, found: Sequence[str]) -> str:
    """A line with the number of images and the first of them; "" if there are none."""
    if not found:
        return ""
    return f"\n    {len(found)} {what}: {', '.join(found[:SHOWN])}{', …' if len(found) > SHOWN else ''}"
