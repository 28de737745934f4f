"""Scoring a folder of photographs with NPR at 256², against a plain PyTorch loop over an ImageFolder with two workers.

The photographs are JPEG, PNG and WebP of 0.3 to 12 megapixels. Both ways are whole commands, including their imports.
A second row compares with decoding the same files by as many threads as there are cores and nothing else, which is the
limit of any command whose scores are those of the exact pixels.
"""

import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from bench.detectors.npr import plain_weights
from bench.parts.memory import PROGRAM, peak_memory
from bench.parts.photographs import photographs
from bench.parts.table import Row
from bench.parts.timing import pick
from datamodules.loading.decode import decode
from datamodules.loading.parallel import cores

ROOT = PROGRAM.parent
TARGET = 3.0
MEMORY = 1.5  # Target in GB (10⁹ bytes)
FIRST = 5.0  # Target in seconds


def measure() -> list[Row]:
    """Measures images/s, peak memory, and the time until the first scores."""
    count = pick(6, 288, 2000)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights, images, first = folder / "weights.pth", photographs(folder / "images", count), folder / "first"
        torch.save(plain_weights(), weights)
        words = f"task=predict detector=npr ckpt={weights} datamodule=folder datamodule.path={images} trainer=cpu"
        _, plain = peak_memory([sys.executable, "-m", "bench.parts.plain_folder", str(weights), str(images)], ROOT)
        started = time.time()
        ours = [sys.executable, "-m", "bench.parts.first_result", str(first), *words.split(), f"predict.out={folder}"]
        peak, seconds = peak_memory(ours, ROOT)
        way = f"{count:,} JPEG, PNG and WebP images of 0.3–12 MP, NPR at 256²"
        note = "ImageFolder and two workers; one run each"
        alone = _decoding(images)
        return [
            Row("predict", way, count / plain, count / seconds, "images/s", plain / seconds, TARGET, note),
            Row("predict", way, count / alone, count / seconds, "images/s", alone / seconds, None, "decoding alone"),
            Row("predict, peak memory", way, None, peak, "GB", None, MEMORY, "proportional set size of all processes"),
            Row("predict, first scores", way, None, float(first.read_text()) - started, "s", None, FIRST, "one batch"),
        ]


def _decoding(folder: Path) -> float:
    """Seconds to decode all images of a folder on all cores."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    started = time.perf_counter()
    with ThreadPoolExecutor(cores()) as pool:
        for _ in pool.map(lambda file: decode(file.read_bytes()).shape, files):
            pass
    return time.perf_counter() - started
