"""The manifest: one Arrow table that describes any data set, with one row per image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import ArrayLike, NDArray

from contracts.errors import DataError, nearest
from datamodules.tables.encoding import all_differ, each, encoded, is_text, joined, one_dictionary, repeated

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("label", pa.int8()),
        ("generator", pa.string()),
        ("split", pa.string()),
        ("source", pa.string()),
        ("group", pa.string()),
        ("where", pa.string()),
        ("row", pa.int64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("format", pa.string()),
    ]
)
"""Columns of every manifest, in this order; further columns may follow."""
ENCODED = ("generator", "split", "source", "group", "where", "format")
"""Columns whose texts repeat: the table has them as dictionaries, so that a row costs a number of one to four bytes."""

DEFAULTS: dict[str, str | int] = {
    "generator": "", "split": "", "source": "", "group": "", "where": "", "row": -1,
    "width": 0, "height": 0, "format": "",
}  # fmt: skip
"""Default values of columns; `id` and `label` must always be given."""

SPLITS = ("train", "valid", "test", "")
LABELS = (0, 1, -1)
CONTENT = ("id", "label", "generator", "split", "source", "group")
ALIGNED = "aligned"
"""Further column of a data set whose generated images were aligned with real ones (``datamodule.align``)."""


@dataclass(frozen=True, eq=False)
class Manifest:
    """A checked table of images.

    Raises:
        DataError: there is a missing column, a wrong type, a null, a repeated or empty id, an unknown label or split,
            or a real or unlabelled image with a generator; the error names the first such row and its value.
    """

    table: pa.Table
    """The columns of `SCHEMA`, then any others. `label` is 0 (real), 1 (generated) or -1 (unknown); `generator` is ""
    for a real or unlabelled image, and for a generated one whose generator is unknown; `where` is a file or container,
    `row` the row in the container or -1; `width` and `height` are pixels of the image as displayed (after EXIF
    orientation), 0 if unknown. Columns of `ENCODED` may be given as texts or as dictionaries."""

    def __post_init__(self) -> None:
        _check_columns(self.table)
        object.__setattr__(self, "table", encoded(self.table, ENCODED))
        if not _within(pc.binary_length(self.table["id"]), 1):
            _refuse(self, pc.equal(self.table["id"], ""), "id", "is empty", "Give every image a stable id.")
        self._check_unique()
        if not _within(self.table["label"], min(LABELS), max(LABELS)):
            known = pc.is_in(self.table["label"], value_set=pa.array(LABELS, pa.int8()))
            _refuse(self, pc.invert(known), "label", "is unknown", f"Allowed: {', '.join(map(repr, LABELS))}.")
        _refuse(self, ~self._of_splits(SPLITS), "split", "is unknown", f"Allowed: {', '.join(map(repr, SPLITS))}.")
        named = (self.labels != 1) & each(self.table["generator"], lambda texts: pc.not_equal(texts, ""))
        _refuse(self, named, "generator", "belongs to an image whose label is not 1", "Clear it, or set label to 1.")
        for name, least in (("row", -1), ("width", 0), ("height", 0)):
            if not _within(self.table[name], least):
                low = pc.less(self.table[name], least)
                _refuse(self, low, name, "is out of range", f"Give {least} or more.")

    def _check_unique(self) -> None:
        ids = self.table["id"]
        if all_differ(ids):
            return
        counts = pc.value_counts(ids)
        name = counts.field("values").filter(pc.greater(counts.field("counts"), 1))[0].as_py()
        rows = np.flatnonzero(pc.equal(ids, name).to_numpy(zero_copy_only=False))
        raise DataError(
            f"manifest: id {name!r} occurs in rows {rows[0]} and {rows[1]}"
            + (f" and {len(rows) - 2} more" if len(rows) > 2 else ""),
            "Make ids unique across all splits.",
        )

    @classmethod
    def from_columns(cls, columns: Mapping[str, Sequence[Any] | ArrayLike | pa.Array | pa.ChunkedArray]) -> "Manifest":
        """Build a manifest from columns by name; those in `DEFAULTS` may be left out.

        Raises:
            DataError: a column cannot be converted to its type, or as the constructor.
        """
        for name in ("id", "label"):
            if name not in columns:
                raise DataError(f"manifest: no column {name!r} among {', '.join(columns)}", f"Give a column {name!r}.")
        count = len(columns["id"])  # type: ignore[arg-type]  # every form of a column has a length
        arrays: dict[str, pa.Array | pa.ChunkedArray] = {}
        for field in SCHEMA:
            values = columns[field.name] if field.name in columns else _default(field.name, count)
            arrays[field.name] = _as_array(field.name, values, field.type)
        arrays |= {name: _as_array(name, v, None) for name, v in columns.items() if name not in SCHEMA.names}
        for name, array in arrays.items():
            if len(array) != count:
                raise DataError(f"manifest: column {name!r} has {len(array)} rows, 'id' has {count}")
        return cls(pa.table(arrays))

    def __reduce__(self) -> tuple[Any, ...]:
        """The table as a tensor, which PyTorch shares with workers that do not inherit memory, instead of copying."""
        return _shared, (self._as_tensor,)

    @cached_property
    def _as_tensor(self) -> Any:
        import torch  # slow

        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self.table.schema) as writer:
            writer.write_table(self.table)
        return torch.frombuffer(sink.getvalue(), dtype=torch.uint8)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def take(self, rows: ArrayLike) -> "Manifest":
        """The manifest of some rows, in the given order: row k of the result is row ``rows[k]`` of this one."""
        return Manifest(self.table.take(pa.array(np.asarray(rows, dtype=np.int64))))

    def replaced(self, **columns: Sequence[Any] | NDArray[Any]) -> "Manifest":
        """The manifest with other values in some of its own columns."""
        table = self.table
        for name, values in columns.items():
            array = pa.array(values, SCHEMA.field(name).type)
            table = table.set_column(table.column_names.index(name), name, array)
        return Manifest(table)

    def with_column(self, name: str, values: Sequence[Any] | NDArray[Any]) -> "Manifest":
        """The manifest with a further column of text, instead of the one of that name if there is one."""
        table = self.table.drop_columns([name]) if name in self.table.column_names else self.table
        return Manifest(table.append_column(name, pa.array(values, pa.string())))

    def rows(self, *splits: str) -> NDArray[np.int64]:
        """Rows of one or more splits, ascending."""
        for split in splits:
            if split not in SPLITS:
                raise DataError(f"split {split!r} is unknown", nearest(split, SPLITS))
        return np.flatnonzero(self._of_splits(splits)).astype(np.int64)

    def _of_splits(self, splits: Sequence[str]) -> NDArray[np.bool_]:
        allowed = pa.array(splits, pa.string())
        return each(self.table["split"], lambda texts: pc.is_in(texts, value_set=allowed))

    def column(self, name: str) -> NDArray[Any]:
        """A column as a NumPy array; strings, and types that NumPy lacks, become objects."""
        if name not in self.table.column_names:
            raise DataError(f"manifest: no column {name!r}", nearest(name, self.table.column_names))
        column = self.table[name]
        try:
            return np.asarray(column.to_numpy())
        except pa.ArrowException:  # times of day with nanoseconds, which neither NumPy nor Python has
            return np.fromiter(column, object, len(column))

    @cached_property
    def labels(self) -> NDArray[np.int8]:
        """[N] labels: 0, 1 or -1."""
        return self.column("label")

    @cached_property
    def generator_names(self) -> list[str]:
        """Sorted generators; "" (real or unknown) is always first, even if it does not occur."""
        return ["", *sorted(set(pc.unique(self.table["generator"]).to_pylist()) - {""})]

    @cached_property
    def generator_index(self) -> NDArray[np.int64]:
        """[N] position of each image's generator in `generator_names`."""
        found = pc.index_in(self.table["generator"], value_set=pa.array(self.generator_names, pa.string()))
        return np.asarray(found.to_numpy(), dtype=np.int64)

    def image_id(self, row: int) -> str:
        """Id of a row."""
        return str(self.table["id"][int(row)].as_py())

    def place(self, row: int) -> str:
        """Place of a row's image, for messages: the file and, if that is a container, the row in it."""
        where, inner = self.table["where"][int(row)].as_py(), self.table["row"][int(row)].as_py()
        return f"{where}[{inner}]" if inner >= 0 else str(where)

    def places(self) -> tuple[list[str], NDArray[np.integer], NDArray[np.int64]]:
        """Files or containers, the index of each image's among them, and its row in the container or -1."""
        where = one_dictionary(self.table["where"])
        return where.dictionary.to_pylist(), where.indices.to_numpy(), self.column("row")

    def fingerprint(self) -> str:
        """Hash (BLAKE2b, 32 hex digits) of the images' description in row order, without their places."""
        digest = blake2b(digest_size=16)
        for name in (*CONTENT, *({ALIGNED} & set(self.table.column_names))):
            column = self.table[name]
            if is_text(column.type) and not column.null_count:
                sizes, content = joined(column)
                digest.update(sizes.astype("<i8").tobytes())
                digest.update(content)
                continue
            values = self.column(name)
            if values.dtype == object:
                texts = [str(value).encode() for value in values]
                digest.update(np.array([len(text) for text in texts], dtype="<i8").tobytes())
                digest.update(b"".join(texts))
            else:
                digest.update(values.tobytes())
        return digest.hexdigest()

    def save(self, path: Path) -> None:
        """Write Parquet (``.parquet``) or Arrow IPC (any other suffix), first under a temporary name."""
        part = path.with_name(path.name + ".part")
        if path.suffix == ".parquet":
            pq.write_table(self.table, part)
        else:
            with pa.OSFile(str(part), "wb") as sink, pa.ipc.new_file(sink, self.table.schema) as writer:
                writer.write_table(self.table)
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> "Manifest":
        """Read a manifest written by `save`. An Arrow file is mapped into memory, which all processes share.

        Raises:
            DataError: the file is missing, is not a table, or the table is not a manifest.
        """
        try:
            if path.suffix == ".parquet":
                return cls(pq.read_table(path))
            return cls(pa.ipc.open_file(pa.memory_map(str(path))).read_all())
        except (OSError, pa.ArrowInvalid) as error:
            raise DataError(f"manifest {path} cannot be read: {error}", "Check the path, or write it again.") from error


def _shared(tensor: Any) -> Manifest:
    """The manifest in a tensor, without a copy; it was checked before it was sent."""
    manifest = object.__new__(Manifest)
    object.__setattr__(manifest, "table", pa.ipc.open_stream(pa.py_buffer(tensor.numpy())).read_all())
    return manifest


def _check_columns(table: pa.Table) -> None:
    names = table.column_names
    if repeated := {name for name in names if names.count(name) > 1}:
        raise DataError(f"manifest: column {min(repeated)!r} occurs twice", "Rename one of them.")
    for field in SCHEMA:
        if field.name not in names:
            raise DataError(
                f"manifest: no column {field.name!r} among {', '.join(names)}", "See Manifest.from_columns."
            )
        column = table[field.name]
        if column.type != field.type and not (
            field.name in ENCODED and pa.types.is_dictionary(column.type) and column.type.value_type == field.type
        ):
            raise DataError(f"manifest: column {field.name!r} is {column.type}, not {field.type}")
        if column.null_count:
            row = int(np.flatnonzero(pc.is_null(column).to_numpy())[0])
            raise DataError(
                f"manifest: row {row} has no {field.name!r}", f"Use {DEFAULTS.get(field.name, 'a value')!r}."
            )


def _within(numbers: pa.ChunkedArray, least: int, most: int | None = None) -> bool:
    ends = pc.min_max(numbers)
    low, high = ends["min"].as_py(), ends["max"].as_py()
    return low is None or (low >= least and (most is None or high <= most))


def _refuse(manifest: Manifest, bad: pa.ChunkedArray | NDArray[np.bool_], name: str, why: str, step: str) -> None:
    rows = np.flatnonzero(bad if isinstance(bad, np.ndarray) else bad.to_numpy())
    if len(rows):
        row = int(rows[0])
        more = f" ({len(rows)} such rows)" if len(rows) > 1 else ""
        value = manifest.table[name][row].as_py()
        raise DataError(f"manifest: row {row} (id {manifest.image_id(row)!r}): {name} {value!r} {why}{more}", step)


def _as_array(name: str, values: Any, kind: pa.DataType | None) -> pa.Array | pa.ChunkedArray:
    try:
        array = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values)
        if kind is None or array.type == kind:
            return array
        if name in ENCODED and pa.types.is_dictionary(array.type) and array.type.value_type == kind:
            return array
        if pa.types.is_string(kind) and not (is_text(array.type) or pa.types.is_null(array.type)):
            raise DataError(f"manifest: column {name!r} is {array.type}, not text", "Turn the values into strings.")
        return array.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        aim = f"be converted to {kind}" if kind else "be stored"
        raise DataError(f"manifest: column {name!r} cannot {aim}: {error}", "Correct it, or leave it out.") from error


def _default(name: str, count: int) -> pa.Array:
    value = DEFAULTS[name]
    return repeated(str(value), count) if name in ENCODED else pa.repeat(value, count)
