"""Any Parquet set with an image column and a label column, such as those of the Hugging Face hub."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from contracts.errors import ConfigError, DataError, nearest
from contracts.names import as_text
from contracts.words import counted
from datamodules.arrow.files import ARROW, TableFile, base_folder, named_split, open_table, table_files
from datamodules.arrow.shards import ArrowStore
from datamodules.arrow.stream import ParquetStreamStore
from datamodules.image_datamodule import ImageDataModule
from datamodules.loading.cells import check_image_column
from datamodules.loading.options import Loading
from datamodules.tables.carried import joined, plain
from datamodules.tables.columns import (
    are_texts,
    as_labels,
    as_sizes,
    as_splits,
    as_texts,
    checked_maps,
    class_names,
    whole_number,
)
from datamodules.tables.encoding import each, is_text, one_dictionary, repeated, with_nul
from datamodules.tables.folds import fold_splits
from datamodules.tables.manifest import SPLITS, Manifest

logger = logging.getLogger(__name__)

COLUMNS: dict[str, str | None] = {"id": "id", "image": "image", "label": "label"}
"""Default: the columns of the aiornot competition."""

TEXTS = ("generator", "source", "group", "split")
SIZES = ("width", "height")
FILLED = ("label", "split", "where", "row", *SIZES)  # Columns that are converted file by file

OWN = ("where", "row", "format", "origin", "origin_row")
"""Columns that are filled in here or when a prepared file is read."""


class ParquetDataModule(ImageDataModule):
    """Images in a column of one or many Parquet files.

    Args:
        path: a file, a folder (all ``*.parquet`` below it), or a glob.
        columns: our column names → the data set's: ``id image label generator source split group width height``, and
            any further column to keep. ``image`` is required. Without ``id``, ids are made of file and row; without
            ``label``, all labels are unknown; integer columns ``width`` and ``height`` are used if they exist.
        labels: values or class names of the label column → 0 real, 1 generated, -1 unknown. Required for
            names and for other numbers.
        splits: the data set's split names → ours.
        root: folder of the files named by rows without bytes; the folder of ``path`` by default.
        fold_seed: random seed of the stratified 70/10/20 folds that are made if there is no split column; a group
            column keeps the rows of a group together.
        **loading: as `ImageDataModule`.

    Raises:
        ConfigError: a label or split map has a value that is not a label or split, or no image column is named.
    """

    def __init__(
        self,
        path: str | Path,
        columns: Mapping[str, str | None] | None = None,
        labels: Mapping[Any, int] | None = None,
        splits: Mapping[str, str] | None = None,
        root: str | Path | None = None,
        fold_seed: int = 0,
        **loading: Unpack[Loading],
    ) -> None:
        super().__init__(path, **loading)
        self.columns = {
            ours: str(name) for ours, name in (COLUMNS if columns is None else columns).items() if name is not None
        }
        self.labels, self.splits = checked_maps(labels, splits)
        self.root = Path(root).expanduser() if root else None
        self.fold_seed = fold_seed
        if "image" not in self.columns:
            raise ConfigError("datamodule.columns names no image column", "Give datamodule.columns.image=NAME.")
        if reserved := set(OWN) & self.columns.keys():
            name = min(reserved)
            raise ConfigError(
                f"datamodule.columns.{name} is reserved", f"Use another name: datamodule.columns.my_{name}=…"
            )

    def build_manifest(self) -> Manifest:
        """Read all columns except the images.

        Raises:
            DataError: no file is found or one is not Parquet; a column is missing (the error gives similar names), or
                has a type unsuitable for its purpose; ids repeat; labels or splits have no known meaning.
        """
        files = [open_table(file) for file in self.files()]
        flat = not self.path.is_dir() and len({file.path.name for file in files}) == len(files)
        parts = [self._part(file, flat) for file in files]
        columns: dict[str, Any] = {}
        for name in dict.fromkeys(name for part in parts for name in part):
            columns[name] = self._joined(name, {str(f.path): p[name] for f, p in zip(files, parts, strict=True)})
        label = columns["label"]
        if "generator" in columns:
            columns["generator"] = _of_generated(columns["generator"], label)
        self._warn_of_unused(files[0])
        if "split" not in columns:
            named = self._named_splits(files, label.to_numpy() >= 0)
            columns["split"] = self._folds(label, columns.get("group")) if named is None else named
        try:
            return Manifest.from_columns(columns)
        except DataError:
            _refuse_repeated(columns)
            raise

    def _warn_of_unused(self, file: TableFile) -> None:
        """Warn of unused columns with names of ours: a data set's own split is rarely ignored on purpose."""
        unused = [name for name in TEXTS if name in file.names and name not in self.columns]
        if unused:
            folds = ", so the rows are divided into folds" if "split" in unused else ""
            logger.warning(
                "%s has unused columns%s: %s\n  → To use one, set e.g. datamodule.columns.%s=%s.",
                as_text(str(self.path)), folds, ", ".join(unused), unused[-1], unused[-1],
            )  # fmt: skip

    def _folds(self, labels: pa.ChunkedArray, groups: pa.ChunkedArray | None) -> list[str]:
        """Folds; or no splits for a data set too small for them, which can still be scored and audited."""
        try:
            folds = fold_splits(labels.to_numpy(), None if groups is None else groups.to_pylist(), self.fold_seed)
        except DataError as error:
            logger.warning("%s: no image has a split: %s", self.path, error)
            return [""] * len(labels)
        self.folded = True
        return folds

    def _named_splits(self, files: Sequence[TableFile], known: NDArray[np.bool_]) -> pa.ChunkedArray | None:
        """The splits named by files or folders, if they name more than one that has labels; ``known`` [N] has them."""
        named = {file.path: named_split(file.path, self._base, self.splits) for file in files}
        parts = np.split(known, np.cumsum([file.rows for file in files])[:-1])
        found = {split for file, part in zip(files, parts, strict=True) if (split := named[file.path]) and part.any()}
        # the folders of a DatasetDict are splits under any name
        folders = {file.path.parent for file in files} if files[0].path.suffix == ARROW else set()
        if len(found) < 2 and len(folders) < 2:  # a single split is divided into folds
            return None
        if unnamed := [file for file, split in named.items() if split is None]:
            name = unnamed[0].parent.name if folders else unnamed[0].stem
            raise DataError(
                f"{unnamed[0]} has no known split in its name, but other files have: {', '.join(sorted(found))}",
                f"Name its split: '+datamodule.splits.{name}=train'. Or exclude it with a glob, or name a split "
                "column: datamodule.columns.split=NAME.",
            )
        if len(found) < 2:
            return None
        rows = {name: sum(file.rows for file in files if named[file.path] == name) for name in SPLITS if name}
        counts = ", ".join(f"{name} {count}" for name, count in rows.items() if count)
        logger.warning("%s: splits are taken from the file names: %s", self.path, counts)
        return pa.chunked_array([repeated(named[file.path] or "", file.rows) for file in files])

    def build_store(self, manifest: Manifest) -> ParquetStreamStore | ArrowStore:
        """Read the image column, and files that it names below the root."""
        store = ArrowStore if self.files()[0].suffix == ARROW else ParquetStreamStore
        return store(manifest, str(self.columns["image"]), self.root or self._base)

    @property
    def _base(self) -> Path:
        return base_folder(self.path)

    def files(self) -> list[Path]:
        """The Parquet files, sorted, or the shards that ``save_to_disk`` wrote.

        Raises:
            DataError: there is no such file.
        """
        return table_files(self.path, self.ignored)

    def _part(self, file: TableFile, flat: bool) -> dict[str, Any]:
        """Our columns of one file; texts and further columns stay unconverted. ``flat``: file names are unique."""
        self._check_columns(file)
        wanted = {ours: name for ours, name in self._found(file) if ours != "image"}
        repeating = [name for ours, name in wanted.items() if ours in TEXTS]
        table, count, part = file.read(list(wanted.values()), repeating), file.rows, dict[str, Any]()
        for ours, name in wanted.items():
            place = f"{file.path}: column {name!r}"
            step = f"Ignore it: datamodule.columns.{ours}=null."
            column = plain(file.column(table, name), place, step, dictionaries=ours in TEXTS)
            if ours in FILLED and name in file.partitions and name not in file.schema.names:
                column = whole_number(column)
            part[ours] = self._column(ours, column, class_names(file.schema, name), place)
        name = file.path.name if flat else file.path.relative_to(self._base).as_posix()
        rows = pa.array(np.arange(count))
        if "id" not in part:
            part["id"] = pa.chunked_array([pc.binary_join_element_wise(as_text(name), rows.cast(pa.string()), ":")])
        part.setdefault("label", pa.repeat(pa.scalar(-1, pa.int8()), count))
        for size in SIZES:
            part.setdefault(size, pa.repeat(0, count))
        return part | {"where": repeated(as_text(file.path), count), "row": rows}

    def _column(self, ours: str, column: pa.ChunkedArray, names: list[str] | None, place: str) -> Any:
        if ours == "label":
            return pa.array(as_labels(column, self.labels, names, place))
        if ours == "split":
            found = one_dictionary(as_texts(column, names, place))
            splits = as_splits(found.dictionary.to_pylist(), self.splits, place)
            if len(set(splits)) == len(splits):
                return pa.DictionaryArray.from_arrays(found.indices, pa.array(splits, pa.string()))
            return pa.array(splits, pa.string()).take(found.indices).dictionary_encode()
        if ours in SIZES:
            return as_sizes(column, place)
        if ours == "id":
            empty = np.flatnonzero(_is_empty(column).to_numpy())
            if len(empty):
                raise DataError(f"{place} is empty in row {empty[0]}", "Fill it, or set datamodule.columns.id=null.")
        if ours in TEXTS and names:
            return as_texts(column, names, place)
        return column

    def _joined(self, name: str, parts: Mapping[str, Any]) -> Any:
        """One column of all files; bytes in ids and groups are converted the same way in each."""
        if name in ("id", *TEXTS) and name != "split":
            hexed = not all(are_texts(column) for column in parts.values())
            texts = [as_texts(column, None, f"{file}: {name!r}", hexed) for file, column in parts.items()]
            kinds = {column.type for column in texts}
            texts = texts if len(kinds) == 1 else [column.cast(pa.string()) for column in texts]
            found = pa.chunked_array([chunk for column in texts for chunk in column.chunks], texts[0].type)
            once = found if name == "id" else one_dictionary(found)
            bad = with_nul(found if name == "id" else pa.chunked_array([once.dictionary]))
            if len(bad):
                raise DataError(
                    f"{self.path}: {name} {bad[0].as_py()!r} contains a NUL, which would cut the text short in dumps",
                    "Remove the NUL.",
                )
            return once
        if name in FILLED:
            arrays = [part.chunks if isinstance(part, pa.ChunkedArray) else [part] for part in parts.values()]
            flat = [chunk for chunks in arrays for chunk in chunks]
            if name == "split":  # numbered by various types
                flat = [chunk.cast(pa.dictionary(pa.int64(), pa.string())) for chunk in flat]
                return one_dictionary(pa.chunked_array(flat))
            return pa.chunked_array(flat)
        return joined(parts, name)

    def _found(self, file: TableFile) -> Iterator[tuple[str, str]]:
        yield from self.columns.items()
        schema = file.schema
        for name in SIZES:
            kinds = [field.type for field in schema if field.name == name and name not in self.columns]
            if len(kinds) == 1 and pa.types.is_integer(kinds[0]):
                yield name, name

    def _check_columns(self, file: TableFile) -> None:
        for ours, name in self.columns.items():
            if name not in file.names or (ours == "image" and name not in file.schema.names):
                step = nearest(name, file.names)
                without = f" Or give datamodule.columns.{ours}=null." if ours in COLUMNS and ours != "image" else ""
                raise DataError(
                    f"{file.path} has no column {name!r} (datamodule.columns.{ours})",
                    step[0].upper() + step[1:] + without,
                )
        image = self.columns["image"]
        file.read([image] if file.schema.names.count(image) > 1 else [])
        check_image_column(file.schema.field(image).type, f"{file.path}: column {image!r}")


def _of_generated(generators: pa.DictionaryArray, labels: pa.ChunkedArray) -> pa.Array:
    """The generators, "" where the label is not 1."""
    made = labels.to_numpy() == 1
    named = each(pa.chunked_array([generators]), lambda texts: pc.not_equal(texts, ""))
    return pc.if_else(pa.array(made), generators.cast(pa.string()), "") if (named & ~made).any() else generators


def _is_empty(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Which values are nulls, empty texts or no bytes."""
    texts = is_text(column.type) or pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)
    none = pc.is_null(column)
    return pc.or_(none, pc.equal(pc.binary_length(column), 0).fill_null(False)) if texts else none


def _refuse_repeated(columns: Mapping[str, pa.ChunkedArray]) -> None:
    """Raise a DataError that lists repeated ids with their places."""
    places: dict[str, list[str]] = {}
    for name, where, row in zip(*(columns[name].to_pylist() for name in ("id", "where", "row")), strict=True):
        places.setdefault(name, []).append(f"{where}[{row}]")
    again = {name: found for name, found in places.items() if len(found) > 1}
    if not again:
        return
    shown = "".join(f"\n    {name!r}: {', '.join(found[:4])}" for name, found in list(again.items())[:5])
    raise DataError(
        f"{counted(len(again), 'id')} {'occurs' if len(again) == 1 else 'occur'} more than once:{shown}",
        "Remove the copies, or use file and row as ids: datamodule.columns.id=null.",
    )
