"""Parquet to HDF5, against the aiornot notebook's way.

The notebook reads the whole table into memory, then decodes and resizes one image at a time with Pillow and writes the
batch to a contiguous dataset. The other baseline is a limit: decoding and resizing on all cores, with nothing read or
written, and then one sequential write of as many bytes. For stored bytes it is a copy of the Parquet file. All but the
notebook's way end when the bytes are on disk.
"""

import io
import shutil
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
from contracts.files import sync
from datamodules.loading.decode import decode
from datamodules.loading.parallel import cores, parallel
from datamodules.parquet import ParquetDataModule
from datamodules.preparing.hdf5_writer import Hdf5Writer
from datamodules.preparing.work import to_square
from datamodules.tables.folds import fold_splits

SIDE = 512
SOURCES = ((1024, 1152, 4.0), (512, 1536, 1.7), (512, 6144, 1.7))
"""Side and number of the source images, and the target ratio; a small set fits the page cache, a large one does not."""

OF_LIMIT, OF_COPY = 0.95, 0.8  # target ratios
READ = 1024  # Rows the notebook converts at a time
PIECE = 64  # Images decoded, or written, at a time


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
        "limit": lambda: limit(images, count, out),
        "stored": lambda: stored(source, out),
        "copy": lambda: copied(source, out),
    }
    timings = interleaved(ways, pick(1, 3), after=lambda: out.unlink(missing_ok=True))
    way = f"{size}² JPEG → {SIDE}², {count} images"
    one_core = timings["prepare"].best_cpu / count * 1e3
    note = f"Pillow, one image at a time; ours on {cores()} cores with {one_core:.2f} ms CPU an image"
    return [
        rate("prepare", way, timings["notebook"], timings["prepare"], count, target, note),
        rate(
            "prepare", way, timings["limit"], timings["prepare"], count, OF_LIMIT,
            "decode and resize on all cores, then one sequential write",
        ),
        rate(
            "prepare, encoded", f"{size}² JPEG, {count} images", timings["copy"], timings["stored"], count, OF_COPY,
            "a copy of the Parquet file",
        ),
    ]  # fmt: skip


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


def stored(source: Path, out: Path) -> None:
    """Runs ``task=prepare datamodule=parquet prepare.verify=header``, which keeps the encoded bytes."""
    module = ParquetDataModule(source)
    Hdf5Writer(out, verify="header").write(module.manifest(), module.store())


def copied(source: Path, out: Path) -> None:
    """Copies the Parquet file."""
    with source.open("rb") as given, out.open("wb") as file:
        shutil.copyfileobj(given, file, 2**20)
    sync(out)


def limit(images: list[bytes], count: int, out: Path) -> None:
    """Decodes and resizes ``count`` images on all cores, discards them, and writes as many bytes."""

    def work(number: int) -> Iterator[int]:
        for row in range(number * PIECE, min((number + 1) * PIECE, count)):
            to_square(decode(images[row % len(images)]), SIDE)
        yield number

    for _ in parallel(work, -(-count // PIECE), cores()):
        pass
    with out.open("wb") as file:
        for start in range(0, count, PIECE):
            file.write(bytes(SIDE * SIDE * 3 * min(PIECE, count - start)))
    sync(out)
