"""Peak memory of a preparation, over all its processes."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.parts.images import jpegs, parquet
from bench.parts.table import Row

LIMIT = 1.5  # Target in GB (10⁹ bytes) for any number of images

PROGRAM = Path(__file__).resolve().parents[2] / "lightning_main.py"


def prepared_memory(count: int, size: int = 512, rows_a_group: int = 1000) -> Row:
    """Peak memory of ``task=prepare`` on ``count`` JPEGs of ``size``² to pixels of 256²."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = parquet(folder / "images.parquet", jpegs(size), count, rows_a_group)
        words = f"task=prepare datamodule=parquet datamodule.path={source} prepare.out={folder / 'data.h5'}"
        words += " prepare.storage=pixels prepare.size=256"
        peak, seconds = peak_memory([sys.executable, str(PROGRAM), *words.split()], folder)
    way = f"{count:,} images of {size}², row groups of {rows_a_group}"
    note = f"proportional set size of all processes, PyTorch's libraries included; {count / seconds:,.0f} images/s"
    return Row("prepare, peak memory", way, None, peak, "GB", None, LIMIT, note)


def peak_memory(command: Sequence[str], folder: Path, interval: float = 0.1) -> tuple[float, float]:
    """Runs a command in a folder, and samples the memory of its process and all descendants every ``interval`` s.

    Returns:
        Largest sum of proportional set sizes in GB (10⁹ bytes), which count shared pages once; and the seconds taken.

    Raises:
        CalledProcessError: the command failed.
    """
    peak = 0
    started = time.perf_counter()
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL) as process:  # noqa: S603 - our own words
        while process.poll() is None:
            peak = max(peak, sum(map(_pss, family(process.pid))))
            time.sleep(interval)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, list(command))
    return peak * 1024 / 1e9, time.perf_counter() - started  # the kernel counts in KiB


def family(process: int) -> list[int]:
    """The process and all its descendants."""
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
