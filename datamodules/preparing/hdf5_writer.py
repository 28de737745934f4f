"""Writes any data set into one HDF5 file, with several processes and bounded memory; a kill costs seconds of work.

Space for every image is allocated first; then each worker writes its images directly to their places in the closed
file, bypassing the library and its lock. Encoded images need two passes, because their lengths must be known first: one
verifies that each can be decoded, and one copies it. A journal beside the file records finished work.
"""

import errno
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray

from contracts.errors import ConfigError, DataError
from contracts.files import sync
from contracts.names import as_path, as_text
from contracts.words import counted
from datamodules.loading.decode import versions
from datamodules.loading.stores import GROUP_SEPARATOR, ImageStore
from datamodules.preparing import hdf5_layout as layout
from datamodules.preparing.job import Failure, Job
from datamodules.preparing.journal import Journal
from datamodules.preparing.parts import Parts, Union
from datamodules.preparing.plan import Plan
from datamodules.preparing.subset import prepared_rows
from datamodules.tables.manifest import SCHEMA, Manifest

UNWRITTEN = {"verify": "pixels"}  # settings that a file lacks where they have these values


@dataclass
class Prepared:
    """Result of a preparation."""

    path: Path  # the file
    images: dict[tuple[str, int], int]  # number of images by split and label
    failures: list[Failure] = field(default_factory=list)  # images that could not be read
    seconds: float = 0.0  # duration of this run; 0 if nothing was left to do
    read: int = 0  # number of images read in this run
    nbytes: int = 0  # bytes of the file
    already: bool = False  # whether the file already existed


class Hdf5Writer(Plan):
    """Writes the rows of ``train``, ``valid`` and ``test`` of a manifest."""

    def write(self, manifest: Manifest, store: ImageStore, rows: NDArray[np.int64] | None = None) -> Prepared:
        """Write the file, or continue an earlier call that was stopped, or find that the file is finished.

        Args:
            manifest: manifest of all images.
            store: store to read them from.
            rows: rows to write; None for all with a split, within the limit.

        Raises:
            ConfigError: the file exists with other settings.
            DataError: there is nothing to write; more images than `max_failures` cannot be read (they are in the
                `TooManyFailuresError`); the disk is full; a source changed while it was read; another process is
                preparing the same file.
        """
        rows = self.rows(manifest) if rows is None else rows
        settings = self.settings(manifest, rows)
        return self._written(manifest, settings, settings, lambda log: Job(self, manifest, store, rows, log))

    def write_part(self, manifest: Manifest, store: ImageStore, parts: Parts, number: int) -> None:
        """Write or continue one part; the number of unreadable images is only checked when parts are merged.

        Raises:
            DataError: as `write`, or there are more parts than images.
        """
        rows = self.rows(manifest)
        if parts.count > len(rows):
            raise DataError(f"prepare.shards={parts.count} for {counted(len(rows), 'image')}", "Give fewer shards.")
        file = parts.file(number)
        file.unlink(missing_ok=True)  # without its note, its failures are unknown
        writer = replace(self, path=file, max_failures=1.0)
        parts.close(number, writer.write(manifest, store, parts.rows(rows, number)).failures)

    def merge(self, manifest: Manifest, parts: Parts) -> Prepared:
        """Merge all parts into the file that `write` would write, or continue that, or find that it is finished.

        Raises:
            ConfigError: the file exists with other settings.
            DataError: as `write`, or the parts are inconsistent.
        """
        rows = self.rows(manifest)
        log = parts.settings | {"parts": parts.count}
        return self._written(manifest, parts.settings, log, lambda log: Union(self, manifest, rows, log, parts))

    def rows(self, manifest: Manifest) -> NDArray[np.int64]:
        """The rows to write.

        Raises:
            DataError: there are none.
        """
        layout.check_columns(manifest)
        rows = prepared_rows(manifest, self.limit)
        if not len(rows):
            raise DataError(
                f"none of the {len(manifest)} rows has a split", "Name a split column, or a label column for folds."
            )
        return rows

    def _written(
        self, manifest: Manifest, settings: dict[str, Any], log: dict[str, Any], make: Callable[[Journal], Job]
    ) -> Prepared:
        if self.path.exists():
            return self._found(settings)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        journal = Journal(self.path.with_name(self.path.name + ".journal"), log)
        try:
            if self.path.exists():  # another process with the journal has just finished
                return self._found(settings)
            job = make(journal)
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

    def settings(self, manifest: Manifest, rows: NDArray[np.int64]) -> dict[str, Any]:
        """All settings that the file's content depends on."""
        further = {field.name: str(field.type) for field in manifest.table.schema if field.name not in SCHEMA.names}
        return {
            "images": manifest.take(rows).fingerprint(),
            "sources": _sources(manifest),
            "storage": self.storage,
            "size": self.size,
            "limit": self.limit,
            "decoder": self.decoder,
            "max_pixels": self.max_pixels,
            **({} if self.verify == "pixels" else {"verify": self.verify}),
            **({"columns": further} if further else {}),
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
                f"{self.path} exists and is not a prepared file: {error}", "Give another prepare.out."
            ) from error
        if not stored:
            raise ConfigError(f"{self.path} exists, but not from task=prepare", "Give another prepare.out.")
        names = {"images": "the images", "sources": "the source files"}
        differing = [
            names.get(key, f"{key} ({stored.get(key, UNWRITTEN.get(key))} in the file, {value} now)")
            for key, value in (UNWRITTEN | settings).items()
            if stored.get(key, UNWRITTEN.get(key)) != value
        ]
        if differing:
            raise ConfigError(
                f"{self.path} was prepared with other settings: {', '.join(differing)}",
                "Give another prepare.out or experiment_id, or remove the file.",
            )
        return Prepared(self.path, counts, nbytes=self.path.stat().st_size, already=True)

    def _publish(self, job: Job, settings: dict[str, Any]) -> None:
        attributes = {
            "storage": self.storage,
            "size": self.size or 0,
            "decoder": self.decoder,
            "versions": json.dumps(versions() | {"torch": str(torch.__version__), "h5py": h5py.__version__}),
            "settings": json.dumps(settings),
        }
        job.finish(attributes)
        sync(self.part)
        self.part.replace(self.path)
        sync(self.path.parent)

    def _explained(self, error: OSError) -> DataError:
        free = shutil.disk_usage(self.path.parent).free
        if error.errno == errno.ENOSPC or "No space left" in str(error):
            return DataError(
                f"the disk of {self.path.parent} is full ({free / 2**20:,.0f} MiB free)",
                f"Free some space and run again to continue where it stopped, or remove {self.part.name}.",
            )
        return DataError(f"{self.path} cannot be prepared: {error}", "Check the path and its permissions.")


def _counts(manifest: Manifest, rows: NDArray[np.int64]) -> dict[tuple[str, int], int]:
    splits, labels = manifest.column("split")[rows], manifest.labels[rows]
    pairs = [(str(split), int(label)) for split, label in zip(splits, labels, strict=True)]
    return {pair: pairs.count(pair) for pair in sorted(set(pairs))}


def _sources(manifest: Manifest) -> str:
    """Hash of the names and sizes of the files that contain the images."""
    digest = blake2b(digest_size=16)
    for name in sorted(set(manifest.column("where"))):
        file = as_path(str(name).rpartition(GROUP_SEPARATOR)[0] or str(name))
        digest.update(f"{as_text(file.name)}\x1f{file.stat().st_size if file.exists() else -1}\x1e".encode())
    return digest.hexdigest()
