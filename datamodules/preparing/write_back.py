"""Writing through the page cache, and to the disk while the work goes on instead of all at the end."""

import os
import weakref
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datamodules.preparing.hdf5_layout import write_all

PENDING = 4 * 2**20
"""Bytes gathered before the disk is asked for them: enough for it to write in one go."""


class WriteBack:
    """Told of every write, it has the system begin with the writing, and waits for nothing.

    A later ``fsync`` then finds little left to do. What is on the disk already may also leave the page cache, so that a
    file larger than the memory does not push out everything else. Where the system has no such call, nothing is done.

    Args:
        descriptor: of the open file.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._spans: list[tuple[int, int]] = []
        self._pending = 0

    def note(self, offset: int, nbytes: int) -> None:
        """``nbytes`` were written at ``offset``."""
        self._spans.append((offset, offset + nbytes))
        self._pending += nbytes
        if self._pending >= PENDING:
            self.begin()

    def begin(self) -> None:
        """Have the system begin with what it has been told of."""
        if hasattr(os, "posix_fadvise"):
            for start, end in merged(self._spans):
                # Linux begins to write dirty pages of a range it is told will not be needed
                os.posix_fadvise(self._descriptor, start, end - start, os.POSIX_FADV_DONTNEED)
        self._spans, self._pending = [], 0


class CachedWriter:
    """Puts blocks of any size into their places in a file, which is closed with the last reference to the writer.

    Args:
        path: of a file that has room for all blocks.

    Attributes:
        count: blocks put so far.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY)
        weakref.finalize(self, os.close, self._file)
        self._back = WriteBack(self._file)
        self.count = 0

    def put(self, block: NDArray[np.uint8], offset: int) -> None:
        """Write a block.

        Raises:
            OSError: it cannot be written.
        """
        write_all(self._file, block.data, offset)
        self._back.note(offset, block.nbytes)
        self.count += 1

    def settle(self, count: int) -> None:
        """Nothing is to be waited for."""


def merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans [start, end) in order, those that touch made one."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return found
