"""The images of each batch, by rank and in order."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contracts.errors import DataError
from contracts.keys import generator, random_key
from contracts.stage import Rows

Item = tuple[int, int]
"""A request to a data set: (row of the manifest, number of the look at it, counted over epochs and copies)."""


PIXELS = 2**24  # Maximum pixels in a batch of native-size images: 256 of 256x256, or one photograph of 16 megapixels

_TOGETHER = 64  # Batches whose numbers become Python's at a time


@dataclass(eq=False)
class TrainingBatches:
    """Batches of one rank in shuffled order, resumable in the middle of an epoch.

    The order is a permutation of the rows keyed by (seed, epoch); each rank takes every world-th row. The last
    rows, which do not fill a batch on all ranks, are left out (different ones in each epoch).

    Raises:
        DataError: there are too few rows for one batch on every rank.
    """

    rows: Rows  # rows to train on
    batch_size: int  # images in a batch on one rank
    seed: int  # random seed of the order
    position: Callable[[], tuple[int, int]] = lambda: (0, 0)
    """Returns, at the start of every iteration, the epoch and the number of its batches already done."""
    rank: int = 0  # this process, from 0
    world: int = 1  # number of processes
    copies: int = 1  # looks at each row per epoch, shuffled like that many images

    def __post_init__(self) -> None:
        self.rows = np.asarray(self.rows, dtype=np.int64)
        if not len(self):
            ranks = f" on each of {self.world} devices" if self.world > 1 else ""
            raise DataError(
                f"{len(self.rows)} training images are fewer than one batch of {self.batch_size}{ranks}",
                "Lower datamodule.batch_size, or give more images.",
            )

    def __len__(self) -> int:
        """Batches in a whole epoch, wherever iteration starts."""
        return len(self.rows) * self.copies // (self.batch_size * self.world)

    def __iter__(self) -> Iterator[list[Item]]:
        epoch, done = self.position()
        # sorted raw numbers: NumPy keeps these, but not its shuffles, the same across versions
        numbers = generator(random_key(self.seed, epoch), "order").bit_generator.random_raw(
            len(self.rows) * self.copies
        )
        mine = _ascending(numbers)[self.rank :: self.world]
        size = self.batch_size
        for first in range(done, len(self), _TOGETHER):  # lists of a whole epoch would take a hundred bytes a row
            own = mine[first * size : min(first + _TOGETHER, len(self)) * size]
            if self.copies == 1:
                rows = self.rows[own].tolist()
                for start in range(0, len(own), size):
                    yield [(row, epoch) for row in rows[start : start + size]]
                continue
            rows, looks = self.rows[own // self.copies].tolist(), (epoch * self.copies + own % self.copies).tolist()
            for start in range(0, len(own), size):
                yield list(zip(rows[start : start + size], looks[start : start + size], strict=True))


def _ascending(numbers: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Places of numbers in ascending order, equal ones as given.

    Numbers are sorted, which is several times faster than their places are, with the place in their last bits; the few
    that agree in all other bits are sorted once more.
    """
    bits = np.uint64(max(len(numbers) - 1, 1).bit_length())
    sorted_ = (numbers >> bits << bits) | np.arange(len(numbers), dtype=np.uint64)
    sorted_.sort()
    places = (sorted_ & ((np.uint64(1) << bits) - np.uint64(1))).astype(np.int64)
    sorted_ >>= bits
    alike = np.flatnonzero(sorted_[1:] == sorted_[:-1])
    for run in np.split(alike, np.flatnonzero(np.diff(alike) > 1) + 1) if len(alike) else ():
        own = places[run[0] : run[-1] + 2]
        own[:] = own[np.argsort(numbers[own], kind="stable")]
    return places


class EvaluationBatches:
    """Batches of one rank; over all ranks they contain every row exactly once, without padding.

    They are the batches of a single process, distributed, so that scores agree to the last bit: kernels depend on the
    size of a batch. All ranks have the same number; the last batch may be empty.

    Args:
        rows: rows to evaluate, each once.
        batch_size: maximum number of images in a batch.
        sizes: [len(rows), 2] size of every image, if only images of equal size may share a batch; large ones then
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
        # this rank may lack a last batch that others have; it then takes part with an empty one, since ranks that train
        # on several devices wait for all in every forward pass
        batches += [rows[:0]] * (-len(batches) % world)
        self._batches = batches[rank::world]

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[list[Item]]:
        for batch in self._batches:
            yield [(row, 0) for row in batch.tolist()]

    @property
    def rows(self) -> Rows:
        """All rows of this rank."""
        return np.concatenate([np.zeros(0, np.int64), *self._batches])


@dataclass(eq=False)
class ItemBatches:
    """Given items, in order, in batches of a fixed size."""

    items: Sequence[Item]
    batch_size: int

    def __len__(self) -> int:
        return (len(self.items) + self.batch_size - 1) // self.batch_size

    def __iter__(self) -> Iterator[list[Item]]:
        for start in range(0, len(self.items), self.batch_size):
            yield list(self.items[start : start + self.batch_size])


def _chunks(rows: Rows, size: int) -> list[Rows]:
    """Batches of at most ``size`` rows; a last batch of one row gets a second one from the batch before it.

    Kernels on a CPU sum the only image of a batch in another order, and equal images must get equal scores.
    """
    ends = list(range(size, len(rows), size))
    if size > 2 and ends and len(rows) - ends[-1] == 1:
        ends[-1] -= 1
    return np.split(rows, ends) if len(rows) else []
