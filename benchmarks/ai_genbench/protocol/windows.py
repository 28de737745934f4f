"""The images that each window of AI-GenBench trains on, as exact index lists.

All functions take the generator id of every row (0 for a real image) and return row indices into that array.
Source: AI-GenBench (arXiv 2504.20865); its random sampling is reproduced exactly.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchmarks.ai_genbench.protocol.generators import Generator
from contracts.errors import ConfigError, DataError, nearest

Mode = Literal["cumulative", "continual", "full"]
"""`cumulative` (official): a window trains on its own and all earlier data; `continual`: on its own data and replayed
images; `full`: one window with the whole split."""

REAL_SPLIT_SEED = 1337
"""`data_management_seed` of the benchmark: window w samples its real images with this seed plus w."""

Rows = NDArray[np.int64]


def as_rows(values: ArrayLike) -> Rows:
    """An int64 array, empty input included."""
    return np.asarray(values, dtype=np.int64)


@dataclass(frozen=True)
class TrainingWindows:
    """Training rows of every window, built once from the generator id of every row."""

    generator_ids: NDArray[np.int64]  # Shape (rows,), the generator id of each row of the training split, 0 being real
    windows: Sequence[Sequence[Generator]]  # Windows from `generators.sliding_windows`
    seed: int = REAL_SPLIT_SEED  # Random seed of window 0's real images; window w adds w

    @cached_property
    def own(self) -> tuple[tuple[Rows, Rows], ...]:
        """Per window its own `(real, generated)` rows.

        Generated rows are in data-set order. Equally many real rows are sampled, without replacement across windows. If
        windows overlap, only generators that are in no earlier window get new real rows; for the others, real rows are
        sampled from those that earlier windows used.

        Raises:
            DataError: The split has fewer real rows than the windows need, or none of a window's generators.
        """
        ids = np.asarray(self.generator_ids)
        remaining = np.flatnonzero(ids == 0)
        seen: set[int] = set()
        used: list[Rows] = []
        result = []
        for number, window in enumerate(self.windows):
            members = [generator.id for generator in window]
            generated = np.flatnonzero(np.isin(ids, members)).astype(np.int64)
            if not generated.size:
                raise DataError(
                    f"window {number} ({', '.join(g.name for g in window)}) has no images in this split of "
                    f"{ids.size} rows",
                    "Leave its generators out of benchmark.generators, or complete the data.",
                )
            fresh = int(np.isin(ids[generated], [m for m in members if m not in seen]).sum())
            if fresh > remaining.size:
                raise DataError(
                    f"window {number} needs {fresh} real images and {remaining.size} are left of "
                    f"{int((ids == 0).sum())}",
                    "Each generated image needs one real image: add real images or remove generated ones.",
                )
            draw = random.Random(self.seed + number)
            real = as_rows(draw.sample(remaining.tolist(), fresh))
            remaining = np.setdiff1d(remaining, real, assume_unique=True)
            if repeated := generated.size - fresh:
                real = np.concatenate([real, as_rows(draw.sample(np.sort(np.concatenate(used)).tolist(), repeated))])
            used.append(real[:fresh])
            seen.update(members)
            result.append((real, generated))
        return tuple(result)

    def continual(self, window: int) -> Rows:
        """Rows of `window` only: its real rows in the order sampled, then its generated rows."""
        real, generated = self.own[window]
        return np.concatenate([real, generated])

    def cumulative(self, window: int) -> Rows:
        """Rows of `window` followed by those of earlier windows, latest first, each row once."""
        rows = np.concatenate([self.continual(number) for number in range(window, -1, -1)])
        _, first = np.unique(rows, return_index=True)
        return rows[np.sort(first)]

    def full(self) -> Rows:
        """All rows of the split, in order."""
        return np.arange(len(self.generator_ids), dtype=np.int64)

    def rows(self, mode: Mode, window: int) -> Rows:
        """Training rows of `window` under `mode`, without replay.

        Raises:
            ConfigError: No such mode or window (`full` has window 0 only).
        """
        if mode not in get_args(Mode):
            raise ConfigError(f"benchmark mode {mode!r} is unknown", nearest(mode, get_args(Mode)))
        count = 1 if mode == "full" else len(self.windows)
        if not 0 <= window < count:
            raise ConfigError(f"window {window} does not exist", f"Mode {mode!r} has windows 0..{count - 1}.")
        if mode == "cumulative":
            return self.cumulative(window)
        if mode == "continual":
            return self.continual(window)
        return self.full()
