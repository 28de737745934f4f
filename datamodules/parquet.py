"""Any Parquet set with an image column and a label column, such as those of the Hugging Face hub."""

import logging
from collections.abc import Iterator, Mapping
from glob import has_magic
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from contracts.errors import ConfigError, DataError, nearest
from contracts.names import as_text
from datamodules.columns import as_labels, as_splits, as_texts, check_maps, class_names
from datamodules.decode import MAX_PIXELS, Backend
from datamodules.folds import fold_splits
from datamodules.image_datamodule import ImageDataModule, StartMethod
from datamodules.manifest import Manifest
from datamodules.parquet_stream import ParquetStreamStore
from datamodules.walk import below, matches

logger = logging.getLogger(__name__)

COLUMNS: dict[str, str | None] = {"id": "id", "image": "image", "label": "label"}
"""Where nothing else is said: the columns of the aiornot competition."""

SPLIT_NAMES = {"validation": "valid", "val": "valid", "dev": "valid"}
TEXTS = ("generator", "source", "group", "split")
SIZES = ("width", "height")


class ParquetDataModule(ImageDataModule):
    """Images in a column of one or many Parquet files.

    Args:
        path: a file, a folder (all ``*.parquet`` below it), or a glob.
        columns: our names to the set's: ``id image label generator source split group width height``, and any further
            column to be carried along. ``image`` must be there. Without ``id``, ids are made of file and row; without
            ``label``, all labels are unknown; integer columns ``width`` and ``height`` are used where the set has them.
        labels: what the values or class names of the label column mean: 0 real, 1 generated, -1 unknown. Needed for
            names and for numbers other than these.
        splits: the set's names of splits to ours.
        root: folder that rows without bytes name files in; the folder of ``path`` by default.
        fold_seed: without a split column, the rows are dealt 70/10/20 into stratified folds with this seed; a group
            column keeps the rows of one group together.
        batch_size: as `ImageDataModule`, as are all that follow.
        eval_batch_size: as above.
        num_workers: as above.
        seed: as above.
        decoder: as above.
        max_pixels: as above.
        max_failures: as above.
        prefetch: as above.
        start_method: as above.

    Raises:
        ConfigError: a label or split map leads to something else, or no image column is named.
    """

    def __init__(
        self,
        path: str | Path,
        columns: Mapping[str, str | None] | None = None,
        labels: Mapping[Any, int] | None = None,
        splits: Mapping[str, str] | None = None,
        root: str | Path | None = None,
        fold_seed: int = 0,
        batch_size: int = 32,
        eval_batch_size: int | None = None,
        num_workers: int = 0,
        seed: int = 0,
        decoder: Backend = "torchvision",
        max_pixels: int = MAX_PIXELS,
        max_failures: float = 0.0,
        prefetch: int = 2,
        start_method: StartMethod | None = None,
    ) -> None:
        super().__init__(
            path, batch_size, eval_batch_size, num_workers, seed, decoder, max_pixels, max_failures, prefetch,
            start_method,
        )  # fmt: skip
        self.columns = {ours: name for ours, name in (COLUMNS if columns is None else columns).items() if name}
        self.labels = dict(labels) if labels else None
        self.splits = dict(SPLIT_NAMES if splits is None else splits)
        self.root = Path(root).expanduser() if root else None
        self.fold_seed = fold_seed
        check_maps(self.labels, self.splits)
        if "image" not in self.columns:
            raise ConfigError("datamodule.columns names no image column", "Give datamodule.columns.image=NAME.")
        if reserved := {"where", "row", "format"} & self.columns.keys():
            raise ConfigError(f"datamodule.columns.{min(reserved)} is filled in by itself", "Use another name.")

    def build_manifest(self) -> Manifest:
        """Read every column but the images.

        Raises:
            DataError: no file is found or one is no Parquet; a column is missing (the nearest names are given); ids
                repeat; labels or splits have no known meaning; folds are needed and the set is too small.
        """
        parts = [self._part(file) for file in self.files()]
        columns = {
            name: [value for part in parts for value in part.get(name, [0] * len(part["id"]))]
            for name in dict.fromkeys(name for part in parts for name in part)
        }
        label = columns["label"]
        if "generator" in columns:
            pairs = zip(columns["generator"], label, strict=True)
            columns["generator"] = [name if value == 1 else "" for name, value in pairs]
        _refuse_repeated(columns)
        self._remark()
        if "split" not in columns:
            columns["split"] = fold_splits(label, columns.get("group"), self.fold_seed)
        return Manifest.from_columns(columns)

    def _remark(self) -> None:
        """Tell of columns that are named like ours and not used: a set's own split is seldom left out on purpose."""
        present = pq.read_schema(self.files()[0]).names
        unused = [name for name in TEXTS if name in present and name not in self.columns]
        if unused:
            folds = ", and the rows are dealt into folds" if "split" in unused else ""
            logger.warning(
                "%s has columns that are not used%s: %s\n  → To use one, give e.g. datamodule.columns.%s=%s.",
                self.path, folds, ", ".join(unused), unused[-1], unused[-1],
            )  # fmt: skip

    def build_store(self, manifest: Manifest) -> ParquetStreamStore:
        """Reads the image column, and files it names below the root."""
        root = self.root or (self.path if self.path.is_dir() else self.path.parent)
        return ParquetStreamStore(manifest, str(self.columns["image"]), root)

    def files(self) -> list[Path]:
        """The Parquet files, sorted.

        Raises:
            DataError: if there is none.
        """
        if self.path.is_dir():
            found = below(self.path, (".parquet",), self.ignored)
        elif has_magic(str(self.path)) and not self.path.exists():
            found = matches(self.path, self.ignored)[1]
        else:
            found = [self.path]
        found = [file for file in found if file.is_file()]
        if not found:
            what = "holds no *.parquet file" if self.path.is_dir() else "is no file, folder or glob that matches one"
            raise DataError(f"datamodule.path={self.path} {what}", "Give a Parquet file, a folder of them, or a glob.")
        return found

    def _part(self, file: Path) -> dict[str, Any]:
        """Our columns of one file."""
        try:
            parquet = pq.ParquetFile(file)
            self._check_columns(file, parquet.schema_arrow)
            wanted = {ours: name for ours, name in self._found(parquet.schema_arrow) if ours != "image"}
            table = parquet.read(columns=list(dict.fromkeys(wanted.values())))
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{file} cannot be read: {error}", "Is it a whole Parquet file?") from error
        schema, count = parquet.schema_arrow, parquet.metadata.num_rows
        part: dict[str, Any] = {}
        for ours, name in wanted.items():
            part[ours] = self._column(ours, table[name], class_names(schema, name), f"{file}: column {name!r}")
        base = self.path if self.path.is_dir() else file.parent
        name = file.relative_to(base).as_posix()
        part.setdefault("id", [f"{as_text(name)}:{row}" for row in range(count)])
        part.setdefault("label", [-1] * count)
        return part | {"where": [as_text(file)] * count, "row": list(range(count))}

    def _column(self, ours: str, column: pa.ChunkedArray, names: list[str] | None, place: str) -> list[Any]:
        if ours == "label":
            return list(as_labels(column, self.labels, names, place))
        if ours == "split":
            return as_splits(as_texts(column, names), self.splits, place)
        if ours in SIZES:
            return [value or 0 for value in column.to_pylist()]
        if ours == "id":
            empty = np.flatnonzero([value in (None, "") for value in column.to_pylist()])
            if len(empty):
                raise DataError(f"{place} is empty in row {empty[0]}", "Fill it, or give datamodule.columns.id=null.")
            return as_texts(column)
        if ours in TEXTS or not pa.types.is_primitive(column.type) or column.null_count:
            return as_texts(column, names)
        return list(column.to_pylist())

    def _found(self, schema: pa.Schema) -> Iterator[tuple[str, str]]:
        yield from self.columns.items()
        for name in SIZES:
            if name not in self.columns and name in schema.names and pa.types.is_integer(schema.field(name).type):
                yield name, name

    def _check_columns(self, file: Path, schema: pa.Schema) -> None:
        for ours, name in self.columns.items():
            if name not in schema.names:
                step = nearest(name, schema.names)
                without = f" Or give datamodule.columns.{ours}=null." if ours in COLUMNS and ours != "image" else ""
                raise DataError(
                    f"{file} has no column {name!r} (datamodule.columns.{ours})", step[0].upper() + step[1:] + without
                )
        kind = schema.field(self.columns["image"]).type
        fields = {kind.field(k).name: kind.field(k).type for k in range(kind.num_fields)}
        inner = fields.get("bytes") if pa.types.is_struct(kind) else kind
        if inner is not None and not (pa.types.is_binary(inner) or pa.types.is_large_binary(inner)):
            raise DataError(
                f"{file}: column {self.columns['image']!r} is {kind}",
                "Images are binary, or {bytes, path} structs; name another with datamodule.columns.image.",
            )
        if inner is None and "path" not in fields:
            raise DataError(f"{file}: column {self.columns['image']!r} has neither bytes nor path", f"It is {kind}.")


def _refuse_repeated(columns: Mapping[str, list[Any]]) -> None:
    """Names ids that stand twice, with their places."""
    if len(set(columns["id"])) == len(columns["id"]):
        return
    places: dict[str, list[str]] = {}
    for name, where, row in zip(columns["id"], columns["where"], columns["row"], strict=True):
        places.setdefault(name, []).append(f"{where}[{row}]")
    repeated = {name: found for name, found in places.items() if len(found) > 1}
    shown = "".join(f"\n    {name!r}: {', '.join(found[:4])}" for name, found in list(repeated.items())[:5])
    raise DataError(
        f"{len(repeated)} ids stand more than once:{shown}",
        "Remove the copies, or make ids of file and row: datamodule.columns.id=null.",
    )
