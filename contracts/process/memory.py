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


class _Mallinfo2(ctypes.Structure):
    """What mallinfo2(3) returns; ``fordblks`` are the bytes that are free."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"
        )
    ]  # fmt: skip


def limit_freed_memory(most: int = LARGE) -> bool:
    """Gives freed memory back if more than ``most`` bytes are kept; returns whether it did (only with glibc 2.33).

    `keep_freed_memory` limits what is free at the end of the heap alone. More can gather between tensors, as in
    a server that now and then decodes an image of 50 megapixels.
    """
    if platform.libc_ver()[0] != "glibc" or not hasattr(library := ctypes.CDLL(None), "mallinfo2"):
        return False
    library.mallinfo2.restype = _Mallinfo2
    return library.mallinfo2().fordblks > most and bool(library.malloc_trim(0))
