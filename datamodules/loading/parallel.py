"""Work shared among several processes, with results as they arrive."""

import gc
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

import torch

from contracts.errors import DataError, PixelProofError
from contracts.process.stop import end_with_parent

T = TypeVar("T")


def cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def parallel(
    work: Callable[[int], Iterator[T]], count: int, workers: int, rest: Callable[[], Iterator[T]] | None = None
) -> Iterator[T]:
    """All results of ``work(0) … work(count - 1)``, in the order in which they are ready.

    A free worker takes the next number. Workers end with their parent, however it ends, and do not share its
    handles: ``work`` opens all files it reads. Torch runs one thread in each.

    Args:
        work: yields the results of one piece; picklable where processes are not forked.
        count: number of pieces.
        workers: number of processes, at least 1.
        rest: yields a worker's remaining results once no piece is left.

    Raises:
        PixelProofError: raised by ``work``.
        OSError: raised by ``work``.
        DataError: a worker ended before its work was done.
    """
    # fork avoids a second import of torch, but is only safe on Linux
    context: Any = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    following = context.Value("q", 0)
    processes: dict[Connection, Any] = {}
    gc.freeze()  # otherwise a worker's first collection would copy every page of the parent's objects
    try:
        for _ in range(min(workers, count)):
            here, there = context.Pipe(duplex=False)
            shared = (work, rest, count, following, there, os.getpid())
            process = context.Process(target=_serve, args=shared, daemon=True)
            process.start()
            there.close()
            processes[here] = process
        gc.unfreeze()
        while processes:
            for ready in wait(list(processes)):
                yield from _received(ready, processes)  # type: ignore[arg-type]  # only connections are waited for
    finally:
        for process in processes.values():
            process.terminate()
        for process in processes.values():
            process.join()


def _received(connection: Connection, processes: dict[Connection, Any]) -> Iterator[Any]:
    try:
        done, item = connection.recv()
    except EOFError:
        process = processes.pop(connection)
        process.join()
        why = "killed; possibly out of memory" if process.exitcode == -signal.SIGKILL else "see its message above"
        raise DataError(
            f"a worker ended with exit code {process.exitcode} ({why})", "Run again to continue where it stopped."
        ) from None
    if isinstance(item, Exception):
        raise item
    if done:
        processes.pop(connection).join()
    else:
        yield item


def _serve(
    work: Callable[[int], Iterator[Any]], rest: Callable[[], Iterator[Any]] | None, count: int, following: Any,
    out: Connection, parent: int,
) -> None:  # fmt: skip
    end_with_parent()  # first of all: later writes could overwrite those of the next run
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    if os.getppid() != parent:
        return
    torch.set_num_threads(1)
    try:
        for item in _items(work, rest, count, following):
            if os.getppid() != parent:
                return
            out.send((False, item))
        out.send((True, None))
    except (PixelProofError, OSError) as error:
        if os.getppid() == parent:
            out.send((True, error))


def _items(
    work: Callable[[int], Iterator[T]], rest: Callable[[], Iterator[T]] | None, count: int, following: Any
) -> Iterator[T]:
    while True:
        with following.get_lock():
            number = following.value
            following.value += 1
        if number >= count:
            break
        yield from work(number)
    if rest is not None:
        yield from rest()
