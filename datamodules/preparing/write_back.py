"""Writes through the page cache, and to disk during the work rather than all at the end."""

import os
import weakref
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datamodules.preparing.hdf5_layout import write_all

PENDING = 4 * 2**20  # Bytes collected before writing to disk is requested, enough for one large write


class WriteBack:
    """Makes the system start writing to disk after each write, without waiting.

    A later ``fsync`` then has little left to do. Data already on disk may also leave the page cache, so that a
    file larger than memory does not displace everything else. If the system has no such call, nothing is done.

    Args:
        descriptor: descriptor of the open file.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._spans: list[tuple[int, int]] = []
        self._pending = 0

    def note(self, offset: int, nbytes: int) -> None:
        """Note that ``nbytes`` were written at ``offset``."""
        self._spans.append((offset, offset + nbytes))
        self._pending += nbytes
        if self._pending >= PENDING:
            self.begin()

    def begin(self) -> None:
        """Make the system start writing everything noted."""
        if hasattr(os, "posix_fadvise"):
            for start, end in merged(self._spans):
                # Linux starts to write the dirty pages of a range marked as not needed
                os.posix_fadvise(self._descriptor, start, end - start, os.POSIX_FADV_DONTNEED)
        self._spans, self._pending = [], 0


class CachedWriter:
    """Writes blocks of any size to their places in a file, which is closed with the last reference to the writer.

    Args:
        path: file with space for all blocks.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY)
        weakref.finalize(self, os.close, self._file)
        self._back = WriteBack(self._file)
        self.count = 0  # number of blocks written so far

    def put(self, block: NDArray[np.uint8], offset: int) -> None:
        """Write a block.

        Raises:
            OSError: it cannot be written.
        """
        write_all(self._file, block.data, offset)
        self._back.note(offset, block.nbytes)
        self.count += 1

    def settle(self, count: int) -> None:
        """Return at once: blocks are written immediately."""


def merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans [start, end) in order, with adjacent ones merged."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return found
