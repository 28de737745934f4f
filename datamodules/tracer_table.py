"""The tracer's CSV table: one line an image."""

import csv
from pathlib import Path
from typing import Any

from contracts.errors import DataError, nearest

COLUMNS = ("path", "id", "label", "split", "class")
SPLITS = {"": "test", "train": "train", "val": "valid", "valid": "valid", "validation": "valid", "test": "test"}


def read_table(path: Path) -> dict[str, list[Any]]:
    """Columns ``id, where, split, name, class_label`` of a table; paths are relative to it.

    Raises:
        DataError: naming the file, the line and the value, if the table or a file of it is missing, a column is
            unknown, or a split or class number cannot be understood.
    """
    if not path.is_file():
        raise DataError(f"datamodule.path={path}: no such table", "Check the path.")
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        header = list(reader.fieldnames or [])
        rows = list(reader)
    for name in header:
        if name not in COLUMNS:
            raise DataError(f"{path}: column {name!r} is unknown", nearest(name, COLUMNS))
    if "path" not in header:
        raise DataError(f"{path}: no column 'path' among {', '.join(header) or 'nothing'}", "Name the images' files.")
    columns: dict[str, list[Any]] = {"id": [], "where": [], "split": [], "name": [], "class_label": []}
    for line, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise DataError(f"{path}: line {line} has not {len(header)} cells", "Quote cells that hold commas.")
        where = path.parent / row["path"]
        if not where.is_file():
            raise DataError(f"{path}: line {line}: {where} does not exist", "Paths are relative to the table.")
        split, number = row.get("split", ""), row.get("class", "")
        if split not in SPLITS:
            raise DataError(f"{path}: line {line}: split {split!r} is unknown", nearest(split, SPLITS))
        if number and not number.isdigit():
            raise DataError(f"{path}: line {line}: class {number!r} is no number", "Give the generator's class number.")
        columns["id"].append(row.get("id") or row["path"])
        columns["where"].append(str(where))
        columns["split"].append(SPLITS[split])
        columns["name"].append(row.get("label", ""))
        columns["class_label"].append(int(number) if number else -1)
    return columns
