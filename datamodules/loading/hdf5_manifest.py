"""The manifest inside an HDF5 file: a prepared one, or one in the layout of the aiornot notebook."""

import logging
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts.errors import DataError
from contracts.names import as_text
from datamodules.folders.names import SPLITS
from datamodules.loading.stores import GROUP_SEPARATOR
from datamodules.tables.carried import PACKED, as_column, unpack
from datamodules.tables.manifest import SCHEMA, Manifest

logger = logging.getLogger(__name__)

FORMAT = 1
GROUPS = ("train", "valid", "test")
STORED = ("image", "bytes", "offset", "length", "target", PACKED)
"""Datasets of a group that are not columns of the manifest."""


def read_manifest(path: Path) -> Manifest:
    """The manifest of an HDF5 file.

    Raises:
        DataError: the file is missing or not HDF5, was written by a newer version, has none of the three groups, or has
            one without labels or with columns of different lengths.
    """
    if not path.exists():
        raise DataError(f"datamodule.path={path}: no such file", "Give a file written by task=prepare.")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise DataError(f"datamodule.path={path} is not a readable HDF5 file: {error}", "Prepare it again.") from error
    with file:
        version = int(file.attrs.get("pixelproof_format", FORMAT))
        if version > FORMAT:
            raise DataError(
                f"{path} has format {version}, newer than {FORMAT}, the latest this version reads", "Update PixelProof."
            )
        splits = _splits(path, file)
        groups = list(splits.values())
        parts = [_columns(path, split, name, file[name]) for split, name in splits.items()]
    names = list(dict.fromkeys(name for part in parts for name in part))
    for group, part in zip(groups, parts, strict=True):
        if absent := [name for name in names if name not in part]:
            raise DataError(f"{path}: group {group!r} lacks {absent[0]!r}, unlike others", "Prepare it again.")
    return Manifest.from_columns({name: as_column([part[name] for part in parts]) for name in names})


def _splits(path: Path, file: h5py.File) -> dict[str, str]:
    """Splits in our order, with the group of each; names are those of image tree folders, in any case."""
    found: dict[str, str] = {}
    others = []
    for name in file:
        split = SPLITS.get(name.lower())
        if not isinstance(file[name], h5py.Group):
            continue
        if split is None:
            others.append(name)
        elif split in found:
            raise DataError(
                f"{path} has two groups of split {split!r}: {found[split]!r} and {name!r}", "Keep one, or merge them."
            )
        else:
            found[split] = name
    if not found:
        found_names = ", ".join(file) or "nothing"
        raise DataError(
            f"{path} has none of the groups {', '.join(GROUPS)}; it contains {found_names}",
            f"Rename its groups; also accepted: {', '.join(name for name in SPLITS if name not in GROUPS)}.",
        )
    if others:
        logger.warning(
            "%s: ignored, because it is not a split: %s\n  → Name a group %s to have it read.",
            as_text(path), ", ".join(map(repr, others)), ", ".join(GROUPS),
        )  # fmt: skip
    return {split: found[split] for split in GROUPS if split in found}


def _columns(path: Path, split: str, name: str, group: h5py.Group) -> dict[str, Any]:
    place = f"{as_text(path)}{GROUP_SEPARATOR}{name}"
    if "target" not in group:
        raise DataError(f"{place} has no 'target'", "Each group needs 'target', the labels of its images (0 or 1).")
    target = group["target"][:].reshape(-1)
    count = len(target)
    data = group.get("offset", group.get("image", group.get("bytes")))
    if data is None:
        raise DataError(f"{place} has no images", "Each group needs 'image', or 'bytes' with 'offset' and 'length'.")
    found = {column: _values(stored, place) for column, stored in group.items() if column not in STORED}
    columns = {column: values for column, values in found.items() if values is not None}
    if "where" in columns:
        origin = {"origin": columns.pop("where"), "origin_row": columns.pop("row", np.full(count, -1))}
        columns = origin | columns  # if the file was itself prepared from HDF5, the first origin is kept
    if PACKED in group:
        packed = unpack(group[PACKED][:], f"{place}/{PACKED}")
        columns |= {column: packed[column] for column in packed.column_names}
    columns |= {"split": np.full(count, split, object), "where": np.full(count, place, object), "row": np.arange(count)}
    columns.setdefault("id", np.array([f"{name}/{row}" for row in range(count)], object))
    if data.ndim == 4:
        columns["height"], columns["width"] = (np.full(count, side) for side in data.shape[1:3])
    for column, values in {**columns, "image": data}.items():
        if len(values) != count:
            raise DataError(f"{place}: {column!r} has {len(values)} rows, 'target' has {count}", "Prepare it again.")
    labels = target.astype(np.int8)
    if not np.array_equal(labels, target):
        row = int(np.flatnonzero(labels != target)[0])
        raise DataError(f"{place}: target {target[row]} in row {row}", "Labels are 0 (real) or 1 (generated).")
    ordered = [column for column in SCHEMA.names if column in columns]
    return {"label": labels} | {column: columns[column] for column in [*ordered, *sorted(columns.keys() - ordered)]}


def _values(stored: h5py.Dataset | h5py.Group, place: str) -> NDArray[Any] | None:
    """A dataset as a column of the manifest; None, with a warning, if it cannot be one."""
    try:
        if h5py.check_string_dtype(stored.dtype):
            return np.asarray(stored.asstr()[:], object)
        values = stored[:]
        if values.ndim > 1 or values.dtype == object:  # embeddings, lists
            values = np.fromiter((row.tolist() for row in values), object, len(values))
        pa.array(values)
    except (AttributeError, TypeError, ValueError, OSError, pa.ArrowException) as error:
        logger.warning("%s: %r is ignored, because it is not a column of values: %s", place, stored.name, error)
        return None
    return np.asarray(values)
