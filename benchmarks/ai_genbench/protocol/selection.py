"""The images that each stage of AI-GenBench is trained, validated and tested on."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.ai_genbench.protocol.generators import (
    Generator,
    check_leaderboard_names,
    find_generators,
    load_generators,
    names_by_id,
    sliding_windows,
)
from benchmarks.ai_genbench.protocol.replay import Replay, replayed_rows
from benchmarks.ai_genbench.protocol.validation import pair_reals, validation_order
from benchmarks.ai_genbench.protocol.windows import Mode, Rows, TrainingWindows, as_rows
from contracts.errors import DataError
from contracts.keys import random_key
from datamodules.tables.manifest import Manifest

Pairing = Literal["validate", "test"]


@dataclass(frozen=True)
class Selection:
    """Rows of a manifest by the benchmark's rules.

    Raises:
        DataError: Generators are missing or foreign, or there are no training images.
        ConfigError: An unknown generator's name, or impossible windows.
    """

    manifest: Manifest  # The data set
    names: Sequence[str] | None = None  # Generators used; None for exactly the benchmark's 36
    window_size: int = 4  # Generators in a window
    window_step: int | None = None  # Generators between starts of windows; None for `window_size`
    pairing: Pairing = "validate"  # Which of the original's two stages pairs real test images with generators
    seed: int = 0  # Random seed of the images held out

    def __post_init__(self) -> None:
        if not len(self.rows("train")):
            raise DataError("the data set has no image in split 'train'", "Give AI-GenBench's own data set.")
        held = self.manifest.column("generator")[self.rows("train")]
        if self.names is None:
            check_leaderboard_names(held.tolist())
        elif missing := sorted({generator.name for generator in self.generators} - set(held)):
            raise DataError(
                f"the data set has no training image of {', '.join(missing)}",
                "In benchmark.generators, list only generators that it has.",
            )

    @cached_property
    def generators(self) -> tuple[Generator, ...]:
        """Generators used, oldest first."""
        return load_generators() if self.names is None else find_generators(self.names)

    @cached_property
    def windows(self) -> tuple[tuple[Generator, ...], ...]:
        """Generators of each window."""
        return sliding_windows(self.generators, self.window_size, self.window_step)

    @cached_property
    def ids(self) -> NDArray[np.int64]:
        """[N] the benchmark's generator id of every row; 0 for real, -1 for an image that is not used."""
        used = {generator.name: generator.id for generator in self.generators}
        table = np.array([0, *(used.get(name, -1) for name in self.manifest.generator_names[1:])], dtype=np.int64)
        ids = table[self.manifest.generator_index]
        ids[self.manifest.labels < 0] = -1
        ids[(self.manifest.labels == 1) & (self.manifest.generator_index == 0)] = -1
        return ids

    def rows(self, split: str) -> Rows:
        """Rows of a split that are used, in the data set's order."""
        rows = self.manifest.rows(split)
        return rows[self.ids[rows] >= 0]

    @cached_property
    def _training(self) -> TrainingWindows:
        return TrainingWindows(self.ids[self.rows("train")], self.windows)

    def training_rows(self, mode: Mode, window: int, replay: Replay, memory: int | None) -> Rows:
        """Rows a stage trains on, in the original's order, which seeds the `v1` copies."""
        chosen = self._training.rows(mode, window)
        if mode == "continual" and replay != "none":
            chosen = np.concatenate([chosen, replayed_rows(self._training, window, replay, memory)])
        return self.rows("train")[chosen]

    @cached_property
    def test_order(self) -> Rows:
        """Test rows in the order of evaluation, which seeds their `v1` degradation.

        Raises:
            DataError: There are none, or none of one of the generators.
        """
        rows = self.rows("test")
        if not len(rows):
            raise DataError(
                "the data set has no image in split 'test'",
                "Give one with a split 'test', or 'validation', which datamodule=ai_genbench uses as 'test'.",
            )
        held = set(self.ids[rows].tolist())
        if missing := sorted(generator.name for generator in self.generators if generator.id not in held):
            raise DataError(
                f"the data set has no test image of {', '.join(missing)}",
                "Complete it, or list in benchmark.generators only generators that it has.",
            )
        return rows[validation_order(self.ids[rows], names_by_id())]

    @cached_property
    def positions(self) -> Rows:
        """[N] position of every test row in `test_order`; for any other row the row itself."""
        positions = np.arange(len(self.manifest), dtype=np.int64)
        if len(self.rows("test")):
            positions[self.test_order] = np.arange(len(self.test_order))
        return positions

    @cached_property
    def paired(self) -> NDArray[np.int64]:
        """[N] generator id with which a real test row is paired; -1 for all others."""
        pairing = np.full(len(self.manifest), -1, dtype=np.int64)
        pairing[self.test_order] = pair_reals(self.ids[self.test_order], self.pairing)
        return pairing

    def test_rows(self, windows: int) -> Rows:
        """Test rows of the first windows and the real images paired with them, in the order of evaluation."""
        members = [generator.id for window in self.windows[:windows] for generator in window]
        order = self.test_order
        reference = np.where(self.ids[order] == 0, self.paired[order], self.ids[order])
        return order[np.isin(reference, members)]

    def validation_rows(self, trained: Rows) -> Rows:
        """Rows of the split ``valid`` of the generators trained on, and as many real ones; empty without that split."""
        rows = self.rows("valid")
        generated = rows[np.isin(self.ids[rows], np.unique(self.ids[trained][self.ids[trained] > 0]))]
        real = self.first_by_key(rows[self.ids[rows] == 0], len(generated))
        return np.sort(np.concatenate([generated, real]))

    def balanced(self, rows: Rows, count: int) -> Rows:
        """About ``count`` of the rows, equally many of each class, chosen by a key of their ids; ascending."""
        classes = [rows[self.ids[rows] == 0], rows[self.ids[rows] > 0]]
        most = min(-(-count // 2), *(len(members) for members in classes))
        return np.sort(np.concatenate([self.first_by_key(members, most) for members in classes]))

    def first_by_key(self, rows: Rows, count: int) -> Rows:
        """The rows with the lowest keys: a random choice in which other images do not change a row's key."""
        return as_rows(rows[np.argsort(self._keys[rows], kind="stable")[:count]])

    def held_out(self, rows: Rows, share: float) -> NDArray[np.bool_]:
        """Mask of the rows held out of training, the same in every stage."""
        return np.asarray(self._keys[rows] < int(share * 2**63))

    @cached_property
    def _keys(self) -> NDArray[np.int64]:
        """[N] a random key of every row's id."""
        names = self.manifest.column("id").tolist()
        return np.array([random_key(self.seed, "choose", name) for name in names], dtype=np.int64)
