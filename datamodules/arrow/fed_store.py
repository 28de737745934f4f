"""One process reads, and the others get their images from it.

Parquet is read by pages, whose size depends on the writer of the file: pyarrow puts 1024 images into one.
Pages held by every worker add up; pages held by one reader do not.
"""

import multiprocessing
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

from contracts.errors import DataError
from datamodules.arrow.pieces import batched, deal
from datamodules.arrow.stream import ParquetStreamStore, Read, Rows
from datamodules.loading.stores import ImageStore

BATCH = 8  # Rows per message between two processes

BUDGET = 384 * 2**20  # Bytes of Parquet pages that all workers together may hold before a separate reader is started

COPIES = 3  # Copies of a page while it is read: compressed, decompressed, and split into images


class FedStore:
    """Replaces a `ParquetStreamStore` within a ``with`` block; each piece is read once, by the first process that asks.

    Args:
        store: the store that the reader reads.
        rows: all rows that will be requested.
    """

    def __init__(self, store: ParquetStreamStore, rows: Rows) -> None:
        self._store = store
        self._runs = store.runs(rows)
        self._context: Any = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")

    def __enter__(self) -> Self:
        """Start the reader."""
        self._chunks, there = self._context.Pipe(duplex=False)
        self._turn = self._context.Lock()
        self._reader = self._context.Process(target=_read, args=(self._store, self._runs, there), daemon=True)
        self._reader.start()
        there.close()  # so that the pipe ends when the reader ends
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the reader."""
        self._reader.terminate()
        self._reader.join()
        self._chunks.close()

    def __getstate__(self) -> dict[str, Any]:
        return {name: self.__dict__[name] for name in ("_chunks", "_turn")}

    def read(self, row: int) -> bytes:
        """Refuse: images are only read in order."""
        raise NotImplementedError(f"row {row}: a fed store is read front to back")

    def runs(self, rows: Rows) -> list[Rows]:
        """One piece per message of the reader, which decides which images are in it."""
        return [rows[:0]] * sum(-(-len(run) // BATCH) for run in self._runs)

    def stream(self, rows: Rows) -> Iterator[Read]:  # noqa: ARG002 - same signature as the store it replaces
        """The next few images.

        Raises:
            DataError: the reader ended early, or cannot open a file.
        """
        try:
            with self._turn:
                chunk: list[Read] | DataError = self._chunks.recv()
        except EOFError:
            raise DataError(
                "the process that reads the Parquet files ended; possibly out of memory", "Run again to continue."
            ) from None
        if isinstance(chunk, DataError):
            raise chunk
        yield from chunk


@contextmanager
def dealt(store: ImageStore, rows: Rows, workers: int) -> Iterator[tuple[ImageStore, list[Rows]]]:
    """The store that workers read while they work, and the pieces of work.

    Each worker reads for itself, unless their pages would then exceed `BUDGET` bytes.
    """
    if len(rows) and isinstance(store, ParquetStreamStore) and workers * COPIES * store.page_bytes() > BUDGET:
        with FedStore(store, rows) as fed:
            yield fed, deal(fed, rows, workers)
    else:
        yield store, deal(store, rows, workers)


def _read(store: ParquetStreamStore, runs: list[Rows], out: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    try:
        for run in runs:
            for chunk in batched(store.stream(run), BATCH):
                out.send(chunk)
    except DataError as error:
        out.send(error)
    except BrokenPipeError:
        return  # no process is left to read for
