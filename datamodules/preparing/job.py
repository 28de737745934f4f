"""The work of one preparation: allocate space for every image, then write each to its place."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from contracts.errors import DataError
from contracts.files import sync
from datamodules.arrow.fed_store import dealt
from datamodules.loading.parallel import cores, parallel
from datamodules.loading.stores import ImageStore
from datamodules.preparing import hdf5_layout as layout
from datamodules.preparing.journal import Journal
from datamodules.preparing.plan import Plan
from datamodules.preparing.work import Copy, Facts, PreparePixels, Task, Verify, VerifyHeader
from datamodules.tables.manifest import Manifest

SPARE = 2**20  # Bytes kept free for everything except images, in addition to one KiB per row


@dataclass(frozen=True)
class Failure:
    """An image that is not in the file, and why."""

    id: str
    where: str
    row: int
    reason: str


class TooManyFailuresError(DataError):
    """More images than allowed cannot be read.

    Args:
        failures: all failures.
        count: number of images.
        most: fraction allowed.
    """

    def __init__(self, failures: list[Failure], count: int, most: float) -> None:
        share = len(failures) / count
        super().__init__(
            f"{len(failures)} of {count} images cannot be read ({share:.2%}, prepare.max_failures={most}), first "
            f"{failures[0].id!r} ({failures[0].where}[{failures[0].row}]): {failures[0].reason}",
            "Repair those in failures.csv, or raise prepare.max_failures; the next run keeps the images read so far.",
        )
        self.failures = failures


@dataclass(eq=False)
class Job:
    """One call of `Hdf5Writer.write`: what is known about each row, and the remaining work."""

    plan: Plan  # settings
    manifest: Manifest  # manifest of all images
    store: ImageStore  # store to read them from
    rows: NDArray[np.int64]  # rows of the manifest to write
    journal: Journal  # record of earlier calls

    def __post_init__(self) -> None:
        self.groups = layout.split_rows(self.manifest, self.rows)
        self.facts = Facts(len(self.manifest))
        self.copied = np.zeros(len(self.manifest), bool)
        self.failed: dict[int, str] = {}
        self.room = False
        self.read = 0  # number of images read by this call
        for entry in self.journal.entries:
            self._note(entry)

    def run(self) -> list[Failure]:
        """Write all images to their places."""
        if self.plan.storage == "pixels":
            offsets = self._allocate_pixels()
            self._pass("prepare", PreparePixels, self.rows[~self.facts.known[self.rows]], offsets)
            return self._accepted()
        verified = Verify if self.plan.verify == "pixels" else VerifyHeader
        self._pass("verify", verified, self.rows[~self.facts.known[self.rows]], None)
        failures = self._accepted()
        kept = self.kept()
        offsets = self._allocate_bytes()
        self._pass("copy", Copy, kept[~self.copied[kept]], offsets)
        return failures

    def kept(self) -> NDArray[np.int64]:
        """Rows whose image is readable."""
        return self.rows[self.facts.known[self.rows]]

    def finish(self, attributes: dict[str, Any]) -> None:
        """Write columns and attributes."""
        part = self.plan.part
        groups = {name: rows[self.facts.known[rows]] for name, rows in self.groups.items()}
        spans = {}
        if self.plan.storage == "pixels":
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
        plan, workers = self.plan, self.plan.workers or cores()
        bar = tqdm(total=len(self.rows), initial=len(self.rows) - len(rows), desc=name, unit=" images", smoothing=0.05)
        with bar, dealt(self.store, rows, workers) as (store, runs):
            task = Task(plan, store, runs, self.facts.length)
            work = kind(task, offsets)
            for entry in parallel(work, len(runs), workers, work.rest):
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
        """Forget what was written before the space was allocated again."""
        if self.plan.storage == "pixels":
            self.facts = Facts(len(self.manifest))
        self.copied[:] = False

    def _sync(self) -> None:
        if self.room:
            sync(self.plan.part)

    def _accepted(self) -> list[Failure]:
        """The failures, or an error if there are too many."""
        manifest = self.manifest
        failures = []
        for row in sorted(self.failed):
            if not self.facts.known[row]:  # a second attempt may have succeeded
                cell = manifest.table.slice(row, 1).select(["id", "where", "row"]).to_pylist()[0]
                failures.append(Failure(cell["id"], cell["where"], cell["row"], self.failed[row]))
        if len(failures) > self.plan.max_failures * len(self.rows):
            raise TooManyFailuresError(failures, len(self.rows), self.plan.max_failures)
        return failures

    def _allocate_pixels(self) -> NDArray[np.int64]:
        size, part = self.plan.size or 0, self.plan.part
        counts = {name: len(rows) for name, rows in self.groups.items()}
        if not (self.room and part.exists() and _lengths(part) == counts):
            self._make_room(lambda: layout.allocate_pixels(part, counts, size), len(self.rows) * size * size * 3)
        offsets = np.full(len(self.manifest), -1, np.int64)
        for name, rows in self.groups.items():
            offsets[rows] = layout.pixel_offsets(part, name)
        return offsets

    def _allocate_bytes(self) -> NDArray[np.int64]:
        part = self.plan.part
        groups = {name: rows[self.facts.known[rows]] for name, rows in self.groups.items()}
        totals = {name: int(self.facts.length[rows].sum()) for name, rows in groups.items() if len(rows)}
        if not (self.room and part.exists() and _lengths(part) == totals):
            self._make_room(lambda: layout.allocate_bytes(part, totals), sum(totals.values()))
        offsets = np.full(len(self.manifest), -1, np.int64)
        for name in totals:
            offsets[groups[name]] = layout.bytes_offset(part, name) + self._span(groups[name])[0]
        return offsets

    def _make_room(self, make: Callable[[], None], nbytes: int) -> None:
        part = self.plan.part
        part.unlink(missing_ok=True)
        free = shutil.disk_usage(part.parent).free
        needed = nbytes + SPARE + 1024 * len(self.rows)
        if needed > free:
            raise DataError(
                f"the disk of {part.parent} is full: {needed / 2**20:,.0f} MiB needed, {free / 2**20:,.0f} MiB free",
                "Free space, set prepare.out on another disk, or use fewer or smaller images (prepare.limit, size).",
            )
        make()
        layout.reserve(part)
        self._note({"room": True})
        self.journal.add({"room": True}, self._sync)
        self.journal.flush(self._sync)

    def _span(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        lengths = self.facts.length[rows]
        return np.cumsum(lengths) - lengths, lengths

    def _described(self) -> Manifest:
        """The manifest with the sizes and formats found in the files."""
        known, columns = self.facts.known, self.manifest.column
        return self.manifest.replaced(
            width=np.where(known, self.facts.width, columns("width")),
            height=np.where(known, self.facts.height, columns("height")),
            format=np.where(known, self.facts.formats(), columns("format")),
        )


def _lengths(path: Path) -> dict[str, int]:
    """Lengths of the image datasets, by group; empty if the file is incomplete."""
    try:
        with h5py.File(path, "r") as file:
            return {name: len(group["image"] if "image" in group else group["bytes"]) for name, group in file.items()}
    except (OSError, KeyError):
        return {}
