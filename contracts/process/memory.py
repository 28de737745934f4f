"""Keeps freed memory for the next tensor, instead of returning it to the system after every layer."""

import ctypes
import platform

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # of mallopt(3)
LARGE = 1 << 30  # Bytes; larger tensors are rare


def keep_freed_memory() -> bool:
    """Lets this process's allocator reuse freed memory up to `LARGE` bytes; returns whether it can (only with glibc).

    By default glibc maps every tensor of more than 32 MiB, in effect most activations of a network, and unmaps it when
    it is freed. The system then has to clear every page again, which took 5 to 15 % of NPR's time on two cores, and far
    more beside other processes. Results do not change.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all([mallopt(M_MMAP_THRESHOLD, LARGE), mallopt(M_TRIM_THRESHOLD, LARGE)])


def one_heap() -> bool:
    """Lets threads that start later use the main thread's heap; returns whether they do (only with glibc).

    The heap of any other thread is limited to 64 MiB and gives freed memory back whatever `keep_freed_memory` says: NPR
    took a tenth more CPU time in such a thread, all of it for clearing pages.
    """
    return platform.libc_ver()[0] == "glibc" and bool(ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1))


def return_freed_memory() -> None:
    """Gives freed memory back to the system; after a fork, each page of it would be copied when it is reused."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
