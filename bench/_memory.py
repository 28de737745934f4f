"""How much memory a preparation takes, over all its processes."""

import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from bench._pictures import jpegs, parquet
from bench.table import Row
from datamodules.hdf5_writer import Hdf5Writer
from datamodules.parquet import ParquetDataModule

LIMIT = 1.5
"""GB (10⁹ bytes), at any number of images."""


def prepared_memory(count: int, size: int = 512, rows_a_group: int = 1000) -> Row:
    """Peak memory of ``task=prepare`` on ``count`` JPEGs of ``size``² to pixels of 256²."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = parquet(folder / "images.parquet", jpegs(size), count, rows_a_group)

        def prepare() -> None:
            module = ParquetDataModule(source)
            Hdf5Writer(folder / "data.h5", "pixels", 256).write(module.manifest(), module.store())

        peak, seconds = peak_memory(prepare)
    way = f"{count:,} images of {size}², row groups of {rows_a_group}"
    note = f"proportional set size of all processes, PyTorch's libraries included; {count / seconds:,.0f} images/s"
    return Row("prepare, peak memory", way, None, peak, "GB", None, LIMIT, note)


def peak_memory(work: Callable[[], object], interval: float = 0.1) -> tuple[float, float]:
    """Run, and watch this process and all below it.

    Args:
        work: what to run.
        interval: seconds between two looks.

    Returns:
        Largest sum of proportional set sizes in GB (10⁹ bytes), in which shared pages count once; and seconds taken.
    """
    peak = 0
    over = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(interval):
            peak = max(peak, sum(map(_pss, family(os.getpid()))))

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    try:
        work()
    finally:
        seconds = time.perf_counter() - started
        over.set()
        watcher.join()
    return peak * 1024 / 1e9, seconds  # the kernel tells KiB


def family(process: int) -> list[int]:
    """The process and all below it."""
    found = [process]
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            children = [int(child) for child in task.read_text().split()]
        except OSError:
            continue  # the thread has ended
        for child in children:
            found += family(child)
    return found


def _pss(process: int) -> int:
    """KiB, or 0 for a process that has ended."""
    try:
        text = Path(f"/proc/{process}/smaps_rollup").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")), 0)
