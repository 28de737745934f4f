"""The default behaviour of the C library's allocator, restored while a baseline runs."""

import ctypes
import platform
from collections.abc import Callable
from typing import TypeVar

from contracts.process.memory import M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, keep_freed_memory

T = TypeVar("T")
SETTLED = 32 << 20  # Bytes; the value that glibc's dynamic threshold reaches after large tensors were freed


def plainly(way: Callable[[], T]) -> Callable[[], T]:
    """The given function, run with freed memory returned to the system; afterwards it is kept, as in training."""

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
