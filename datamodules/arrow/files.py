"""The files of a table: Parquet, or Arrow folders of ``save_to_disk``; and splits and columns in their names."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from glob import has_magic
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from contracts.errors import DataError
from contracts.names import as_text, glob_pattern
from datamodules.arrow.shards import open_shard, shards, split_folders
from datamodules.folders.names import SPLITS
from datamodules.folders.walk import PassedOver, below, is_hidden, matches, unlisted
from datamodules.loading.arrow_source import arrow_source

ARROW = ".arrow"
KNOWN_SPLITS = SPLITS | {"dev": "valid"}  # Split names of files and folders → ours

HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True)
class TableFile:
    """One file of a table."""

    path: Path  # path of the file
    schema: pa.Schema  # schema of its columns
    rows: int  # number of rows
    partitions: Mapping[str, str | None]
    """Columns given by folder names (``label=0/``) with their value; None for a null."""

    @property
    def names(self) -> list[str]:
        """Columns of the file, followed by those of its folders."""
        return [*self.schema.names, *(name for name in self.partitions if name not in self.schema.names)]

    def column(self, table: pa.Table, name: str) -> pa.ChunkedArray:
        """A column of the table from `read`, or a column of the folders, which holds texts."""
        if name in self.schema.names:
            return table[name]
        return pa.chunked_array([pa.repeat(pa.scalar(self.partitions[name], pa.string()), self.rows)])

    def read(self, names: Sequence[str], repeating: Sequence[str] = ()) -> pa.Table:
        """Read some columns.

        Args:
            names: the columns.
            repeating: those of them whose texts repeat, which Parquet files can give as dictionaries.

        Raises:
            DataError: the file cannot be read, or has a column twice.
        """
        wanted = [name for name in dict.fromkeys(names) if name in self.schema.names]
        for name in wanted:
            if len(self.schema.get_all_field_indices(name)) > 1:
                raise DataError(f"{self.path} has {name!r} twice", "Rename one of the two columns.")
        try:
            if self.path.suffix == ARROW:
                return open_shard(self.path).select(wanted)
            texts = [name for name in repeating if name in wanted and pa.types.is_string(self.schema.field(name).type)]
            return _read_parquet(pq.ParquetFile(arrow_source(self.path), read_dictionary=texts), wanted)
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{self.path} cannot be read: {error}", "Is it a complete Parquet file?") from error


def _read_parquet(file: pq.ParquetFile, names: Sequence[str]) -> pa.Table:
    """Some columns; pyarrow also reads others for a name with a dot or its beginning, which are dropped."""
    try:
        return file.read(columns=names).select(names)
    except pa.ArrowNotImplementedError:  # nested columns that Arrow cannot combine across row groups
        groups = (file.read_row_group(number, columns=names).select(names) for number in range(file.num_row_groups))
        return pa.concat_tables(groups)


def open_table(file: Path) -> TableFile:
    """Open a file without reading its rows.

    Raises:
        DataError: it is neither a Parquet file nor an Arrow stream.
    """
    try:
        if file.suffix == ARROW:
            table = open_shard(file)
            return TableFile(file, table.schema, table.num_rows, partitions(file))
        parquet = pq.ParquetFile(arrow_source(file))
        return TableFile(file, parquet.schema_arrow, parquet.metadata.num_rows, partitions(file))
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise DataError(f"{file} cannot be read: {error}", "Is it a complete Parquet file?") from error


def table_files(path: Path, passed: PassedOver) -> list[Path]:
    """The files, sorted; those of a folder from ``save_to_disk`` in its order.

    Args:
        path: a file, a folder or a glob.
        passed: collects hidden files and folders, which are skipped.

    Raises:
        DataError: there is no such file.
    """
    if path.is_dir():
        others = PassedOver()
        found = below(path, (".parquet",), others)
        if not found and (found := saved(path)):
            others = PassedOver()
            unlisted(path, found, others)
        passed.include(others)
    elif has_magic(str(path)) and not path.exists():
        found = matches(path, passed)[1]
    else:
        found = [path]
    found = [file for file in found if file.is_file()]
    if not found:
        what = "contains no *.parquet file" if path.is_dir() else "matches no file or folder"
        raise DataError(
            f"datamodule.path={path} {what}",
            "Give a Parquet file, a glob, a folder of such files or of save_to_disk.",
        )
    return found


def base_folder(path: Path) -> Path:
    """The folder that file names are relative to: the path, a file's folder, or the last one before a wildcard."""
    if path.is_dir():
        return path
    return path.parent if path.exists() else glob_pattern(path)[0]


def saved(path: Path) -> list[Path]:
    """Shards of all data sets from ``save_to_disk`` in a folder or its subfolders."""
    sets = [path] if (path / "state.json").is_file() or (path / "dataset_dict.json").is_file() else []
    sets = sets or [state.parent for state in sorted(path.glob("*/state.json")) if not is_hidden(state.parent.name)]
    return [file for each in sets for folder in split_folders(each).values() for file in shards(folder)]


def partitions(file: Path) -> dict[str, str | None]:
    """Columns in the names of a file's folders, in Hive's form (``label=0/``)."""
    pairs = [part.split("=", 1) for part in file.parts[:-1] if "=" in part]
    return {as_text(unquote(n)): None if value == HIVE_NULL else as_text(unquote(value)) for n, value in pairs if n}


def named_split(file: Path, base: Path, renamed: Mapping[str, str]) -> str | None:
    """Our name of the split in a file name (``train-00000-of-00001.parquet``) or folder name (``test/``)."""
    known = KNOWN_SPLITS | dict(renamed)
    below = file.relative_to(base).parts if file.is_relative_to(base) else file.parts[-1:]
    for part in (re.split(r"[-_.]", below[-1])[0], file.stem, *reversed(below[:-1])):
        if ours := known.get(part, known.get(part.lower())):
            return ours
    return None
