"""Converts columns of users' tables: texts, labels by an explicit map, splits by their names."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from contracts.errors import ConfigError, DataError, nearest
from contracts.words import counted
from datamodules.tables.manifest import SPLITS

LABELS = (-1, 0, 1)
SPLIT_NAMES = {"validation": "valid", "val": "valid", "dev": "valid"}
"""Split names of users' tables that are accepted without a map."""


def class_names(schema: pa.Schema, column: str) -> list[str] | None:
    """Names of a Hugging Face ``ClassLabel`` column, from the schema's metadata; None for other columns."""
    try:
        found: Any = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    except ValueError:
        return None  # not Hugging Face metadata
    for name in ("info", "features", column, "names"):
        found = found.get(name) if isinstance(found, dict) else None
    return [str(name) for name in found] if isinstance(found, list) and found else None


def are_texts(column: pa.ChunkedArray) -> bool:
    """Whether all bytes of a binary column are UTF-8; true for all other types."""
    if not _is_binary(column.type):
        return True
    try:
        column.cast(pa.large_string())
    except pa.ArrowInvalid:
        return False
    return True


def as_texts(
    column: pa.ChunkedArray, names: Sequence[str] | None = None, place: str = "the column", hexed: bool | None = None
) -> pa.ChunkedArray:
    """A column as texts, nulls as ""; a dictionary of texts without nulls as it is.

    Args:
        column: texts, numbers, booleans, dates, times or bytes.
        names: class names of a ``ClassLabel``, which replace its integers.
        place: file and column, for messages.
        hexed: whether bytes become hexadecimal digits rather than UTF-8; None for those that are not UTF-8.

    Raises:
        DataError: the column is of a type without a text form, such as lists or structs.
    """
    if isinstance(column.type, pa.UuidType):
        return _column("" if value is None else str(value) for value in column.to_pylist())
    if isinstance(column.type, pa.BaseExtensionType):
        column = column.cast(column.type.storage_type)
    if pa.types.is_dictionary(column.type):
        if column.type.value_type == pa.string() and not column.null_count:
            return column
        column = column.cast(column.type.value_type)
    if names is not None and pa.types.is_integer(column.type):
        return _column("" if v is None or not 0 <= v < len(names) else names[v] for v in column.to_pylist())
    if _is_binary(column.type) and (not are_texts(column) if hexed is None else hexed):
        return _column("" if value is None else value.hex() for value in column.to_pylist())
    try:
        column = column.cast(pa.string())
        column.validate(full=True)
    except pa.ArrowException as error:
        raise DataError(f"{place} is {column.type}, not text: {error}", "Name a column of texts or numbers.") from error
    return column.fill_null("") if column.null_count else column


def _column(texts: Iterable[str]) -> pa.ChunkedArray:
    return pa.chunked_array([list(texts)], pa.string())


def _is_binary(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(
        types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind)
        or types.is_binary_view(kind)
    )  # fmt: skip


def as_labels(
    column: pa.ChunkedArray, labels: Mapping[Any, int] | None, names: Sequence[str] | None, place: str
) -> NDArray[np.int8]:
    """A label column as 0 (real), 1 (generated) and -1 (unknown, as are nulls).

    Without a map, only numbers with this meaning are accepted (0, 1, -1 and booleans, true for generated); names
    are not, since alphabetical order would make ``ai`` real and ``nature`` generated.

    Args:
        column: integers, booleans, whole floats, or anything that `as_texts` reads.
        labels: value or class name → 0, 1 or -1; None if the numbers already are labels.
        names: class names of a ``ClassLabel`` column, or None.
        place: file and column, for messages.

    Raises:
        DataError: a value is not in the map, or has no meaning without a map.
    """
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_floating(column.type):
        column = _whole_numbers(column, place)
    numbers = pa.types.is_integer(column.type) or pa.types.is_boolean(column.type)
    if not numbers:
        column = as_texts(column, place=place)
    named = names is not None and pa.types.is_integer(column.type) and set(names) - {"0", "1"} != set()
    known = {_text(key): value for key, value in labels.items()} if labels is not None else None
    distinct = pc.unique(column)
    values = distinct.to_pylist()
    if known is None and (named or not numbers) and (named or set(values) - {""}):
        found = list(names) if named and names else sorted(set(values) - {""})
        example = ", ".join(f"{name}: {'?'}" for name in found[:4]) + (", …" if len(found) > 4 else "")
        raise DataError(
            f"{place} contains the names {', '.join(map(repr, found[:10]))}",
            f"Set which are real (0) and which generated (1): 'datamodule.labels={{{example}}}'.",
        )
    translated: dict[Any, int] = {None: -1}
    for value in values:
        if value is not None and value != "":
            translated[value] = _label(value, known, names if named else None, place)
    translated[""] = -1
    found = pc.index_in(column, value_set=distinct).to_numpy()
    return np.asarray(np.array([translated[value] for value in values], dtype=np.int8)[found])


def _label(value: Any, known: Mapping[str, int] | None, names: Sequence[str] | None, place: str) -> int:
    if known is None:
        if int(value) not in LABELS:
            raise DataError(
                f"{place} contains {value!r}, which is not 0 (real), 1 (generated) or -1 (unknown)",
                "Map each value to a label: 'datamodule.labels={0: 0, 1: 1, …}'.",
            )
        return int(value)
    if names is not None and value == -1 and "-1" not in known:
        return -1  # Hugging Face's mark for an unlabelled row
    if names is not None and not 0 <= value < len(names):
        raise DataError(f"{place} contains {value}, but there are only {counted(len(names), 'class name')}")
    text = names[value] if names is not None else _text(value)
    if text not in known:
        raise DataError(f"{place} contains {text!r}, which datamodule.labels does not list", nearest(text, known))
    return known[text]


def as_splits(column: Sequence[str], renamed: Mapping[str, str], place: str) -> list[str]:
    """A split column with our split names.

    Raises:
        DataError: a value is neither one of our splits nor renamed.
    """
    translated = {}
    for value in dict.fromkeys(column):
        ours = renamed.get(value, value)
        if ours not in SPLITS:
            raise DataError(
                f"{place} contains {value!r}, which is not a split",
                f"{nearest(value, {*SPLITS, *renamed} - {''})} Rename it: '+datamodule.splits.{value}=train'.",
            )
        translated[value] = ours
    return [translated[value] for value in column]


def as_sizes(column: pa.ChunkedArray, place: str) -> pa.ChunkedArray:
    """A column of widths or heights, nulls as 0 (unknown).

    Raises:
        DataError: a value is not a whole number from 0 to 2³¹ − 1.
    """
    try:
        numbers = column.cast(pa.int64())
        wrong = pc.or_(pc.less(numbers, 0), pc.greater_equal(numbers, 2**31))
        if pc.any(wrong).as_py():
            raise DataError(f"{place} contains {numbers.filter(wrong)[0]}, which is not a size", "Ignore the column.")
    except pa.ArrowException as error:
        raise DataError(f"{place} is not a column of whole numbers: {error}", "Ignore the column.") from error
    return numbers.fill_null(0)


def whole_number(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of texts as whole numbers if all are such (as in a folder ``label=0``); else unchanged."""
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid:
        return column


def checked_maps(
    labels: Mapping[Any, int] | None, splits: Mapping[str, str] | None
) -> tuple[dict[Any, int] | None, dict[str, str]]:
    """Copies of both maps; without a map of splits, the usual names of validation.

    Raises:
        ConfigError: a map has a value that is not a label or not a split.
    """
    labels, splits = dict(labels) if labels else None, dict(SPLIT_NAMES if splits is None else splits)
    for key, value in (labels or {}).items():
        if isinstance(value, bool) or value not in LABELS:
            step = "Give 0 for real, 1 for generated or -1 for unknown."
            raise ConfigError(f"datamodule.labels.{key}={value!r} is not a label", step)
    for key, name in splits.items():
        if name not in SPLITS:
            raise ConfigError(f"datamodule.splits.{key}={name!r} is not a split", nearest(str(name), SPLITS[:3]))
    return labels, splits


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _whole_numbers(column: pa.ChunkedArray, place: str) -> pa.ChunkedArray:
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid as error:
        raise DataError(f"{place} contains fractions: {error}", "Name the column that holds the labels.") from error
