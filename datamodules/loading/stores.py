"""Stores: they read the bytes or pixels of row i of a manifest from files, Parquet or HDF5.

A store shares no handle when it is pickled or forked: each process opens files for itself on
first use.
"""

import os
from abc import abstractmethod
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from contracts.errors import DataError, nearest
from contracts.names import as_path
from datamodules.loading.arrow_source import arrow_source
from datamodules.loading.cells import cells, image_bytes

Pixels = NDArray[np.uint8]

GROUP_SEPARATOR = "::"  # Separates an HDF5 file from the group in it in a manifest's ``where``: ``data.h5::train``


class ImageStore(Protocol):
    """Reads the images of a manifest."""

    def read(self, row: int) -> bytes | Pixels:
        """Encoded bytes, or pixels [H, W, 3] uint8 RGB, of a row of the store's manifest.

        Raises:
            DataError: the row cannot be read.
        """
        ...


class Placed(Protocol):
    """Images whose places are known: a manifest, or a dump."""

    def places(self) -> tuple[list[str], NDArray[np.integer], NDArray[np.integer]]:
        """Files or containers, the index of each image's among them, and its row in the container."""
        ...


class _Places:
    """File and position of every row."""

    def __init__(self, images: Placed) -> None:
        self._images = images

    def __getstate__(self) -> dict[str, Any]:
        """Without what a manifest, which workers share, holds already."""
        return {name: value for name, value in self.__dict__.items() if name != "_places"}

    @cached_property
    def _places(self) -> tuple[list[str], NDArray[np.integer], NDArray[np.integer]]:
        names, index, rows = self._images.places()
        return [str(as_path(name)) for name in names], index, rows

    @property
    def _names(self) -> list[str]:
        return self._places[0]

    @property
    def _name(self) -> NDArray[np.integer]:
        return self._places[1]

    @property
    def _row(self) -> NDArray[np.integer]:
        return self._places[2]


class _Containers(_Places):
    """Containers, each opened once per process."""

    def __init__(self, images: Placed) -> None:
        super().__init__(images)
        self._opened: dict[str, Any] = {}
        self._process = os.getpid()

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_opened": {}}

    @abstractmethod
    def _open(self, name: str) -> Any:
        """Open a container."""

    def _container(self, row: int) -> Any:
        if self._process != os.getpid():
            # handles of the parent share their file offset with it, so drop them without closing
            self._opened, self._process = {}, os.getpid()
        name = self._names[self._name[row]]
        if name not in self._opened:
            try:
                self._opened[name] = self._open(name)
            except (OSError, pa.ArrowInvalid) as error:
                raise DataError(f"{name} cannot be opened: {error}", "Check the path.") from error
        return self._opened[name]


class FileStore(_Places):
    """One image per file; ``where`` is its path."""

    def read(self, row: int) -> bytes:
        """The file's bytes."""
        path = Path(self._names[self._name[row]])
        try:
            return path.read_bytes()
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


class ColumnStore(_Containers):
    """Images in a column of containers whose rows lie in chunks.

    Args:
        images: the rows to read.
        column: name of the image column, of any type that `datamodules.loading.cells` reads.
        root: folder that paths in rows without bytes are relative to; no path may leave it.
    """

    def __init__(self, images: Placed, column: str = "image", root: Path | None = None) -> None:
        super().__init__(images)
        self._column = column
        self._root = root

    @abstractmethod
    def _chunk(self, file: Any, name: str, number: int) -> pa.Array:
        """The image column of one chunk."""

    def read(self, row: int) -> bytes:
        """The cell's bytes, or those of the file that it names."""
        file, ends = self._container(row)
        name, place = self._names[self._name[row]], int(self._row[row])
        if not 0 <= place < (ends[-1] if len(ends) else 0):
            raise DataError(f"{name} has no row {place}")
        number = int(np.searchsorted(ends, place, side="right"))
        here = self._chunk(file, name, number).slice(place - (int(ends[number - 1]) if number else 0), 1)
        return image_bytes(cells(here)[0], self._root, f"{name}[{place}]")


class ParquetStore(ColumnStore):
    """Images in a column of Parquet files; ``where`` is the file, ``row`` the row in it.

    A whole row group is read and cached at a time, so neighbouring rows cost nothing; random access to a data set
    larger than the cache is slow; ``task=prepare`` solves this.

    Args:
        images: as `ColumnStore`.
        column: as `ColumnStore`.
        root: as `ColumnStore`.
        cache_bytes: bytes of row groups cached in each process (the newest one always is).
    """

    def __init__(
        self, images: Placed, column: str = "image", root: Path | None = None, cache_bytes: int = 256 * 2**20
    ) -> None:
        super().__init__(images, column, root)
        self._cache_bytes = cache_bytes
        self._groups: OrderedDict[tuple[str, int], pa.Array] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_groups": OrderedDict()}

    def _open(self, name: str) -> tuple[pq.ParquetFile, NDArray[np.int64]]:
        file = pq.ParquetFile(arrow_source(name))
        if self._column not in file.schema_arrow.names:
            known = nearest(self._column, file.schema_arrow.names)
            raise DataError(f"{name} has no column {self._column!r}", known)
        counts = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        return file, np.cumsum(counts)

    def _chunk(self, file: pq.ParquetFile, name: str, number: int) -> pa.Array:
        if (name, number) in self._groups:
            self._groups.move_to_end((name, number))
            return self._groups[name, number]
        try:
            column = file.read_row_group(number, columns=[self._column])[self._column].combine_chunks()
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{name}: row group {number} cannot be read: {error}") from error
        self._groups[name, number] = column
        while len(self._groups) > 1 and sum(kept.nbytes for kept in self._groups.values()) > self._cache_bytes:
            self._groups.popitem(last=False)
        return column


@dataclass(frozen=True)
class _Hdf5Group:
    """One group of an HDF5 file."""

    file: h5py.File  # the open file
    data: h5py.Dataset  # dataset of pixels or bytes
    descriptor: int  # HDF5's file descriptor, for reading without the library
    base: int | None  # offset in the file of contiguous data, or None
    chunked: bool  # whether every image is one uncompressed chunk
    shape: tuple[int, ...]  # [H, W, 3] of every image, or () for bytes
    span: tuple[NDArray[np.int64], NDArray[np.int64]] | None  # offsets and lengths of the images in flat bytes, or None


class Hdf5Store(_Containers):
    """Images in HDF5 groups; ``where`` is ``FILE::GROUP``, ``row`` the row in the group.

    It reads three layouts of a group: flat ``bytes`` with ``offset`` and ``length`` (concatenated encoded images),
    ``bytes`` of variable-length rows, and ``image`` [N, H, W, 3] uint8. Data that are uncompressed in the file
    (contiguous, or in chunks of one image) are read with ``pread`` at their offset, which is several times
    faster than through the library and needs no lock.
    """

    def _open(self, name: str) -> _Hdf5Group:
        path, _, group_name = name.rpartition(GROUP_SEPARATOR)
        file = h5py.File(path, "r")
        group = file.get(group_name)
        if not isinstance(group, h5py.Group):
            raise DataError(f"{path} has no group {group_name!r}", nearest(group_name, file))
        data = group.get("image", group.get("bytes"))
        if not isinstance(data, h5py.Dataset):
            raise DataError(f"{name} has neither 'image' nor 'bytes'", f"It contains: {', '.join(group) or 'nothing'}.")
        is_pixels = data.ndim == 4 and data.shape[3] == 3 and data.dtype == np.uint8
        is_rows = data.ndim == 1 and h5py.check_vlen_dtype(data.dtype) == np.uint8
        is_flat = data.ndim == 1 and data.dtype == np.uint8 and "offset" in group and "length" in group
        if not (is_pixels or is_rows or is_flat):
            raise DataError(
                f"{name}/{Path(data.name).name} is {data.dtype} {data.shape}",
                "Images must be uint8 [N, H, W, 3], or bytes with offset and length.",
            )
        span = (group["offset"][:].astype(np.int64), group["length"][:].astype(np.int64)) if is_flat else None
        base = None if is_rows else data.id.get_offset()
        chunked = data.chunks == (1, *data.shape[1:]) and not data.id.get_create_plist().get_nfilters()
        return _Hdf5Group(file, data, file.id.get_vfd_handle(), base, chunked, data.shape[1:], span)

    def shape(self, row: int) -> tuple[int, ...] | None:
        """[H, W, 3] of all images in the row's group; None where they are bytes.

        Raises:
            DataError: as `read`.
        """
        group: _Hdf5Group = self._container(row)
        return group.shape or None

    def read(self, row: int, into: Pixels | None = None) -> bytes | Pixels:
        """The row's bytes or pixels; pixels fill ``into``, and are that array, if it has their shape."""
        group: _Hdf5Group = self._container(row)
        place = int(self._row[row])
        count = len(group.span[0]) if group.span else len(group.data)
        if not 0 <= place < count:
            raise DataError(f"{self._names[self._name[row]]} has no row {place}")
        try:
            if group.span:
                return _flat(group, int(group.span[0][place]), int(group.span[1][place]))
            if not group.shape:
                return bytes(group.data[place].tobytes())
            return _pixels(group, place, into)
        except OSError as error:
            raise DataError(f"{self._names[self._name[row]]}[{place}] cannot be read: {error}") from error


def _flat(group: _Hdf5Group, offset: int, length: int) -> bytes:
    if offset < 0 or length < 0 or offset + length > len(group.data):
        raise OSError(f"bytes {offset} to {offset + length} are outside the {len(group.data)} bytes stored")
    if group.base is None:
        return bytes(group.data[offset : offset + length].tobytes())
    data = os.pread(group.descriptor, length, group.base + offset)
    if len(data) < length:
        raise OSError("the file is truncated")
    return data


def _pixels(group: _Hdf5Group, place: int, into: Pixels | None) -> Pixels:
    start = _image_offset(group, place)
    if start is None:
        return np.asarray(group.data[place])
    pixels = into if into is not None and into.shape == group.shape else np.empty(group.shape, np.uint8)
    if os.preadv(group.descriptor, [pixels.data], start) < pixels.nbytes:
        raise OSError("the file is truncated")
    return pixels


def _image_offset(group: _Hdf5Group, place: int) -> int | None:
    """Offset of an image's pixels in the file, or None if HDF5 must assemble them."""
    if group.base is not None:
        return group.base + place * int(np.prod(group.shape))
    if not group.chunked:
        return None
    stored = group.data.id.get_chunk_info_by_coord((place, 0, 0, 0))
    return None if stored.byte_offset is None else int(stored.byte_offset)
