"""Texts of large tables: those that repeat as numbers of a dictionary, and whether any two ids are equal."""

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_NUMBERS = (pa.int8(), pa.int16(), pa.int32(), pa.int64())
MANY = 10**6  # Texts from which hashing them is faster, the import of numba included (0.2 s)


def is_text(kind: pa.DataType) -> bool:
    """Whether a type holds texts, by themselves or in a dictionary."""
    if pa.types.is_dictionary(kind):
        return is_text(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def encoded(table: pa.Table, names: Sequence[str]) -> pa.Table:
    """The table with columns of texts as one dictionary each, numbered by the smallest type that has room."""
    for name in names:
        column = one_dictionary(table[name])
        kind = next(kind for kind in _NUMBERS if len(column.dictionary) <= 2 ** (kind.bit_width - 1))
        if table[name].num_chunks != 1 or table[name].type != pa.dictionary(kind, pa.string()):
            column = pa.DictionaryArray.from_arrays(column.indices.cast(kind), column.dictionary)
            table = table.set_column(table.column_names.index(name), name, column)
    return table


def one_dictionary(column: pa.ChunkedArray) -> pa.DictionaryArray:
    """A column of texts, or of dictionaries of them, as one array."""
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    elif column.num_chunks == 1:
        return column.chunk(0)
    else:  # narrow numbers have no room for all texts
        column = column.cast(pa.dictionary(pa.int64(), pa.string())).unify_dictionaries()
    return column.combine_chunks()


def each(column: pa.ChunkedArray, test: Callable[[pa.Array], pa.Array]) -> NDArray[np.bool_]:
    """Whether each text of a column that is one dictionary has a property; ``test`` tells it of the dictionary's."""
    one = one_dictionary(column)
    found: NDArray[np.bool_] = test(one.dictionary).to_numpy(zero_copy_only=False)
    return np.full(len(one), True) if found.all() else found[one.indices.to_numpy()]


def repeated(value: str, count: int) -> pa.DictionaryArray:
    """One text in every row."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array([value], pa.string()))


def with_nul(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Those texts that contain a NUL."""
    contents = (np.frombuffer(chunk.buffers()[2] or b"", np.uint8) for chunk in texts.chunks)
    if all(content.min(initial=255) for content in contents):  # a scan of them all is faster than of each text
        return texts.slice(0, 0)
    return texts.filter(pc.match_substring(texts, "\x00"))


def joined(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], memoryview]:
    """Bytes in each text of a column without nulls, and all of them in a row."""
    texts = pa.concat_arrays([pa.array([], pa.large_string()), *column.cast(pa.large_string()).chunks])
    _, places, content = texts.buffers()
    ends = np.frombuffer(places, np.int64)[: len(texts) + 1]
    return np.diff(ends), memoryview(content or b"")[: ends[-1]]


def all_differ(texts: pa.ChunkedArray) -> bool:
    """Whether no two texts are equal. Hashes are compared first: equal ones are rare unless texts are equal."""
    if len(texts) < MANY:
        return bool(pc.count_distinct(texts).as_py() == len(texts))
    from datamodules.tables.hashes_numba import hash_texts  # slow

    hashes = np.empty(len(texts), np.uint64)
    done = 0
    for chunk in texts.chunks:
        _, places, content = chunk.buffers()
        starts = np.frombuffer(places, np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
        hash_texts(np.frombuffer(content or b"", np.uint8), starts, hashes[done : done + len(chunk)])
        done += len(chunk)
    hashes.sort()
    return not (hashes[1:] == hashes[:-1]).any() or pc.count_distinct(texts).as_py() == len(texts)
