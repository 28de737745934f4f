"""Small sets to prepare, and what comes of them."""

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from synthetic import encoded, picture

from datamodules.parquet import ParquetDataModule
from datamodules.preparing.hdf5_writer import Hdf5Writer

SIZES = (48, 64, 96)
COLUMNS = {"id": "id", "image": "image", "label": "label", "group": "photo", "control": "control"}


def source(folder, count=90, damaged=(), group=16):
    """A set with three sizes and formats; damaged rows are cut in the middle."""
    made = []
    for k in range(count):
        data = encoded(
            picture(np.random.default_rng(k), SIZES[k % 3], bool(k % 2)), ("JPEG", "PNG", "WEBP")[k // 3 % 3]
        )
        data = data[: len(data) // 2] if k in damaged else data
        made.append(
            {"id": f"i{k}", "image": {"bytes": data}, "label": k % 2, "photo": "" if k % 5 else f"p{k}", "control": "ä"}
        )
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(made), folder / "a.parquet", row_group_size=group)
    return ParquetDataModule(folder, COLUMNS)


def content(path):
    with h5py.File(path) as file:
        return {
            f"{name}/{column}": values.asstr()[:].tolist() if h5py.check_string_dtype(values.dtype) else values[:]
            for name, group in file.items()
            for column, values in group.items()
        }


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def write(path, module, **settings):
    return Hdf5Writer(path, workers=settings.pop("workers", 2), **settings).write(module.manifest(), module.store())
