"""A large set of images in parts that are scored anywhere, in any order, and put together exactly once."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.predictions import Predictions, merge, read_predictions, write_predictions
from contracts.errors import ConfigError, DataError
from contracts.files import write_atomically
from contracts.stage import Rows
from datamodules.loading.dataset import Failure


class Scored(NamedTuple):
    """Predictions, None on ranks other than the first; images that could not be read; notes of those that could."""

    predictions: Predictions | None
    failures: list[Any]
    notes: dict[str, str]


@dataclass(frozen=True)
class Shards:
    """Parts of a manifest's rows: runs of neighbours, so that each reads files of its own.

    A part's file carries the hash of what was scored with what; parts that belong to something else are refused.

    Attributes:
        folder: where the parts are kept.
        count: how many there are.
        key: hash of the checkpoint and the configuration.
    """

    folder: Path
    count: int
    key: str

    def rows(self, rows: Rows, number: int) -> Rows:
        """The rows of one part."""
        return np.array_split(rows, self.count)[number]

    def file(self, number: int) -> Path:
        """Of one part; a note beside it, ``.json``, says what it holds and is written last."""
        return self.folder / f"part-{number:05d}-of-{self.count:05d}.npz"

    def done(self, number: int) -> bool:
        """Whether a part is there.

        Raises:
            DataError: it was scored with another checkpoint or configuration.
        """
        note = self.file(number).with_suffix(".json")
        if not note.is_file():
            return False
        if json.loads(note.read_text())["key"] != self.key:
            raise DataError(
                f"{self.file(number)} was scored with other weights or settings",
                "Remove the folder, or give another out.",
            )
        return True

    def score(self, number: int, work: Callable[[], Scored]) -> None:
        """Scores a part that is not there yet.

        Args:
            number: which.
            work: scores its rows; called by every rank.
        """
        predictions, failures, notes = work()
        if predictions is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        write_predictions(self.file(number), predictions)
        listed = [[each.id, each.where, each.reason] for each in failures]
        note = {"key": self.key, "failures": listed, "notes": notes}
        write_atomically(self.file(number).with_suffix(".json"), json.dumps(note).encode())

    def missing(self) -> list[int]:
        """Parts that are not there."""
        return [number for number in range(self.count) if not self.done(number)]

    def merged(self, ids: Sequence[str]) -> Scored:
        """All parts as one, each image exactly once.

        Args:
            ids: of all images, in their order.

        Raises:
            DataError: an image is in no part, or in two.
        """
        notes = [json.loads(self.file(number).with_suffix(".json").read_text()) for number in range(self.count)]
        failures = sorted(Failure(*failure) for note in notes for failure in note["failures"])
        unreadable = {failure.id for failure in failures}
        parts = [read_predictions(self.file(number)) for number in range(self.count)]
        # parts of an earlier version hold no remarks
        remarks = {name: told for note in notes for name, told in note.get("notes", {}).items()}
        return Scored(merge(parts, [name for name in ids if name not in unreadable]), failures, remarks)


def own_number(given: int | None, count: int, verb: str, env: Mapping[str, str] = os.environ) -> int:
    """Which part is this process's: the one given, else the number within a SLURM array.

    Raises:
        ConfigError: neither is there, or there are fewer parts.
    """
    number = given if given is not None else env.get("SLURM_ARRAY_TASK_ID")
    if number is None:
        raise ConfigError(
            f"{verb}.shards={count}, and which one?", f"Give {verb}.shard=N, or -m '{verb}.shard=range({count})'."
        )
    if not 0 <= int(number) < count:
        raise ConfigError(f"{verb}.shard={number} of {count}", f"Give 0 to {count - 1}.")
    return int(number)
