"""Columns of a page: typed arrays one after another, compressed, as base64."""

import base64
import gzip
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

FEW = 10_000
"""Values that are converted faster in Python than by pyarrow, which imports pandas to convert its first array."""

ALIGNED = 8
"""Bytes: a browser's typed array may begin only at a multiple of its item size."""


class Packer:
    """Collects columns; the page's script unpacks them (``templates/data.js``).

    A column is referred to by ``{"kind", "at", "size"}``: the NumPy name of its little-endian item type, or "json", and
    where its bytes are.
    """

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def numbers(self, values: NDArray[Any], kind: str | None = None) -> dict[str, Any]:
        """A numeric column [N]; integers take the smallest type that holds them, unless ``kind`` names one."""
        kind = _smallest(values) if kind is None else kind
        return self._add(kind, np.ascontiguousarray(values, dtype=f"<{kind}").tobytes())

    def texts(self, values: Sequence[str]) -> dict[str, Any]:
        """Strings in their order."""
        return self._add("json", json.dumps(list(values), ensure_ascii=False, separators=(",", ":")).encode())

    def dictionary(self, values: NDArray[np.str_]) -> dict[str, Any]:
        """Strings [N] as their sorted distinct ``values`` and a ``codes`` column."""
        names, codes = distinct(values)
        return {"values": self.texts(names), "codes": self.numbers(codes)}

    def spread(self, values: NDArray[Any], held: NDArray[np.bool_], place: NDArray[np.integer]) -> dict[str, Any]:
        """A column of a dump, spread over the N images of a page; ``known`` says which images have a value.

        Args:
            values: [K] of the dump; the page shows six digits of a float, so floats become float32.
            held: [N] whether the dump holds an image.
            place: [N] where; ignored if it does not.
        """
        if values.dtype.kind not in "fiu":
            texts = np.where(values, "true", "false") if values.dtype.kind == "b" else values
            return {**self.dictionary(_placed(texts, held, place, "")), "known": self._flags(held)}
        known = held.copy()
        if values.dtype.kind == "f":
            known[held] = np.isfinite(values)[place[held]]
            values = np.where(np.isfinite(values), values, 0)
        return {"numbers": self.numbers(_placed(values, held, place, 0)), "known": self._flags(known)}

    def base64(self) -> str:
        """All columns, gzip-compressed: the same bytes for the same columns."""
        return base64.b64encode(gzip.compress(b"".join(self._parts), 6, mtime=0)).decode()

    def _flags(self, flags: NDArray[np.bool_]) -> dict[str, Any] | None:
        return None if flags.all() else self.numbers(flags, "u1")

    def _add(self, kind: str, content: bytes) -> dict[str, Any]:
        reference = {"kind": kind, "at": self._size, "size": len(content)}
        padded = content + bytes(-len(content) % ALIGNED)
        self._parts.append(padded)
        self._size += len(padded)
        return reference


def distinct(values: NDArray[np.str_]) -> tuple[list[str], NDArray[np.int64]]:
    """`numpy.unique` with its inverse, by hashing: much faster where many strings are equal or long."""
    if values.size < FEW:
        names, codes = np.unique(values, return_inverse=True)
        return names.tolist(), codes
    texts = pa.array(values)
    if isinstance(texts, pa.ChunkedArray):  # of very many strings
        texts = texts.combine_chunks()
    encoded = texts.dictionary_encode()
    order = pc.sort_indices(encoded.dictionary).to_numpy()
    rank = np.empty(order.size, np.int64)
    rank[order] = np.arange(order.size)
    return encoded.dictionary.take(pa.array(order)).to_pylist(), rank[encoded.indices.to_numpy()]


def _smallest(values: NDArray[Any]) -> str:
    if values.dtype.kind == "f":
        return "f8" if np.abs(values).max(initial=0) > np.finfo("f4").max else "f4"
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    kinds = ("u1", "u2", "u4") if low >= 0 else ("i1", "i2", "i4")
    # integers beyond 32 bits become doubles, which JavaScript's numbers are
    fitting = (kind for kind in kinds if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max)
    return next(fitting, "f8")


def _placed(values: NDArray[Any], held: NDArray[np.bool_], place: NDArray[np.integer], blank: Any) -> NDArray[Any]:
    whole = np.full(held.size, blank, values.dtype)
    whole[held] = values[place[held]]
    return whole
