"""Writes without the page cache, while the next images are decoded."""

import errno
import mmap
import os
import weakref
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datamodules.preparing.hdf5_layout import PAGE, write_all

LEAST = 128 * 2**10  # Block size in bytes below which the page cache, which collects blocks, is faster

TOGETHER = 4 * 2**20  # Bytes collected before writing: enough for a disk, and few enough for processor caches

ROUNDS = 3  # Number of buffers: one being filled, one being written, and one spare, since neither speed is constant

HUGE = 2**21  # Bytes of a huge page, which the disk handles as one piece instead of one per 4 KiB

REFUSED = (errno.EINVAL, errno.EOPNOTSUPP)
"""Errors of a file system that opens a file for direct writes, but then refuses them or their alignment."""


class DirectWriter:
    """Writes blocks of one size to their places in a file; while some are written, the next are collected.

    This saves the system the search for free pages, and keeps other programs' data in the page cache. The
    file is closed with the last reference to the writer.

    Args:
        path: file with space for all blocks.
        nbytes: bytes of a block.

    Raises:
        OSError: the file system cannot do this, or it is not worthwhile with such blocks.
    """

    def __init__(self, path: Path, nbytes: int) -> None:
        if nbytes % PAGE or nbytes < LEAST or not hasattr(os, "O_DIRECT"):
            raise OSError(f"blocks of {nbytes} bytes are written through the page cache")
        self._path = path
        self._file = os.open(path, os.O_WRONLY | os.O_DIRECT)
        weakref.finalize(self, os.close, self._file)
        self._rounds = deque(_aligned(ROUNDS, max(1, TOGETHER // nbytes), nbytes))
        self._offsets: list[int] = []
        self._thread = ThreadPoolExecutor(1)
        self._writing: deque[tuple[int, Future[None]]] = deque()
        self.count = 0  # number of blocks written so far

    def put(self, block: NDArray[np.uint8], offset: int) -> None:
        """Write a block, possibly later.

        Raises:
            OSError: an earlier block could not be written.
        """
        gathered = self._rounds[0]
        gathered[len(self._offsets)] = block
        self._offsets.append(offset)
        self.count += 1
        if len(self._offsets) == len(gathered):
            self._begin()

    def settle(self, count: int) -> None:
        """Wait until the first ``count`` blocks are in the file.

        Raises:
            OSError: a block could not be written.
        """
        if count > self.count - len(self._offsets):
            self._begin()
        while self._writing and self._writing[0][0] < count:
            self._wait()

    def _begin(self) -> None:
        first = self.count - len(self._offsets)
        self._writing.append((first, self._thread.submit(self._write, self._rounds[0], self._offsets)))
        self._rounds.rotate(-1)
        self._offsets = []
        if len(self._writing) == len(self._rounds):
            self._wait()

    def _wait(self) -> None:
        self._writing[0][1].result()
        self._writing.popleft()

    def _write(self, blocks: NDArray[np.uint8], offsets: list[int]) -> None:
        """Write adjacent blocks in one piece."""
        order = sorted(range(len(offsets)), key=offsets.__getitem__)
        size = blocks.shape[1]
        first = 0
        for last in range(1, len(order) + 1):
            if last == len(order) or offsets[order[last]] != offsets[order[last - 1]] + size:
                self._write_run([blocks[place].data for place in order[first:last]], offsets[order[first]])
                first = last

    def _write_run(self, blocks: list[memoryview], offset: int) -> None:
        try:
            if os.pwritev(self._file, blocks, offset) == sum(map(len, blocks)):
                return
        except OSError as error:
            if error.errno not in REFUSED:
                raise
        file = os.open(self._path, os.O_WRONLY)
        try:
            for number, block in enumerate(blocks):
                write_all(file, block, offset + number * len(block))
        finally:
            os.close(file)


def _aligned(*shape: int) -> NDArray[np.uint8]:
    """A uint8 array aligned to pages, to huge ones if the system provides them."""
    size = int(np.prod(shape))
    memory = mmap.mmap(-1, size + HUGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # the kernel may lack huge pages
            memory.madvise(mmap.MADV_HUGEPAGE)
    flat = np.frombuffer(memory, np.uint8)
    start = -flat.ctypes.data % HUGE
    return flat[start : start + size].reshape(shape)
