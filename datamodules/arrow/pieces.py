"""Images divided into pieces of work for several processes, and read piece by piece."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from contracts.errors import DataError
from datamodules.loading.stores import ImageStore

Rows = NDArray[np.int64]
T = TypeVar("T")
Cell = bytes | NDArray[np.uint8] | DataError

RUN = 64  # Images in a piece of work if the store has no row groups

PIECES = 2  # Pieces per worker into which each of the last row groups is divided


@runtime_checkable
class StreamingStore(Protocol):
    """A store that is faster to read in order."""

    def runs(self, rows: Rows) -> list[Rows]:
        """Rows divided into pieces that are read together."""
        ...

    def stream(self, rows: Rows) -> Iterator[tuple[int, bytes | DataError]]:
        """Row and bytes, or the reason why they cannot be read, of one piece."""
        ...


def read_cells(store: ImageStore, rows: Rows) -> Iterator[tuple[int, Cell]]:
    """Row and content of the images in a piece of work, one at a time."""
    if isinstance(store, StreamingStore):
        yield from store.stream(rows)
        return
    for row in rows.tolist():
        try:
            yield row, store.read(row)
        except DataError as error:
            yield row, error


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of ``size`` items, the last one shorter: `itertools.batched`, which Python 3.11 lacks."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def deal(store: ImageStore, rows: Rows, workers: int) -> list[Rows]:
    """Rows divided into pieces of work; the last runs are split so that all workers finish together.

    Reading a piece of a run means reading everything before it, so the other runs stay whole.
    """
    if not len(rows):
        return []
    if not isinstance(store, StreamingStore):
        return np.array_split(rows, -(-len(rows) // RUN))
    runs = store.runs(rows)
    pieces = []
    for place, run in enumerate(runs):
        last = place >= len(runs) - workers
        pieces += np.array_split(run, max(1, min(PIECES * workers, len(run) // (RUN // 8)))) if last else [run]
    return pieces
