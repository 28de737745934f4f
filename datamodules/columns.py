"""Columns of somebody's table under our names: texts, labels by an explicit map, splits by theirs."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from contracts.errors import ConfigError, DataError, nearest
from datamodules.manifest import SPLITS

LABELS = (-1, 0, 1)


def class_names(schema: pa.Schema, column: str) -> list[str] | None:
    """Names of a Hugging Face ``ClassLabel`` column, from the schema's metadata; None where it is none."""
    try:
        described = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    except ValueError:
        return None  # not Hugging Face's, whatever it is
    feature = described.get("info", {}).get("features", {}).get(column, {})
    names = feature.get("names") if isinstance(feature, dict) else None
    return [str(name) for name in names] if isinstance(names, list) and names else None


def as_texts(column: pa.ChunkedArray, names: Sequence[str] | None = None) -> list[str]:
    """A column as strings, nulls as ""; integers of a ``ClassLabel`` by name."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if names is not None and pa.types.is_integer(column.type):
        return ["" if v is None or not 0 <= v < len(names) else names[v] for v in column.to_pylist()]
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        column = column.cast(pa.string())
    return [value or "" for value in column.to_pylist()]


def as_labels(
    column: pa.ChunkedArray, labels: Mapping[Any, int] | None, names: Sequence[str] | None, place: str
) -> NDArray[np.int8]:
    """A label column as 0 (real), 1 (generated) and -1 (unknown, as are nulls).

    Without a map only numbers that already mean this are taken (0, 1, -1 and booleans, true for generated); names
    never are, since alphabetical order calls ``ai`` real and ``nature`` generated.

    Args:
        column: integers, booleans or strings.
        labels: from each value, or class name, to 0, 1 or -1; None where the numbers already are labels.
        names: class names of a ``ClassLabel`` column, or None.
        place: file and column, for messages.

    Raises:
        DataError: a value is not in the map, or has no meaning without one.
    """
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_floating(column.type):
        column = _whole_numbers(column, place)
    numbers = pa.types.is_integer(column.type) or pa.types.is_boolean(column.type)
    named = names is not None and pa.types.is_integer(column.type) and set(names) - {"0", "1"} != set()
    known = {_text(key): value for key, value in labels.items()} if labels is not None else None
    if known is None and (named or not numbers):
        found = list(names) if named and names else sorted(set(as_texts(column)) - {""})
        example = ", ".join(f"{name}: {'?'}" for name in found[:4]) + (", …" if len(found) > 4 else "")
        raise DataError(
            f"{place} holds the names {', '.join(map(repr, found[:10]))}",
            f"Say which are real (0) and which generated (1): 'datamodule.labels={{{example}}}'.",
        )
    translated: dict[Any, int] = {None: -1}
    for value in pc.unique(column).to_pylist():
        if value is not None and value != "":
            translated[value] = _label(value, known, names if named else None, place)
    translated[""] = -1
    return np.array([translated[value] for value in column.to_pylist()], dtype=np.int8)


def _label(value: Any, known: Mapping[str, int] | None, names: Sequence[str] | None, place: str) -> int:
    if known is None:
        if int(value) not in LABELS:
            raise DataError(
                f"{place} holds {value!r}, which is none of 0 (real), 1 (generated), -1 (unknown)",
                "Map each value to a label: 'datamodule.labels={0: 0, 1: 1, …}'.",
            )
        return int(value)
    if names is not None and value == -1 and "-1" not in known:
        return -1  # Hugging Face's own mark for an unlabelled row
    if names is not None and not 0 <= value < len(names):
        raise DataError(f"{place} holds {value}, but there are {len(names)} class names")
    text = names[value] if names is not None else _text(value)
    if text not in known:
        raise DataError(f"{place} holds {text!r}, which datamodule.labels does not name", nearest(text, known))
    return known[text]


def as_splits(column: Sequence[str], renamed: Mapping[str, str], place: str) -> list[str]:
    """A split column under our names.

    Raises:
        DataError: a value is neither one of ours nor renamed.
    """
    translated = {}
    for value in dict.fromkeys(column):
        ours = renamed.get(value, value)
        if ours not in SPLITS:
            raise DataError(
                f"{place} holds {value!r}, which is no split",
                f"{nearest(value, {*SPLITS, *renamed} - {''})} Rename it: '+datamodule.splits.{value}=train'.",
            )
        translated[value] = ours
    return [translated[value] for value in column]


def check_maps(labels: Mapping[Any, int] | None, splits: Mapping[str, str]) -> None:
    """Raise a ConfigError where a map leads to something that is no label or no split."""
    for key, value in (labels or {}).items():
        if isinstance(value, bool) or value not in LABELS:
            raise ConfigError(f"datamodule.labels.{key}={value!r} is no label", "0 is real, 1 generated, -1 unknown.")
    for key, name in splits.items():
        if name not in SPLITS:
            raise ConfigError(f"datamodule.splits.{key}={name!r} is no split", nearest(str(name), SPLITS[:3]))


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _whole_numbers(column: pa.ChunkedArray, place: str) -> pa.ChunkedArray:
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid as error:
        raise DataError(f"{place} holds fractions: {error}", "Name the column that holds the labels.") from error
