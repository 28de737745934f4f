"""Shards of a large set of images, scored independently in any order and merged with each image once."""

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
from contracts.words import counted
from datamodules.loading.dataset import Failure


class Scored(NamedTuple):
    """Predictions (None except on rank 0), images that could not be read, and notes on readable images by id."""

    predictions: Predictions | None
    failures: list[Any]
    notes: dict[str, str]


@dataclass(frozen=True)
class Shards:
    """Shards of a manifest's rows, each of adjacent rows, so that shards read separate files.

    A shard's file has a hash of the images, weights and settings; shards with another hash are rejected.
    """

    folder: Path  # of the shards' files
    count: int  # number of shards
    key: str  # hash of the checkpoint and the configuration

    def rows(self, rows: Rows, number: int) -> Rows:
        """The rows of a shard."""
        return np.array_split(rows, self.count)[number]

    def file(self, number: int) -> Path:
        """Dump of a shard; a ``.json`` file next to it, written last, describes it."""
        return self.folder / f"part-{number:05d}-of-{self.count:05d}.npz"

    def done(self, number: int) -> bool:
        """Whether a shard is complete.

        Raises:
            DataError: it was scored with another checkpoint or configuration.
        """
        note = self.file(number).with_suffix(".json")
        if not note.is_file():
            return False
        if json.loads(note.read_text())["key"] != self.key:
            raise DataError(
                f"{self.file(number)} was scored with other weights or settings",
                "Remove its folder, or set another predict.out.",
            )
        return True

    def score(self, number: int, work: Callable[[], Scored]) -> None:
        """Scores a shard; ``work`` does so on every rank."""
        predictions, failures, notes = work()
        if predictions is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        write_predictions(self.file(number), predictions)
        listed = [[each.id, each.where, each.reason] for each in failures]
        note = {"key": self.key, "failures": listed, "notes": notes}
        write_atomically(self.file(number).with_suffix(".json"), json.dumps(note).encode())

    def missing(self) -> list[int]:
        """Incomplete shards."""
        return [number for number in range(self.count) if not self.done(number)]

    def merged(self, ids: Sequence[str]) -> Scored:
        """All shards merged, each image exactly once.

        Raises:
            DataError: an image is in no shard, or in two.
        """
        notes = [json.loads(self.file(number).with_suffix(".json").read_text()) for number in range(self.count)]
        failures = sorted(Failure(*failure) for note in notes for failure in note["failures"])
        unreadable = {failure.id for failure in failures}
        parts = [read_predictions(self.file(number)) for number in range(self.count)]
        # shards of an earlier version have no notes
        remarks = {name: text for note in notes for name, text in note.get("notes", {}).items()}
        return Scored(merge(parts, [name for name in ids if name not in unreadable]), failures, remarks)


def shard_number(given: int | None, count: int, verb: str, env: Mapping[str, str] = os.environ) -> int:
    """This process's shard: the given one, else the task's number in a SLURM array.

    Raises:
        ConfigError: neither is set, or the number is out of range.
    """
    number = given if given is not None else env.get("SLURM_ARRAY_TASK_ID")
    if number is None:
        raise ConfigError(
            f"{verb}.shards={count} without {verb}.shard", f"Give {verb}.shard=N, or -m '{verb}.shard=range({count})'."
        )
    if not 0 <= int(number) < count:
        raise ConfigError(
            f"{verb}.shard={number} is out of range for {counted(count, 'shard')}", f"Give 0 to {count - 1}."
        )
    return int(number)
