"""A preparation in parts, each a file made on any machine, merged into the same file that one run would write."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from contracts.errors import DataError
from contracts.files import write_atomically
from datamodules.loading.hdf5_manifest import GROUPS
from datamodules.loading.stores import GROUP_SEPARATOR, Hdf5Store, Pixels
from datamodules.preparing.job import Failure, Job
from datamodules.preparing.journal import Journal
from datamodules.preparing.plan import Plan
from datamodules.preparing.work import Copy
from datamodules.tables.manifest import Manifest

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Parts:
    """Runs of neighbouring rows, so that each part reads different files.

    A part is a prepared file; a note beside it, written last, records its settings and the images that
    are missing in it. A part without a note is made again.
    """

    folder: Path  # folder of the parts until they are merged
    count: int  # number of parts
    settings: dict[str, Any]  # settings of the whole preparation

    def rows(self, rows: Rows, number: int) -> Rows:
        """Rows of one part."""
        return np.array_split(rows, self.count)[number]

    def file(self, number: int) -> Path:
        """The file of one part."""
        return self.folder / f"part-{number:05d}-of-{self.count:05d}.h5"

    def done(self, number: int) -> bool:
        """Whether a part is complete.

        Raises:
            DataError: it was prepared with other settings.
        """
        try:
            note = json.loads(self._note(number).read_text())
        except FileNotFoundError:
            return False
        if note["settings"] != self.settings:
            names = sorted(name for name, value in self.settings.items() if note["settings"].get(name) != value)
            raise DataError(
                f"{self.file(number)} was prepared with other {', '.join(names)}", f"Remove {self.folder} first."
            )
        return True

    def missing(self) -> list[int]:
        """Numbers of the parts that are not complete."""
        return [number for number in range(self.count) if not self.done(number)]

    def close(self, number: int, failures: list[Failure]) -> None:
        """Write the note of a complete part."""
        note = {"settings": self.settings, "failures": [[each.id, each.reason] for each in failures]}
        write_atomically(self._note(number), json.dumps(note).encode())

    def failures(self, number: int) -> dict[str, str]:
        """Reasons why images could not be read, by id."""
        return dict(json.loads(self._note(number).read_text())["failures"])

    def columns(self, number: int) -> Iterator[tuple[str, dict[str, NDArray[Any]]]]:
        """A part's metadata of its images, group by group."""
        with h5py.File(self.file(number), "r") as file:
            for name in GROUPS:
                if name in file:
                    group = file[name]
                    found = {key: group[key][:] for key in ("width", "height", "length") if key in group}
                    texts = {key: group[key].asstr()[:] for key in ("id", "format")}
                    yield f"{self.file(number)}{GROUP_SEPARATOR}{name}", found | texts

    def remove(self) -> None:
        """Delete all parts."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _note(self, number: int) -> Path:
        return self.file(number).with_suffix(".json")


class RawStore(Hdf5Store):
    """Reads both encoded images and pixels as bytes."""

    def read(self, row: int, into: Pixels | None = None) -> bytes:  # noqa: ARG002
        """The row's bytes."""
        cell = super().read(row)
        return cell if isinstance(cell, bytes) else cell.tobytes()


class Union(Job):
    """Copies the images of all parts to the places where one run would have put them.

    Args:
        plan: settings.
        manifest: manifest of all images.
        rows: rows of all parts.
        journal: record of earlier calls.
        parts: the complete parts.

    Raises:
        DataError: an image is in two parts, or in none although it was read without a failure.
    """

    def __init__(self, plan: Plan, manifest: Manifest, rows: Rows, journal: Journal, parts: Parts) -> None:
        where = np.full(len(manifest), "", object)
        place = np.full(len(manifest), -1, np.int64)
        self.entries: list[dict[str, Any]] = []
        for number in range(parts.count):
            own = parts.rows(rows, number)
            by_id = dict(zip(manifest.column("id")[own].tolist(), own.tolist(), strict=True))
            self._take(parts, number, by_id, where, place, plan)
        super().__init__(plan, manifest, RawStore(manifest.replaced(where=where, row=place)), rows, journal)

    def run(self) -> list[Failure]:
        """Write all images to their places."""
        self._recall()
        failures = self._accepted()
        offsets = self._allocate_pixels() if self.plan.storage == "pixels" else self._allocate_bytes()
        self._recall()  # newly allocated space contains none of them
        kept = self.kept()
        self._pass("merge", Copy, kept[~self.copied[kept]], offsets)
        return failures

    def _recall(self) -> None:
        for entry in self.entries:
            self._note(entry)

    def _take(
        self, parts: Parts, number: int, by_id: dict[str, int], where: NDArray[Any], place: Rows, plan: Plan
    ) -> None:
        failed = [(by_id.pop(name), reason) for name, reason in parts.failures(number).items()]
        entry: dict[str, Any] = {"rows": [], "width": [], "height": [], "length": [], "format": [], "failed": failed}
        for group, columns in parts.columns(number):
            try:
                own = [by_id.pop(name) for name in columns["id"].tolist()]
            except KeyError as error:
                raise DataError(f"{group} contains {error} twice or unexpectedly", "Remove the parts.") from error
            where[own], place[own] = group, np.arange(len(own))
            pixels = np.full(len(own), (plan.size or 0) ** 2 * 3)
            entry["rows"] += own
            entry["length"] += columns.get("length", pixels).tolist()
            for name in ("width", "height", "format"):
                entry[name] += columns[name].tolist()
        if by_id:
            raise DataError(f"{parts.file(number)} lacks {next(iter(by_id))!r}", "Remove that file and run again.")
        self.entries.append(entry)
