"""Images listed in a text file or a table."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from contracts.errors import DataError, nearest
from contracts.names import as_path, as_text, utf8_path
from contracts.words import counted
from datamodules.folders.names import LABELS
from datamodules.tables.columns import as_labels, as_splits
from datamodules.tables.text_tables import SINGLE_BYTE, Text, TextTable, read_table, read_text

PATH_COLUMNS = (
    "path", "file", "filename", "image", "file_name", "filepath", "file_path", "image_path", "img_path", "img",
)  # fmt: skip
COLUMNS = ("id", "label", "generator", "source", "split", "group")
LABEL_NAMES = {
    "": -1, "-1": -1, "-1.0": -1, "0": 0, "0.0": 0, "false": 0, "1": 1, "1.0": 1, "true": 1, "unknown": -1,
} | LABELS  # fmt: skip
"""Label values accepted without a map: numbers, booleans (true for generated), and class folder names of trees."""
SHOWN = 20

Columns = dict[str, Sequence[Any]]


def candidates(listing: Path, name: str, text: Text) -> Iterator[tuple[str, Path]]:
    """Id and path of the files that a name may mean, most likely first: beside the list, then in the working directory.

    A name is tried as written; without surrounding spaces; without quotes; with backslashes as slashes; as the list's
    bytes, if it is not UTF-8; and as `contracts.names.as_text` writes names.
    """
    bare = name.strip()
    spellings = [(name, utf8_path(name)), (bare, utf8_path(bare))]
    if len(bare) > 2 and bare[0] == bare[-1] and bare[0] in "\"'":
        spellings.append((bare[1:-1], utf8_path(bare[1:-1])))
    if "\\" in bare:
        spellings.append((bare, utf8_path(bare.strip('"').replace("\\", "/"))))
        spellings.append((bare, as_path(bare)))
    if text.guessed:
        for codec in SINGLE_BYTE:
            try:
                raw = Path(os.fsdecode(bare.encode(codec)))
            except UnicodeEncodeError:
                continue
            spellings.append((as_text(raw), raw))
    for spelling, path in spellings:
        for place in (listing.parent / path, path):
            if spelling and os.path.isfile(place):  # noqa: PTH113 - False for names that no system allows
                yield spelling, place


def read_list(path: Path) -> Columns:
    """Ids and paths of the images listed in a text file, one per line.

    Empty lines are skipped, and those that begin with ``#`` unless such a file exists. A list that begins with the
    header of a table is read as a table, with `table_columns`.

    Raises:
        DataError: files are missing; the error lists them.
    """
    text = read_text(path)
    names = [line for line in text.lines if line.strip()]
    names = [name for name in names if not name.lstrip().startswith("#") or next(candidates(path, name, text), None)]
    return _located(path, names, text)


def is_table(path: Path) -> bool:
    """Whether a file is a table by its suffix, or begins with the header of one."""
    if path.suffix.lower() in (".csv", ".tsv", ".tab"):
        return True
    first = next((line for line in read_text(path).lines if line.strip()), "")
    cells = next((first.split(mark) for mark in "\t;,|" if mark in first), [])
    header = {cell.strip(' "').lower() for cell in cells}
    return bool(header & set(PATH_COLUMNS)) and bool(header & set(COLUMNS))


def table_columns(
    path: Path,
    columns: Mapping[str, str | None],
    labels: Mapping[Any, int] | None,
    splits: Mapping[str, str],
) -> Columns:
    """A table's columns under our names; see `datamodules.folder.FolderDataModule`.

    Raises:
        DataError: files are missing (the error lists them), there is no column of paths, a requested column is missing,
            or a label or split has no known meaning.
    """
    table = read_table(path, (*PATH_COLUMNS, *COLUMNS, *(name.lower() for name in columns.values() if name)))
    found = _found_columns(table, columns)
    made = _located(path, [row[table.header.index(found["path"])] for row in table.rows], table.text)
    given = {ours: table.column(name) for ours, name in found.items() if ours not in ("path", "label", "split")}
    if "label" in found:
        made["label"] = _labels(table, found["label"], labels)
    if "split" in found:
        values = [value if value in splits else value.lower() for value in table.column(found["split"])]
        made["split"] = as_splits(values, splits, f"{path}: column {found['split']!r}")
    if "generator" in given and "label" in made:
        given["generator"] = [
            "" if label == 0 else name for name, label in zip(given["generator"], made["label"], strict=True)
        ]
    return made | given


def _found_columns(table: TextTable, columns: Mapping[str, str | None]) -> dict[str, str]:
    """Our column names → the table's, for existing columns; "" in the map omits one."""
    found: dict[str, str] = {}
    for ours, name in columns.items():
        theirs = table.find(name) if name else None
        if name and theirs is None:
            raise DataError(
                f"{table.path} has no column {name!r} (datamodule.columns.{ours})", nearest(name, table.header)
            )
        if theirs is not None:
            found[ours] = theirs
    for ours in COLUMNS:
        theirs = table.find(ours)
        if theirs is not None and columns.get(ours) is None:
            found[ours] = theirs
    if "path" not in found:
        paths = [name for name in map(table.find, PATH_COLUMNS) if name is not None]
        if len(paths) != 1:
            raise DataError(
                f"{table.path} has {'several columns' if paths else 'no column'} of paths among "
                f"{', '.join(table.header) or 'nothing'}",
                f"Name one column {' or '.join(PATH_COLUMNS[:4])} in a header line, or give "
                "datamodule.columns.path=NAME.",
            )
        found["path"] = paths[0]
    return found


def _labels(table: TextTable, name: str, labels: Mapping[Any, int] | None) -> Sequence[int]:
    values = table.column(name)
    if labels is not None:
        column = pa.chunked_array([pa.array(values, pa.string())])
        found: list[int] = as_labels(column, labels, None, f"{table.path}: column {name!r}").tolist()
        return found
    for place, value in enumerate(values):
        if value.lower() not in LABEL_NAMES:
            raise DataError(
                f"{table.path}: row {place + 2}, line {table.numbers[place]} has label {value!r}",
                f"{nearest(value.lower(), LABEL_NAMES.keys() - {''})} Or set the meaning of each label: "
                f"'datamodule.labels={{{value}: ?, …}}'.",
            )
    return [LABEL_NAMES[value.lower()] for value in values]


def _located(listing: Path, names: Sequence[str], text: Text) -> Columns:
    """Ids as written and paths of listed files."""
    ids: list[str] = []
    places: list[str] = []
    missing: list[str] = []
    for name in names:
        found = next(candidates(listing, name, text), None)
        if found is None:
            missing.append(name.strip())
            continue
        spelling, place = found
        ids.append(spelling)
        places.append(as_text(place))
    if missing:
        shown = "\n    ".join(missing[:SHOWN]) + (
            f"\n    … and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        )
        step = f"Paths must be relative to {listing.parent} or to the working directory, or absolute."
        if text.guessed and not all(name.isascii() for name in missing):
            step += f" The file was read as {text.encoding}; save it as UTF-8 if letters look wrong here."
        elif any(mark in name for name in missing for mark in "\t;,"):
            step += " Each line must be only a path; a table needs a header line, such as path,label."
        raise DataError(f"{listing} lists {counted(len(missing), 'missing file')}:\n    {shown}", step)
    return {"id": ids, "where": places}
