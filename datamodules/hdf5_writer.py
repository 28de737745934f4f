"""Any set of images into one HDF5 file: several processes, bounded memory, and a kill costs seconds of work.

The room for every image is allocated first; then each worker writes its images straight to their places in the closed
file, past the library and its lock. Encoded images need two passes, since their lengths must be known first: one that
decodes each to see that it can be, one that copies it. A journal beside the file says what is done.
"""

import errno
import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from contracts.errors import ConfigError, DataError
from datamodules import hdf5_layout as layout
from datamodules.decode import MAX_PIXELS, Backend, versions
from datamodules.fed_store import dealt
from datamodules.journal import Journal
from datamodules.manifest import Manifest
from datamodules.parallel import cores, parallel
from datamodules.prepare_work import Copy, Facts, PreparePixels, Task, Verify
from datamodules.stores import GROUP_SEPARATOR, ImageStore
from datamodules.subset import prepared_rows

Storage = Literal["encoded", "pixels"]
SPARE = 2**20
"""Bytes kept free for everything that is not pictures, on top of a kibibyte a row."""


@dataclass(frozen=True)
class Failure:
    """An image that is not in the file, and why."""

    id: str
    where: str
    row: int
    reason: str


@dataclass
class Prepared:
    """What came of it.

    Attributes:
        path: the file.
        images: in it, by split and label.
        failures: images that could not be read.
        seconds: this run took; 0 where nothing was left to do.
        read: images read in this run.
        nbytes: size of the file.
        already: whether the file was there.
    """

    path: Path
    images: dict[tuple[str, int], int]
    failures: list[Failure] = field(default_factory=list)
    seconds: float = 0.0
    read: int = 0
    nbytes: int = 0
    already: bool = False


class Hdf5Writer:
    """Writes the rows of ``train``, ``valid`` and ``test`` of a manifest.

    Args:
        path: the file to be written.
        storage: "encoded" copies each file's bytes as they are; "pixels" stores uint8 RGB of one size.
        size: side in pixels, for "pixels": bicubic with antialiasing, whatever the shape of the image, as the aiornot
            notebook did. A sample is within one level of Pillow's, within two in a few of a million.
        limit: most images, or None (see `prepared_rows`).
        workers: processes, or None for one a core.
        max_failures: share of unreadable images that is put up with.
        decoder: of `datamodules.decode`.
        max_pixels: largest image decoded.

    Raises:
        ConfigError: a value is out of range, or storage and size do not go together.
    """

    def __init__(
        self,
        path: Path,
        storage: Storage = "encoded",
        size: int | None = None,
        limit: int | None = None,
        workers: int | None = None,
        max_failures: float = 0.01,
        decoder: Backend = "torchvision",
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        if storage == "pixels" and size is None:
            raise ConfigError("prepare.storage=pixels needs one size for all images", "Give prepare.size=512.")
        if storage == "encoded" and size is not None:
            raise ConfigError(
                f"prepare.size={size} does not go with prepare.storage=encoded, which keeps every file as it is",
                "Give prepare.storage=pixels, or leave prepare.size out.",
            )
        for name, value in (("size", size), ("workers", workers), ("limit", limit)):
            if value is not None and value < 1:
                raise ConfigError(f"prepare.{name}={value}", "Give 1 or more, or null.")
        if not 0 <= max_failures <= 1:
            raise ConfigError(f"prepare.max_failures={max_failures}", "Give a share from 0 to 1.")
        self.path = path
        self.part = path.with_name(path.name + ".part")
        self.storage = storage
        self.size = size
        self.limit = limit
        self.workers = workers or cores()
        self.max_failures = max_failures
        self.decoder: Backend = decoder
        self.max_pixels = max_pixels

    def write(self, manifest: Manifest, store: ImageStore) -> Prepared:
        """Write the file, or go on where an earlier call was stopped, or find that it is there.

        Raises:
            ConfigError: the file is there with other settings.
            DataError: there is nothing to write; more images than `max_failures` cannot be read (they are in the
                error's ``failures``); the disk is full; a source changed while it was read; another process is
                preparing the same file.
        """
        layout.check_names(manifest)
        rows = prepared_rows(manifest, self.limit)
        if not len(rows):
            raise DataError(
                f"none of the {len(manifest)} rows has a split", "Name a split column, or a label column for folds."
            )
        settings = self._settings(manifest, rows)
        if self.path.exists():
            return self._found(settings)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        journal = Journal(self.path.with_name(self.path.name + ".journal"), settings)
        try:
            job = _Job(self, manifest, store, rows, journal)
            failures = job.run()
            self._publish(job, settings)
        except OSError as error:
            raise self._explained(error) from error
        finally:
            journal.close()
        journal.path.unlink(missing_ok=True)
        return Prepared(
            self.path, _counts(manifest, job.kept()), failures, time.monotonic() - started, job.read,
            self.path.stat().st_size,
        )  # fmt: skip

    def _settings(self, manifest: Manifest, rows: NDArray[np.int64]) -> dict[str, Any]:
        """All that the file's content depends on."""
        return {
            "images": manifest.take(rows).fingerprint(),
            "sources": _sources(manifest),
            "storage": self.storage,
            "size": self.size,
            "limit": self.limit,
            "decoder": self.decoder,
            "max_pixels": self.max_pixels,
        }

    def _found(self, settings: dict[str, Any]) -> Prepared:
        try:
            with h5py.File(self.path, "r") as file:
                stored = json.loads(file.attrs.get("settings", "{}"))
                counts = {
                    (name, int(label)): int(count)
                    for name, group in file.items()
                    for label, count in zip(*np.unique(group["target"][:], return_counts=True), strict=True)
                }
        except (OSError, KeyError) as error:
            raise ConfigError(
                f"{self.path} is there and is no prepared file: {error}", "Give another prepare.out."
            ) from error
        if not stored:
            raise ConfigError(f"{self.path} is there and was not prepared by us", "Give another prepare.out.")
        names = {"images": "the images", "sources": "the source files"}
        differing = [
            names.get(key, f"{key} ({stored.get(key)} there, {value} wanted)")
            for key, value in settings.items()
            if stored.get(key) != value
        ]
        if differing:
            raise ConfigError(
                f"{self.path} was prepared with other settings: {', '.join(differing)}",
                "Give another prepare.out or experiment_id, or remove the file.",
            )
        return Prepared(self.path, counts, nbytes=self.path.stat().st_size, already=True)

    def _publish(self, job: "_Job", settings: dict[str, Any]) -> None:
        attributes = {
            "storage": self.storage,
            "size": self.size or 0,
            "decoder": self.decoder,
            "versions": json.dumps(versions() | {"torch": str(torch.__version__), "h5py": h5py.__version__}),
            "settings": json.dumps(settings),
        }
        job.finish(attributes)
        sync_file(self.part)
        self.part.replace(self.path)
        sync_file(self.path.parent)

    def _explained(self, error: OSError) -> DataError:
        free = shutil.disk_usage(self.path.parent).free
        if error.errno == errno.ENOSPC or "No space left" in str(error):
            return DataError(
                f"the disk of {self.path.parent} is full ({free / 2**20:,.0f} MiB free)",
                f"Make room and run again, it goes on where it stopped; or remove {self.part.name}.",
            )
        return DataError(f"{self.path} cannot be prepared: {error}", "Check the path and its permissions.")


class _Job:
    """One call of `Hdf5Writer.write`: what is known of each row so far."""

    def __init__(
        self, writer: Hdf5Writer, manifest: Manifest, store: ImageStore, rows: NDArray[np.int64], journal: Journal
    ) -> None:
        self.writer = writer
        self.manifest = manifest
        self.store = store
        self.rows = rows
        self.groups = layout.split_rows(manifest, rows)
        self.journal = journal
        self.facts = Facts(len(manifest))
        self.copied = np.zeros(len(manifest), bool)
        self.failed: dict[int, str] = {}
        self.room = False
        self.read = 0
        for entry in journal.entries:
            self._note(entry)

    def run(self) -> list[Failure]:
        """All pictures into their places."""
        if self.writer.storage == "pixels":
            offsets = self._room_for_pixels()
            self._pass("prepare", PreparePixels, self.rows[~self.facts.known[self.rows]], offsets)
            return self._accepted()
        self._pass("verify", Verify, self.rows[~self.facts.known[self.rows]], None)
        failures = self._accepted()
        kept = self.kept()
        offsets = self._room_for_bytes()
        self._pass("copy", Copy, kept[~self.copied[kept]], offsets)
        return failures

    def kept(self) -> NDArray[np.int64]:
        """Rows that can be read."""
        return self.rows[self.facts.known[self.rows]]

    def finish(self, attributes: dict[str, Any]) -> None:
        """Columns and attributes."""
        part = self.writer.part
        groups = {name: rows[self.facts.known[rows]] for name, rows in self.groups.items()}
        spans = {}
        if self.writer.storage == "pixels":
            orders = layout.close_gaps(part, {name: self.facts.known[rows] for name, rows in self.groups.items()})
            groups = {name: self.groups[name][order] for name, order in orders.items()}
        else:
            groups = {name: rows for name, rows in groups.items() if len(rows)}
            spans = {name: self._span(rows) for name, rows in groups.items()}
        layout.write_columns(part, self._described(), groups, attributes, spans)

    def _pass(
        self, name: str, kind: Callable[[Task, NDArray[np.int64] | None], Any], rows: NDArray[np.int64],
        offsets: NDArray[np.int64] | None,
    ) -> None:  # fmt: skip
        writer = self.writer
        bar = tqdm(total=len(self.rows), initial=len(self.rows) - len(rows), desc=name, unit=" images", smoothing=0.05)
        with bar, dealt(self.store, rows, writer.workers) as (store, runs):
            task = Task(
                store, runs, writer.part, writer.size or 0, writer.decoder, writer.max_pixels, self.facts.length
            )
            for entry in parallel(kind(task, offsets), len(runs), writer.workers):
                self._note(entry)
                self.journal.add(entry, self._sync)
                count = len(entry["rows"]) + len(entry.get("failed", ()))
                self.read += 0 if kind is Copy else count
                bar.update(count)
        self.journal.flush(self._sync)

    def _note(self, entry: dict[str, Any]) -> None:
        if "room" in entry:
            self._forget()
            self.room = True
        elif entry.get("copied"):
            self.copied[entry["rows"]] = True
        else:
            self.facts.add(entry)
            self.failed |= dict(entry["failed"])

    def _forget(self) -> None:
        """What was written before the room was made anew is gone."""
        if self.writer.storage == "pixels":
            self.facts = Facts(len(self.manifest))
        self.copied[:] = False

    def _sync(self) -> None:
        if self.room:
            sync_file(self.writer.part)

    def _accepted(self) -> list[Failure]:
        """The failures, if there are few enough."""
        manifest = self.manifest
        failures = []
        for row in sorted(self.failed):
            if not self.facts.known[row]:  # it may have been read at a second try
                cell = manifest.table.slice(row, 1).select(["id", "where", "row"]).to_pylist()[0]
                failures.append(Failure(cell["id"], cell["where"], cell["row"], self.failed[row]))
        if len(failures) > self.writer.max_failures * len(self.rows):
            raise TooManyFailuresError(failures, len(self.rows), self.writer.max_failures)
        return failures

    def _room_for_pixels(self) -> NDArray[np.int64]:
        size, part = self.writer.size or 0, self.writer.part
        counts = {name: len(rows) for name, rows in self.groups.items()}
        if not (self.room and part.exists() and _lengths(part) == counts):
            self._make_room(lambda: layout.room_for_pixels(part, counts, size), len(self.rows) * size * size * 3)
        offsets = np.full(len(self.manifest), -1, np.int64)
        for name, rows in self.groups.items():
            offsets[rows] = layout.pixel_offsets(part, name)
        return offsets

    def _room_for_bytes(self) -> NDArray[np.int64]:
        part = self.writer.part
        groups = {name: rows[self.facts.known[rows]] for name, rows in self.groups.items()}
        totals = {name: int(self.facts.length[rows].sum()) for name, rows in groups.items() if len(rows)}
        if not (self.room and part.exists() and _lengths(part) == totals):
            self._make_room(lambda: layout.room_for_bytes(part, totals), sum(totals.values()))
        offsets = np.full(len(self.manifest), -1, np.int64)
        for name in totals:
            offsets[groups[name]] = layout.bytes_offset(part, name) + self._span(groups[name])[0]
        return offsets

    def _make_room(self, make: Callable[[], None], nbytes: int) -> None:
        part = self.writer.part
        part.unlink(missing_ok=True)
        free = shutil.disk_usage(part.parent).free
        needed = nbytes + SPARE + 1024 * len(self.rows)
        if needed > free:
            raise DataError(
                f"the disk of {part.parent} is full: {needed / 2**20:,.0f} MiB are needed, {free / 2**20:,.0f} free",
                "Make room, give prepare.out on another disk, or take fewer or smaller images (prepare.limit, size).",
            )
        make()
        self._note({"room": True})
        self.journal.add({"room": True}, self._sync)
        self.journal.flush(self._sync)

    def _span(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        lengths = self.facts.length[rows]
        return np.cumsum(lengths) - lengths, lengths

    def _described(self) -> Manifest:
        """The manifest with the sizes and formats that were found."""
        table, known = self.manifest.table, self.facts.known
        found = {
            "width": np.where(known, self.facts.width, self.manifest.column("width")),
            "height": np.where(known, self.facts.height, self.manifest.column("height")),
            "format": np.where(known, self.facts.formats(), self.manifest.column("format")),
        }
        for name, values in found.items():
            place = table.column_names.index(name)
            table = table.set_column(place, name, pa.array(values, table.schema.field(name).type))
        return Manifest(table)


class TooManyFailuresError(DataError):
    """More images than allowed cannot be read.

    Args:
        failures: all of them.
        count: images there are.
        most: share allowed.
    """

    def __init__(self, failures: list[Failure], count: int, most: float) -> None:
        share = len(failures) / count
        super().__init__(
            f"{len(failures)} of {count} images cannot be read ({share:.2%}, prepare.max_failures={most}); the first: "
            f"{failures[0].id!r} ({failures[0].where}[{failures[0].row}]): {failures[0].reason}",
            "See failures.csv and mend them, or allow more: the images read so far are kept for the next run.",
        )
        self.failures = failures


def sync_file(path: Path) -> None:
    """Bring a file, or a folder's entries, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _lengths(path: Path) -> dict[str, int]:
    """Lengths of the pictures' datasets, by group; none where the file was cut short."""
    try:
        with h5py.File(path, "r") as file:
            return {name: len(group["image"] if "image" in group else group["bytes"]) for name, group in file.items()}
    except (OSError, KeyError):
        return {}


def _counts(manifest: Manifest, rows: NDArray[np.int64]) -> dict[tuple[str, int], int]:
    splits, labels = manifest.column("split")[rows], manifest.labels[rows]
    pairs = [(str(split), int(label)) for split, label in zip(splits, labels, strict=True)]
    return {pair: pairs.count(pair) for pair in sorted(set(pairs))}


def _sources(manifest: Manifest) -> str:
    """Hash of the names and sizes of the files the images lie in."""
    digest = blake2b(digest_size=16)
    for name in sorted(set(manifest.column("where"))):
        file = Path(str(name).rpartition(GROUP_SEPARATOR)[0] or name)
        digest.update(f"{file.name}\x1f{file.stat().st_size if file.exists() else -1}\x1e".encode())
    return digest.hexdigest()
