"""The tracer's table: one line per image."""

from pathlib import Path
from typing import Any

from contracts.errors import DataError, nearest
from contracts.names import as_text
from datamodules.folders.listed import candidates
from datamodules.tables.text_tables import read_table as read_any

COLUMNS = ("path", "id", "label", "split", "class")
SPLITS = {"": "test", "train": "train", "val": "valid", "valid": "valid", "validation": "valid", "test": "test"}


def read_table(path: Path) -> dict[str, list[Any]]:
    """Columns ``id, where, split, name, class_label`` of a table; paths are relative to it.

    Raises:
        DataError: the table or one of its files is missing, a column is
            unknown, or a split or class number is invalid; the error names file, line and value.
    """
    if not path.is_file():
        raise DataError(f"datamodule.path={path}: no such table", "Check the path.")
    table = read_any(path, COLUMNS)
    for name in table.header:
        if name.lower() not in COLUMNS:
            raise DataError(f"{path}: column {name!r} is unknown", nearest(name, COLUMNS))
    cells = {name: table.column(theirs) for name in COLUMNS if (theirs := table.find(name)) is not None}
    if "path" not in cells:
        raise DataError(
            f"{path}: no column 'path' among {', '.join(table.header) or 'nothing'}", "Name the images' files."
        )
    columns: dict[str, list[Any]] = {"id": [], "where": [], "split": [], "name": [], "class_label": []}
    for place, line in enumerate(table.numbers):
        row = {name: values[place] for name, values in cells.items()}
        found = next(candidates(path, row["path"], table.text), None)
        if found is None:
            raise DataError(
                f"{path}: line {line}: {path.parent / row['path']} does not exist", "Paths are relative to the table."
            )
        split, number = row.get("split", "").lower(), row.get("class", "")
        if split not in SPLITS:
            raise DataError(f"{path}: line {line}: split {split!r} is unknown", nearest(split, SPLITS))
        if number and not (number.isascii() and number.isdigit()):
            raise DataError(
                f"{path}: line {line}: class {number!r} is not a number", "Give the generator's class number."
            )
        columns["id"].append(row.get("id") or found[0])
        columns["where"].append(as_text(found[1]))
        columns["split"].append(SPLITS[split])
        columns["name"].append(row.get("label", ""))
        columns["class_label"].append(int(number) if number else -1)
    return columns
