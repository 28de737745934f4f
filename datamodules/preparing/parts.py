"""A preparation in parts, each a file of its own made anywhere, and their union: the file that one run would write."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts.errors import DataError
from contracts.files import write_atomically
from datamodules.loading.hdf5_manifest import GROUPS
from datamodules.loading.stores import GROUP_SEPARATOR, Hdf5Store
from datamodules.preparing.job import Failure, Job, Plan
from datamodules.preparing.journal import Journal
from datamodules.preparing.work import Copy
from datamodules.tables.manifest import Manifest

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Parts:
    """Runs of neighbouring rows, so that each reads files of its own.

    A part is a prepared file; a note beside it, written last, says for which settings it was made and which images
    are not in it. Without its note a part is made again.

    Attributes:
        folder: where they are kept until they are put together.
        count: how many there are.
        settings: of the whole.
    """

    folder: Path
    count: int
    settings: dict[str, Any]

    def rows(self, rows: Rows, number: int) -> Rows:
        """Those of one part."""
        return np.array_split(rows, self.count)[number]

    def file(self, number: int) -> Path:
        """Of one part."""
        return self.folder / f"part-{number:05d}-of-{self.count:05d}.h5"

    def done(self, number: int) -> bool:
        """Whether a part is there.

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
        """Parts that are not there."""
        return [number for number in range(self.count) if not self.done(number)]

    def close(self, number: int, failures: list[Failure]) -> None:
        """Writes the note of a part that is complete."""
        note = {"settings": self.settings, "failures": [[each.id, each.reason] for each in failures]}
        write_atomically(self._note(number), json.dumps(note).encode())

    def failures(self, number: int) -> dict[str, str]:
        """Reasons by id of the images that could not be read."""
        return dict(json.loads(self._note(number).read_text())["failures"])

    def columns(self, number: int) -> Iterator[tuple[str, dict[str, NDArray[Any]]]]:
        """What a part knows of its images, group by group."""
        with h5py.File(self.file(number), "r") as file:
            for name in GROUPS:
                if name in file:
                    group = file[name]
                    found = {key: group[key][:] for key in ("width", "height", "length") if key in group}
                    texts = {key: group[key].asstr()[:] for key in ("id", "format")}
                    yield f"{self.file(number)}{GROUP_SEPARATOR}{name}", found | texts

    def remove(self) -> None:
        """They are no longer needed."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _note(self, number: int) -> Path:
        return self.file(number).with_suffix(".json")


class RawStore(Hdf5Store):
    """Encoded images and pixels alike as bytes."""

    def read(self, row: int) -> bytes:
        """The row's bytes."""
        cell = super().read(row)
        return cell if isinstance(cell, bytes) else cell.tobytes()


class Union(Job):
    """Copies the images of all parts to where one run would have put them.

    Args:
        plan: where to, and how.
        manifest: of all images.
        rows: of the manifest, those of all parts.
        journal: what earlier calls have done.
        parts: all there.

    Raises:
        DataError: an image is in two parts, or neither in one nor among the failures.
    """

    def __init__(self, plan: Plan, manifest: Manifest, rows: Rows, journal: Journal, parts: Parts) -> None:
        where = np.full(len(manifest), "", object)
        place = np.full(len(manifest), -1, np.int64)
        self.entries: list[dict[str, Any]] = []
        for number in range(parts.count):
            own = parts.rows(rows, number)
            by_id = dict(zip(manifest.column("id")[own].tolist(), own.tolist(), strict=True))
            self._take(parts, number, by_id, where, place, plan)
        table = manifest.table
        for name, values in (("where", where), ("row", place)):
            at = table.column_names.index(name)
            table = table.set_column(at, name, pa.array(values, table.schema.field(name).type))
        super().__init__(plan, manifest, RawStore(Manifest(table)), rows, journal)

    def run(self) -> list[Failure]:
        """All pictures into their places."""
        self._recall()
        failures = self._accepted()
        offsets = self._room_for_pixels() if self.plan.storage == "pixels" else self._room_for_bytes()
        self._recall()  # new room has none of them
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
                raise DataError(f"{group} holds {error} twice, or not as its own", "Remove the parts.") from error
            where[own], place[own] = group, np.arange(len(own))
            pixels = np.full(len(own), (plan.size or 0) ** 2 * 3)
            entry["rows"] += own
            entry["length"] += columns.get("length", pixels).tolist()
            for name in ("width", "height", "format"):
                entry[name] += columns[name].tolist()
        if by_id:
            raise DataError(f"{parts.file(number)} lacks {next(iter(by_id))!r}", "Remove it: it is made again.")
        self.entries.append(entry)
