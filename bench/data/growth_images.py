"""Whole commands on 10³ to 10⁵ images of 32² in Parquet: prepare, and predict with NPR.

So small images show the cost of an image beside its pixels; both commands include their start. A full run goes to 10⁶.
"""

import sys
import tempfile
from pathlib import Path

import torch

from bench.detectors.npr import plain_weights
from bench.parts.images import jpegs, parquet
from bench.parts.memory import PROGRAM, peak_memory
from bench.parts.table import Row
from bench.parts.timing import pick

SIDE = 32


def measure() -> list[Row]:
    """Measures images per second and peak memory for each number of images."""
    with tempfile.TemporaryDirectory() as name:
        weights = Path(name) / "weights.pth"
        torch.save(plain_weights(), weights)
        powers = pick([2], [3, 4, 5], [3, 4, 5, 6])
        return [row for power in powers for row in _measured(Path(name), weights, 10**power)]


def _measured(folder: Path, weights: Path, count: int) -> list[Row]:
    source = parquet(folder / f"{count}.parquet", jpegs(SIDE), count, 10_000)
    words = f"datamodule=parquet datamodule.path={source} trainer=cpu"
    commands = {
        "prepare": f"task=prepare {words} prepare.out={folder / f'{count}.h5'}",
        "predict": f"task=predict detector=npr detector.eval_view.resize={SIDE} ckpt={weights} {words} "
        f"predict.out={folder / str(count)}",
    }
    rows = []
    for name, command in commands.items():
        peak, seconds = peak_memory([sys.executable, str(PROGRAM), *command.split()], folder)
        note = f"peak memory {peak:.2f} GB; {seconds:.1f} s"
        way = f"{name}, {count:,} images of {SIDE}²"
        rows.append(Row("growth", way, None, count / seconds, "images/s", None, None, note))
    return rows
