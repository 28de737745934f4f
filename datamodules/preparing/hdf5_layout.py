"""The file that ``task=prepare`` writes: space is allocated first, then filled with images; columns come last."""

import ctypes
import errno
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from contracts.errors import ConfigError, DataError
from datamodules.loading.hdf5_manifest import FORMAT, GROUPS, STORED
from datamodules.tables.carried import PACKED, pack, packed_names
from datamodules.tables.manifest import SCHEMA, Manifest

Offsets = NDArray[np.int64]

PAGE = 4096  # Page size in bytes


def check_columns(manifest: Manifest) -> None:
    """Check, before any image is read, that all columns can be stored.

    Raises:
        ConfigError: a further column has the name of a dataset of the file.
        DataError: a column has a type that Arrow cannot write, or a text contains a NUL.
    """
    if taken := set(manifest.table.column_names) & set(STORED):
        raise ConfigError(
            f"column {min(taken)!r} has the name of a dataset in prepared files", "Give the column another name."
        )
    packed = packed_names(manifest.table)
    for name in packed:
        if name in SCHEMA.names:
            row = int(np.flatnonzero(pc.match_substring(manifest.table[name].cast(pa.string()), "\x00").to_numpy())[0])
            value = manifest.column(name)[row]
            raise DataError(
                f"{manifest.place(row)}: {name} {value!r} contains a NUL, which HDF5 cannot store",
                "Remove it.",
            )
    for name in packed:
        try:
            pack(manifest.table.select([name]).take(pa.array([0, 0][: 2 * len(manifest)])))
        except pa.ArrowException as error:
            kind = manifest.table[name].type
            raise DataError(f"column {name!r} ({kind}) cannot be stored: {error}", "Leave it out.") from error


def allocate_pixels(path: Path, counts: Mapping[str, int], size: int) -> None:
    """Create a file with ``image`` uint8 [N, size, size, 3] in chunks of one image, allocated but not written."""
    # aligned to pages, so that no two images share one
    with h5py.File(path, "w", alignment_threshold=PAGE, alignment_interval=PAGE) as file:
        for name, count in counts.items():
            shape = (count, size, size, 3)
            properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            properties.set_chunk((1, *shape[1:]))
            # fixes the places of all chunks before the first is written, without writing fill values
            properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
            properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
            space = h5py.h5s.create_simple(shape, shape)
            h5py.h5d.create(file.create_group(name).id, b"image", h5py.h5t.STD_U8LE, space, properties)


def allocate_bytes(path: Path, totals: Mapping[str, int]) -> None:
    """Create a file with contiguous ``bytes`` uint8 [total], allocated but not written."""
    with h5py.File(path, "w") as file:
        for name, total in totals.items():
            properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            properties.set_layout(h5py.h5d.CONTIGUOUS)
            properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
            properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
            space = h5py.h5s.create_simple((total,))
            h5py.h5d.create(file.create_group(name).id, b"bytes", h5py.h5t.STD_U8LE, space, properties)


def reserve(path: Path) -> None:
    """Reserve disk space for the whole file if the file system can, so that a full disk is found before the work.

    Raises:
        OSError: there is not enough space.
    """
    if sys.platform != "linux":
        return
    # not os.posix_fallocate, which writes to every page if the file system does not support it
    fallocate = ctypes.CDLL(None, use_errno=True).fallocate
    fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    with path.open("r+b") as file:
        failed = fallocate(file.fileno(), 0, 0, path.stat().st_size)
        error = ctypes.get_errno()
    if failed and error not in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
        raise OSError(error, os.strerror(error), str(path))


def pixel_offsets(path: Path, name: str) -> Offsets:
    """[N] offset in the file of each image of a group."""
    with h5py.File(path, "r") as file:
        images = file[name]["image"]
        offsets = np.full(len(images), -1, np.int64)

        def note(chunk: Any) -> None:
            offsets[chunk.chunk_offset[0]] = chunk.byte_offset

        images.id.chunk_iter(note)
    if (offsets < 0).any():
        raise AssertionError(f"{path}: HDF5 has not allocated all chunks of {name}")
    return offsets


def bytes_offset(path: Path, name: str) -> int:
    """Offset in the file of a group's bytes."""
    with h5py.File(path, "r") as file:
        start = file[name]["bytes"].id.get_offset()
    if start is None:
        raise AssertionError(f"{path}: HDF5 has not allocated the bytes of {name}")
    return int(start)


def close_gaps(path: Path, good: Mapping[str, NDArray[np.bool_]]) -> dict[str, NDArray[np.int64]]:
    """Fill the places of unreadable images with images from the end of their group, and shorten it.

    Args:
        path: file made by `allocate_pixels`.
        good: for each group, [N] whether each place contains an image.

    Returns:
        For each group, the former place of each remaining image.
    """
    orders = {}
    for name, filled in good.items():
        order = np.arange(len(filled))
        count = int(filled.sum())
        gaps, spare = np.flatnonzero(~filled[:count]), np.flatnonzero(filled[count:]) + count
        if count < len(filled):
            _move(path, name, spare, gaps)
            with h5py.File(path, "r+") as file:
                if count:
                    file[name]["image"].resize(count, axis=0)
                else:
                    del file[name]
            order[gaps] = spare
        if count:
            orders[name] = order[:count]
    return orders


def _move(path: Path, name: str, sources: NDArray[np.int64], targets: NDArray[np.int64]) -> None:
    offsets = pixel_offsets(path, name)
    with h5py.File(path, "r") as file:
        nbytes = int(np.prod(file[name]["image"].shape[1:]))
    with path.open("r+b", buffering=0) as raw:
        for source, target in zip(offsets[sources], offsets[targets], strict=True):
            write_all(raw.fileno(), memoryview(os.pread(raw.fileno(), nbytes, source)), target)


def write_columns(
    path: Path,
    manifest: Manifest,
    groups: Mapping[str, NDArray[np.int64]],
    attributes: Mapping[str, Any],
    spans: Mapping[str, tuple[Offsets, Offsets]],
) -> None:
    """Add labels, the manifest's columns and the attributes.

    Args:
        path: the file.
        manifest: manifest of all images, with sizes and formats.
        groups: for each group, the manifest's rows in the order of its images.
        attributes: attributes of the root.
        spans: for each group of encoded images, their offsets and lengths.
    """
    packed = packed_names(manifest.table)
    native = [name for name in group_columns(manifest) if name not in packed]
    with h5py.File(path, "r+") as file:
        file.attrs.update({"pixelproof_format": FORMAT, **attributes})
        for name, rows in groups.items():
            group = file[name]
            for column in ["target", PACKED, *native]:
                if column in group:
                    del group[column]  # left by an interrupted run
            group["target"] = manifest.labels[rows].astype(np.int64)
            if packed:
                group[PACKED] = pack(manifest.table.select(packed).take(pa.array(rows)))
            for column in native:
                values = manifest.column(column)[rows]
                kind = h5py.string_dtype() if values.dtype == object else values.dtype
                group.create_dataset(column, data=values, dtype=kind)
            for column, values in zip(("offset", "length"), spans.get(name, ()), strict=False):
                if column in group:
                    del group[column]
                group[column] = values


def group_columns(manifest: Manifest) -> Iterator[str]:
    """Columns stored unchanged; the label is stored as ``target``, and the split as the group."""
    return (name for name in manifest.table.column_names if name not in ("label", "split"))


def split_rows(manifest: Manifest, rows: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
    """These rows of the manifest by split, for each split with any."""
    splits = manifest.column("split")[rows]
    return {name: rows[splits == name] for name in GROUPS if (splits == name).any()}


def write_all(descriptor: int, data: memoryview, offset: int) -> None:
    """Call ``os.pwrite`` until everything is written."""
    while data:
        done = os.pwrite(descriptor, data, offset)
        data, offset = data[done:], offset + done
