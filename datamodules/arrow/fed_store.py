"""One process reads, the others get their images from it.

Parquet is read by pages, and a page is as large as whoever wrote the file made it: pyarrow puts 1024 images into one.
Held by every worker, that adds up; held by one reader it does not.
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
from datamodules.arrow.pieces import deal
from datamodules.arrow.stream import ParquetStreamStore, Read, Rows
from datamodules.loading.stores import ImageStore

BATCH = 8
"""Rows of a message between two processes."""

BUDGET = 384 * 2**20
"""Bytes all workers together may hold of Parquet pages before a reader of its own is started."""

COPIES = 3
"""Of a page while it is read: compressed, decompressed, and cut into images."""


class FedStore:
    """Stands in for a `ParquetStreamStore` within a ``with``; its pieces are read once, by whoever asks first.

    Args:
        store: what the reader reads.
        rows: all that will be asked for.
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
        there.close()  # so that the reader's end is the end of the pipe
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
        """Not to be had out of turn."""
        raise NotImplementedError(f"row {row}: a fed store is read front to back")

    def runs(self, rows: Rows) -> list[Rows]:
        """A number of pieces, one a message of the reader; which images each brings is the reader's affair."""
        return [rows[:0]] * sum(-(-len(run) // BATCH) for run in self._runs)

    def stream(self, rows: Rows) -> Iterator[Read]:  # noqa: ARG002 - as the store it stands in for
        """The next few images.

        Raises:
            DataError: the reader ended too early, or cannot open a file.
        """
        try:
            with self._turn:
                chunk: list[Read] | DataError = self._chunks.recv()
        except EOFError:
            raise DataError(
                "the process that reads the Parquet files ended; is memory short?", "Run again; it goes on."
            ) from None
        if isinstance(chunk, DataError):
            raise chunk
        yield from chunk


@contextmanager
def dealt(store: ImageStore, rows: Rows, workers: int) -> Iterator[tuple[ImageStore, list[Rows]]]:
    """The store workers read, for as long as they do, and the pieces of work.

    They read for themselves, unless the pages they would then hold came to more than `BUDGET`.
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
            chunk: list[Read] = []
            for read in store.stream(run):
                chunk.append(read)
                if len(chunk) == BATCH:
                    out.send(chunk)
                    chunk = []
            if chunk:
                out.send(chunk)
    except DataError as error:
        out.send(error)
    except BrokenPipeError:
        return  # nobody is left to read for
