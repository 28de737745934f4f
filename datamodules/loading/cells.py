"""Image cells of Parquet and Arrow: bytes, ``{bytes, path}`` structs, paths, base64, and lists of one of these."""

import base64
import binascii
import os
import re
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, unquote_to_bytes, urlsplit

import pyarrow as pa

from contracts.errors import DataError


class Text(NamedTuple):
    """A path, a data URI or base64."""

    content: bytes


Cell = bytes | Text | list[Any] | None  # An encoded image, a text that refers to one, or a list of cells

MAGIC = re.compile(rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|BM|II\*\x00|MM\x00\*|RIFF.{4}WEBP|.{4}ftyp", re.DOTALL)
"""First bytes of encoded images of supported formats."""

DATA_URI = re.compile(rb"data:([^,]{0,200}),", re.IGNORECASE)
LONGEST_PATH = 4096  # Length in bytes of the longest path that Linux opens


def cell_kind(kind: pa.DataType) -> str:
    """Kind of the cells in a column of this type: ``binary``, ``text``, ``struct``, ``list``, or "" for no images."""
    if isinstance(kind, pa.BaseExtensionType):
        return cell_kind(kind.storage_type)
    types = pa.types
    if types.is_dictionary(kind):
        return cell_kind(kind.value_type)
    if any(is_(kind) for is_ in (types.is_binary, types.is_large_binary, types.is_binary_view)):
        return "binary"
    if types.is_fixed_size_binary(kind):
        return "binary"
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return "text"
    if types.is_struct(kind):
        named = {kind.field(number).name: cell_kind(kind.field(number).type) for number in range(kind.num_fields)}
        nulls = {field.name for field in kind if types.is_null(field.type)}
        known = [name for name in ("bytes", "path") if named.get(name) in ("binary", "text")]
        return "struct" if known and {"bytes", "path"} & named.keys() <= {*known, *nulls} else ""
    lists = (types.is_list, types.is_large_list, types.is_fixed_size_list, types.is_list_view, types.is_large_list_view)
    if any(is_(kind) for is_ in lists) and cell_kind(kind.value_type) not in ("", "list"):
        return "list"
    return ""


def check_image_column(kind: pa.DataType, place: str) -> None:
    """Raise a DataError if a column of this type cannot hold images."""
    if not cell_kind(kind):
        raise DataError(
            f"{place} is {kind}",
            "Images are binary, {bytes, path} structs, paths or base64 texts, or lists of these; name another column "
            "with datamodule.columns.image.",
        )


def cells(column: pa.Array) -> list[Cell]:
    """The column's cells; a struct with bytes gives only its bytes, without a dictionary for each."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        return cells(column.storage)
    if pa.types.is_dictionary(kind):
        return cells(column.dictionary_decode())  # only these rows, not the whole dictionary
    if pa.types.is_struct(kind):
        parts = dict(zip((field.name for field in kind), column.flatten(), strict=True))
        own, paths = (cells(parts[name]) if name in parts else [None] * len(column) for name in ("bytes", "path"))
        texts = [Text(path) if isinstance(path, bytes) else path for path in paths]
        return [text if data is None else data for data, text in zip(own, texts, strict=True)]
    if cell_kind(kind) == "list":
        return [cells(row.values) if row.is_valid else None for row in column]
    if cell_kind(kind) == "text":  # as bytes: a path need not be UTF-8
        wide = pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
        raw = column.cast(pa.large_binary() if wide else pa.binary()).to_pylist()
        return [None if data is None else Text(data) for data in raw]
    found: list[Cell] = column.to_pylist()
    return found


def image_bytes(cell: Cell, root: Path | None, place: str) -> bytes:
    """Encoded bytes of an image cell: its own, or those of the file that it names.

    Args:
        cell: one of `cells`.
        root: folder that paths are relative to and must not leave, or None.
        place: file and row, for messages.

    Raises:
        DataError: the cell holds neither bytes nor a path, or several images; a text is damaged base64; the path leaves
            the root, or there is no root.
    """
    if isinstance(cell, list):
        if len(cell) != 1:
            raise DataError(f"{place} holds {len(cell)} images", "A row must be one image: unnest the list.")
        return image_bytes(cell[0], root, place)
    if isinstance(cell, bytes):
        return cell
    if cell is None or not cell.content:
        raise DataError(f"{place} holds neither bytes nor a path")
    found = _embedded(cell.content, place)
    return _file(cell.content, root, place) if found is None else found


def _embedded(text: bytes, place: str) -> bytes | None:
    """The image in a data URI or base64 text; None for a path."""
    if uri := DATA_URI.match(text):
        data = unquote_to_bytes(text[uri.end() :])
        if not uri[1].lower().endswith(b";base64"):
            return data
        found = _base64(data)
    else:
        start = b"".join(text[:64].split())
        head = _base64(start[: len(start) // 4 * 4])
        if len(text) <= LONGEST_PATH and not (head and MAGIC.match(head)):
            return None
        found = _base64(text)
    if found is None:
        shown = text[:40].decode(errors="backslashreplace")
        raise DataError(f"{place}: the text {shown!r}… of {len(text)} bytes is neither a path nor valid base64")
    return found


def _base64(text: bytes) -> bytes | None:
    plain = b"".join(text.split()).rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/")
    try:
        return base64.b64decode(plain + b"=" * (-len(plain) % 4), validate=True)
    except binascii.Error:
        return None


def _file(text: bytes, root: Path | None, place: str) -> bytes:
    name = os.fsdecode(text)
    if name.lower().startswith("file://"):
        name = unquote(urlsplit(name).path)
    if re.match(r"[A-Za-z][A-Za-z0-9+.\-]*://", name):
        raise DataError(f"{place} names {name!r}, which is not a file", "Download the images first.")
    if root is None:
        raise DataError(f"{place} holds no bytes, only the path {name!r}", "Give datamodule.root, the folder it is in.")
    try:
        path = Path(root, name).resolve()
        if not path.is_relative_to(root.resolve()):
            step = f"Only files below the root are read: set datamodule.root to a folder above all images ({path})."
            raise DataError(f"{place}: path {name!r} leaves {root}", step)
        return path.read_bytes()
    except (OSError, RuntimeError, ValueError) as error:  # no such file, a loop of links, a NUL in the name
        why = getattr(error, "strerror", None) or error
        raise DataError(f"{place}: {Path(root, name)} cannot be read: {why}") from error
