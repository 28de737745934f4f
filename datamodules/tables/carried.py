"""Further columns of a manifest, of any Arrow type, and their lossless storage in prepared HDF5 files.

A column of plain numbers, booleans or texts is a separate HDF5 dataset. HDF5 has no nulls, dates, decimals,
structs, etc.: such columns are stored together in the dataset ``arrow``, an Arrow IPC stream, which
``pyarrow.ipc.open_stream(group["arrow"][:].tobytes()).read_all()`` reads.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from contracts.errors import DataError

PACKED = "arrow"  # Dataset of a group that contains all columns for which HDF5 has no type


def plain(column: pa.ChunkedArray, place: str, step: str, dictionaries: bool = False) -> pa.ChunkedArray:
    """The same values without dictionaries and views, which differ between files and which few functions accept.

    Args:
        column: column of any type.
        place: file and column, for messages.
        step: advice for a column that cannot be read.
        dictionaries: whether dictionaries of texts are left as they are.

    Raises:
        DataError: a text is not UTF-8, or the column is inconsistent.
    """
    try:
        column.validate(full=True)
        kind = plain_type(column.type)
        if dictionaries and column.type == pa.dictionary(pa.int32(), pa.string()):
            return column
        return column if kind == column.type else column.cast(kind)
    except pa.ArrowException as error:
        raise DataError(f"{place} ({column.type}) cannot be read: {error}", step) from error


def plain_type(kind: pa.DataType) -> pa.DataType:
    """The type without dictionaries, views and run-end encoding, at any depth."""
    types = pa.types
    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        return plain_type(kind.value_type)
    if types.is_string_view(kind):
        return pa.large_string()
    if types.is_binary_view(kind):
        return pa.large_binary()
    if types.is_struct(kind):
        return pa.struct([_plain_field(kind.field(number)) for number in range(kind.num_fields)])
    if types.is_map(kind):
        return pa.map_(plain_type(kind.key_type), _plain_field(kind.item_field), kind.keys_sorted)
    if types.is_fixed_size_list(kind):
        return pa.list_(_plain_field(kind.value_field), kind.list_size)
    if types.is_large_list(kind):
        return pa.large_list(_plain_field(kind.value_field))
    if types.is_list(kind):
        return pa.list_(_plain_field(kind.value_field))
    if types.is_list_view(kind) or types.is_large_list_view(kind):
        raise pa.ArrowNotImplementedError("list views are not supported; use lists")  # pyarrow's cast breaks them
    return kind


def _plain_field(field: pa.Field) -> pa.Field:
    return field.with_type(plain_type(field.type))


def joined(parts: Mapping[str, pa.ChunkedArray], name: str) -> pa.ChunkedArray:
    """Join one column of several files; untyped nulls take the type of the others, and narrow numbers the wider type.

    Raises:
        DataError: the types in two files are incompatible.
    """
    tables = [pa.table({"column": column}) for column in parts.values()]
    try:
        return pa.concat_tables(tables, promote_options="permissive").column(0)
    except pa.ArrowException as error:
        kinds = {str(column.type): file for file, column in reversed(list(parts.items()))}
        raise DataError(
            f"column {name!r} has incompatible types: "
            + ", ".join(f"{kind} ({file})" for kind, file in reversed(list(kinds.items()))),
            f"Give all files the same type, or ignore the column: datamodule.columns.{name}=null.",
        ) from error


def is_native(name: str, column: pa.ChunkedArray) -> bool:
    """Whether HDF5 can store a column under its name and type."""
    if column.null_count or not name.strip(".") or "/" in name or "\x00" in name:
        return False
    if pa.types.is_dictionary(column.type):
        column = column.cast(plain_type(column.type))
    kind = column.type
    if pa.types.is_string(kind):
        # HDF5's strings end at their first NUL
        return not pc.any(pc.match_substring(column, "\x00")).as_py()
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def packed_names(table: pa.Table) -> list[str]:
    """Columns that HDF5 cannot store under their name and type."""
    return [name for name in table.column_names if not is_native(name, table[name])]


def pack(table: pa.Table) -> NDArray[np.uint8]:
    """The table as an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return np.frombuffer(sink.getvalue(), np.uint8)


def unpack(content: NDArray[np.uint8], place: str) -> pa.Table:
    """The table in a stream from `pack`.

    Raises:
        DataError: it is not such a stream.
    """
    try:
        return pa.ipc.open_stream(content.tobytes()).read_all()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{place} cannot be read: {error}", "Prepare the file again.") from error


def as_column(parts: Sequence[Any]) -> pa.ChunkedArray | NDArray[Any]:
    """Concatenate parts of one column, which are Arrow or NumPy arrays."""
    if any(isinstance(part, pa.ChunkedArray) for part in parts):
        return pa.chunked_array([chunk for part in parts for chunk in part.chunks], parts[0].type)
    return np.concatenate(parts)
