"""The C library's allocator as plain PyTorch has it, around a baseline."""

import ctypes
import platform
from collections.abc import Callable
from typing import TypeVar

from contracts.process.memory import M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, keep_freed_memory

T = TypeVar("T")
SETTLED = 32 << 20  # Bytes: where glibc's own moving threshold ends once large tensors were freed


def plainly(way: Callable[[], T]) -> Callable[[], T]:
    """The way, in which freed memory goes back to the system; afterwards it is kept, as training and scoring do."""

    def timed() -> T:
        if platform.libc_ver()[0] == "glibc":
            mallopt = ctypes.CDLL(None).mallopt
            mallopt(M_MMAP_THRESHOLD, SETTLED)
            mallopt(M_TRIM_THRESHOLD, 2 * SETTLED)
        try:
            return way()
        finally:
            keep_freed_memory()

    return timed
