"""Which images make up which batch, on which rank, in which order."""

from collections.abc import Callable, Iterator
from math import ceil

import numpy as np
from numpy.typing import NDArray

from contracts.errors import DataError
from contracts.keys import generator, random_key
from contracts.stage import Rows

Item = tuple[int, int]
"""What a data set is asked for: (row of the manifest, epoch)."""


PIXELS = 2**24
"""Most pixels of a batch of native-size images: 256 of 256x256, one photograph of 16 megapixels."""


class TrainingBatches:
    """Batches of one rank in shuffled order, resumable in the middle of an epoch.

    The order is a permutation of the rows keyed by (seed, epoch), of which every rank takes each world-th row. The last
    rows that do not fill a batch on all ranks are left out (other ones in each epoch).

    Args:
        rows: rows trained on.
        batch_size: images of a batch on one rank.
        seed: seed of the order.
        position: tells, at the start of every iteration, the epoch and how many of its batches are already done.
        rank: this process, from 0.
        world: number of processes.

    Raises:
        DataError: if there are too few rows for one batch on every rank.
    """

    def __init__(
        self,
        rows: Rows,
        batch_size: int,
        seed: int,
        position: Callable[[], tuple[int, int]] = lambda: (0, 0),
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self._rows = np.asarray(rows, dtype=np.int64)
        self._batch_size = batch_size
        self._seed = seed
        self._position = position
        self._rank = rank
        self._world = world
        if not len(self):
            ranks = f" on each of {world} devices" if world > 1 else ""
            raise DataError(
                f"{len(self._rows)} training images are fewer than one batch of {batch_size}{ranks}",
                "Lower datamodule.batch_size, or give more images.",
            )

    def __len__(self) -> int:
        """Batches of a whole epoch, wherever iteration starts."""
        return len(self._rows) // (self._batch_size * self._world)

    def __iter__(self) -> Iterator[list[Item]]:
        epoch, done = self._position()
        # sorted raw draws: NumPy promises these, not its shuffles, to stay the same from version to version
        draws = generator(random_key(self._seed, epoch), "order").bit_generator.random_raw(len(self._rows))
        mine = self._rows[np.argsort(draws, kind="stable")][self._rank :: self._world].tolist()
        for batch in range(done, len(self)):
            start = batch * self._batch_size
            yield [(row, epoch) for row in mine[start : start + self._batch_size]]


class EvaluationBatches:
    """Batches of one rank that together, over all ranks, hold every row exactly once; nothing is padded.

    Args:
        rows: rows evaluated, each once.
        batch_size: most images of a batch.
        sizes: [len(rows), 2] size of every image, where only images of equal size may share a batch; large ones then
            come in batches of at most `PIXELS`.
        rank: this process, from 0.
        world: number of processes.
    """

    def __init__(
        self, rows: Rows, batch_size: int, sizes: NDArray[np.int64] | None = None, rank: int = 0, world: int = 1
    ) -> None:
        rows = np.asarray(rows, dtype=np.int64)
        groups, most = [rows], [batch_size]
        if sizes is not None and len(rows):
            order = np.lexsort((np.arange(len(rows)), sizes[:, 1], sizes[:, 0]))
            borders = np.flatnonzero(np.any(np.diff(sizes[order], axis=0), axis=1)) + 1
            groups = np.split(rows[order], borders)
            pixels = sizes[order].prod(axis=1)[[0, *borders]]
            most = np.clip(PIXELS // np.maximum(pixels, 1), 1, batch_size).tolist()
        batches = [batch for group, size in zip(groups, most, strict=True) for batch in _chunks(group, size)]
        self._batches = _even(batches, world)[rank::world]

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[list[Item]]:
        for batch in self._batches:
            yield [(row, 0) for row in batch.tolist()]


def _chunks(rows: Rows, size: int) -> list[Rows]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _even(batches: list[Rows], world: int) -> list[Rows]:
    """Halve the largest batches until every rank gets as many, where there are enough rows for that.

    Distributed training synchronises the buffers of a net in every forward pass, so a rank with a batch more than the
    others would wait for them for ever.
    """
    missing = -len(batches) % world
    for _ in range(missing):
        largest = max(range(len(batches)), key=lambda k: len(batches[k]))
        rows = batches[largest]
        if len(rows) < 2:
            break
        half = ceil(len(rows) / 2)
        batches = [*batches[:largest], rows[:half], rows[half:], *batches[largest + 1 :]]
    return batches
