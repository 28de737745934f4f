"""Manifests of 10³ to 10⁷ rows: built from Parquet, written, read, and the order of one epoch.

The Parquet file has a column each of ids of 22 letters, labels, 37 generators, three splits, and groups of four
images; its images are not read. The order consists of all batches of an epoch, as lists of rows.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.parts.table import Row
from bench.parts.timing import interleaved, pick
from datamodules.loading.samplers import TrainingBatches
from datamodules.parquet import ParquetDataModule
from datamodules.tables.manifest import Manifest

COLUMNS = {name: name for name in ("id", "image", "label", "generator", "split", "group")}
SECONDS, BYTES = 0.25, 60.0  # targets per million rows, and per row


def measure() -> list[Row]:
    """Measures CPU seconds per million rows, and bytes per row, for each number of rows."""
    with TemporaryDirectory() as name:
        counts = pick([1000], [10**power for power in range(3, 8)])
        return [row for count in counts for row in _measured(Path(name), count, count == counts[-1])]


def _measured(folder: Path, count: int, last: bool) -> list[Row]:
    source, file = folder / f"{count}.parquet", folder / "manifest.arrow"
    _write(source, count)
    datamodule = ParquetDataModule(source, columns=COLUMNS)
    manifest = datamodule.build_manifest()
    batches = TrainingBatches(np.arange(count), 100, seed=0)
    ways: dict[str, Callable[[], object]] = {
        "build": datamodule.build_manifest,
        "write": partial(manifest.save, file),
        "read": lambda: Manifest.load(file),
        "order": lambda: sum(len(batch) for batch in batches),
    }
    timings = interleaved(ways, 2)
    seconds = {name: timing.best_cpu / count * 1e6 for name, timing in timings.items()}
    parts = ", ".join(f"{name} {own:.3f}" for name, own in seconds.items())
    way, wanted = f"{count:,} rows", (SECONDS, BYTES) if last and count >= 10**7 else (None, None)
    return [
        Row("manifest", way, None, sum(seconds.values()), "CPU s / 10⁶ rows", None, wanted[0], parts),
        Row("manifest, memory", way, None, manifest.table.nbytes / count, "B a row", None, wanted[1], "ids included"),
    ]


def _write(path: Path, count: int) -> None:
    """Writes the Parquet file, a million rows at a time."""
    generators = pa.array(["", *(f"generator {k}" for k in range(36))])
    splits = pa.array(["train", "valid", "test"])
    writer = None
    for start in range(0, count, 10**6):
        rows = np.arange(start, min(start + 10**6, count))
        table = pa.table(
            {
                "id": np.char.mod("image-%012d.jpg", rows),
                "image": pa.repeat(pa.scalar(b""), len(rows)),
                "label": (rows % 2).astype(np.int8),
                "generator": generators.take(pa.array(np.where(rows % 2, rows % 36 + 1, 0))),
                "split": splits.take(pa.array(np.maximum(rows % 10 - 7, 0))),
                "group": np.char.mod("photo-%08d", rows // 4),
            }
        )
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table, row_group_size=100_000)
    if writer:
        writer.close()
