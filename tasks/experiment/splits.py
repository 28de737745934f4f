"""Which images an experiment trains, validates and tests on: recorded when it begins, compared by later commands."""

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
from lightning_utilities.core.rank_zero import rank_zero_only
from numpy.typing import NDArray

from contracts.errors import DataError
from contracts.files import write_atomically
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
    """[N] what each image is used for: training in any stage comes first, then validation, then testing."""
    found = np.where(manifest.column("split") == "test", "test", "").astype(object)
    for field, role in (("validate", "valid"), ("train", "train")):
        for stage in stages:
            found[rows_of(stage)[field]] = role
    return found


@dataclass(frozen=True)
class Changes:
    """How the images of today differ from the recorded ones.

    Attributes:
        before: [N] recorded role of each row of today's manifest; None for an image that was not there.
        relabelled: rows whose label is another.
        gone: ids that are no longer there, with their recorded role.
    """

    before: NDArray[np.object_]
    relabelled: Rows
    gone: Mapping[str, str]


def record(folder: Path, manifest: Manifest, stages: Sequence[Stage]) -> None:
    """Writes down what each image is used for, unless it is recorded already.

    An experiment that was begun by a version without this file does not get one: what its first epochs were trained on
    is not known.
    """
    if (folder / FILE).is_file() or any(folder.glob("window_*")):
        return
    table = {"id": manifest.table["id"], "label": manifest.table["label"], "role": pa.array(roles(manifest, stages))}
    out = pa.BufferOutputStream()
    pq.write_table(pa.table(table), out, compression="zstd")
    write_atomically(folder / FILE, out.getvalue().to_pybytes())


def refuse_changed_training(folder: Path, manifest: Manifest, stages: Sequence[Stage]) -> None:
    """An experiment goes on with the training and validation images it was begun with.

    Raises:
        DataError: one came, went, was relabelled or is used for something else.
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
        _part("are used for something else", [_move(ids[row], changes.before[row], now[row]) for row in moved]),
        _part("are new", [f"{ids[row]} ({now[row]})" for row in new]),
        _part("are gone", gone),
        _part("have another label", [str(ids[row]) for row in relabelled]),
    ]
    if any(parts):
        raise DataError(
            f"the training and validation images are not those that {folder} was begun with ({folder / FILE}):"
            + "".join(parts),
            "Give the data as they were, or begin a new experiment with another experiment_id.",
        )


def refuse_trained(
    checkpoint: Path, manifest: Manifest, rows: Rows, resolved: Mapping[str, Any], *, roles: Sequence[str], verb: str
) -> None:
    """No image is scored that the weights were trained on.

    Args:
        checkpoint: with the weights; where it lies in an experiment's folder, that experiment's record counts.
        manifest: of today.
        rows: what is to be scored.
        resolved: today's configuration. Ids may coincide by chance where it names other data than the experiment was
            begun with: then there is a warning instead of an error.
        roles: recorded roles that must not be among the rows.
        verb: what is done with the rows, for messages.

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
            "are used for something else", [_move(ids[row], changes.before[row], verb) for row in leaked]
        )
        file = folder / FILE
        if same:
            raise DataError(
                f"{what}\n    ({file} has all of them)",
                "Give the data as they were when the experiment was begun; or train a new experiment on the data as "
                "they are: task=fit with another experiment_id.",
            )
        _warn(
            f"{what}\n    The data are not those of the experiment by datamodule.path: if these are the same images "
            "and not others of the same id, the numbers are of no use."
        )
    elif same:
        _warn_changed_tests(folder, manifest, changes)


def _warn_changed_tests(folder: Path, manifest: Manifest, changes: Changes) -> None:
    ids, tested = manifest.column("id"), manifest.column("split") == "test"
    parts = [
        _part("are new", [str(ids[row]) for row in _none(changes.before) if tested[row]]),
        _part("are gone", [name for name, role in changes.gone.items() if role == "test"]),
        _part("are no longer tested", [str(ids[row]) for row in np.flatnonzero(~tested & (changes.before == "test"))]),
        _part("have another label", [str(ids[row]) for row in changes.relabelled if tested[row]]),
    ]
    if any(parts):
        _warn(
            f"the test images are not those that were there when {folder} was begun:{''.join(parts)}\n  → Compare its "
            "numbers only with numbers of the same images."
        )


def _changes(folder: Path, manifest: Manifest) -> Changes | None:
    """What differs from the record; None where there is none."""
    file = folder / FILE
    if not file.is_file():
        return None
    try:
        table = pq.read_table(file, columns=["id", "label", "role"])
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"{file} cannot be read: {error}", "Restore it; without it nobody knows which images were trained on."
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
    """Whether the configuration names the data that the experiment was begun with."""
    file = folder / LOCK
    if not file.is_file():
        return False
    begun, now = yaml.safe_load(file.read_text(encoding="utf-8"))["config"]["datamodule"], resolved["datamodule"]
    places = [Path(str(node.get("path", ""))).expanduser().resolve() for node in (begun, now)]
    return begun.get("_target_") == now.get("_target_") and places[0] == places[1]


def _none(before: NDArray[np.object_]) -> list[int]:
    return [row for row, role in enumerate(before.tolist()) if role is None]


def _move(name: object, before: object, now: object) -> str:
    return f"{name}: {before or 'unused'} → {now or 'unused'}"


def _part(what: str, found: Sequence[str]) -> str:
    """A line that counts and names some; "" where there is none."""
    if not found:
        return ""
    return f"\n    {len(found)} {what}: {', '.join(found[:SHOWN])}{', …' if len(found) > SHOWN else ''}"
