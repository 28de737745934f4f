"""Parquet to HDF5 pixels, against the aiornot notebook's way.

The notebook reads the whole table into memory, then decodes and resizes one image at a time with Pillow and writes the
batch to a contiguous dataset. The other baseline is an upper bound: decoding and resizing on all cores, with nothing
read or written.
"""

import io
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pyarrow.dataset
from PIL import Image

from bench.parts.images import jpegs, parquet
from bench.parts.memory import prepared_memory
from bench.parts.table import Row, rate
from bench.parts.timing import effort, interleaved, pick
from datamodules.loading.decode import decode
from datamodules.loading.parallel import cores, parallel
from datamodules.parquet import ParquetDataModule
from datamodules.preparing.hdf5_writer import Hdf5Writer
from datamodules.preparing.work import to_square
from datamodules.tables.folds import fold_splits

SIDE = 512
SOURCES = ((1024, 1152, 4.0), (512, 1536, 1.7), (512, 6144, 1.7))
"""Side and number of the source images, and the target ratio; a small set fits the page cache, a large one does not."""

OF_PURE = 0.8
READ = 1024  # Rows the notebook converts at a time


def measure() -> list[Row]:
    """Measures images/s of both source sizes; in a full run also the memory for 20,000 images."""
    rows = []
    for size, images, target in SOURCES:
        count = pick(128, images)
        with tempfile.TemporaryDirectory() as folder:
            rows += _compared(Path(folder), size, count, target)
    if effort() == "full":
        rows.append(prepared_memory(20_000))
    return rows


def _compared(folder: Path, size: int, count: int, target: float) -> list[Row]:
    images = jpegs(size)
    source = parquet(folder / "images.parquet", images, count)
    out = folder / "data.h5"
    ways: dict[str, Callable[[], object]] = {
        "notebook": lambda: notebook(source, out),
        "prepare": lambda: prepared(source, out),
        "pure": lambda: pure(images, count),
    }
    timings = interleaved(ways, pick(1, 3), after=lambda: out.unlink(missing_ok=True))
    way = f"{size}² JPEG → {SIDE}², {count} images"
    one_core = timings["prepare"].best_cpu / count * 1e3
    note = f"Pillow, one image at a time; ours on {cores()} cores with {one_core:.2f} ms CPU an image"
    of_pure = rate(
        "prepare", way, timings["pure"], timings["prepare"], count, OF_PURE, "decode and resize alone, all cores"
    )
    return [rate("prepare", way, timings["notebook"], timings["prepare"], count, target, note), of_pure]


def notebook(source: Path, out: Path) -> None:
    """Prepares images as the notebook does: the whole table, Pillow, one process, groups ``train valid test``."""
    table = pyarrow.dataset.dataset(source, format="parquet").to_table()
    splits = np.asarray(fold_splits(table["label"].to_pylist(), None, 0))
    with h5py.File(out, "w") as file:
        for split in ("train", "valid", "test"):
            part = table.filter(pyarrow.array(splits == split))
            group = file.create_group(split)
            pixels = group.create_dataset("image", (len(part), SIDE, SIDE, 3), np.uint8)
            group["target"] = part["label"].to_numpy()
            place = 0
            for batch in part.to_batches(max_chunksize=READ):
                cells = batch.to_pydict()["image"]
                resized = [
                    np.asarray(Image.open(io.BytesIO(cell["bytes"])).convert("RGB").resize((SIDE, SIDE)))
                    for cell in cells
                ]
                pixels[place : place + len(resized)] = np.stack(resized)
                place += len(resized)


def prepared(source: Path, out: Path) -> None:
    """Runs ``task=prepare datamodule=parquet prepare.storage=pixels prepare.size=512``."""
    module = ParquetDataModule(source)
    Hdf5Writer(out, "pixels", SIDE).write(module.manifest(), module.store())


def pure(images: list[bytes], count: int) -> None:
    """Decodes and resizes ``count`` images on all cores, and discards them."""
    piece = 64

    def work(number: int) -> Iterator[int]:
        for row in range(number * piece, min((number + 1) * piece, count)):
            to_square(decode(images[row % len(images)]), SIDE)
        yield number

    for _ in parallel(work, -(-count // piece), cores()):
        pass
