"""Parquet, Arrow and HDF5 files whose names are not UTF-8, and what lies beside the shards of a set."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import synthetic

from datamodules.hdf5 import Hdf5DataModule
from datamodules.image_datamodule import ImageDataModule
from datamodules.parquet import ParquetDataModule

COUNTS = {"train": 4, "test": 4}
COLUMNS = {"id": "id", "image": "image", "label": "label", "split": "split"}


def parquet(folder: Path, name: str) -> ParquetDataModule:
    folder.mkdir()
    synthetic.parquet(folder.with_name("made"), COUNTS).rename(folder / f"{name}.parquet")
    return ParquetDataModule(folder, COLUMNS)


def one_parquet(folder: Path, name: str) -> ParquetDataModule:
    parquet(folder, name)
    return ParquetDataModule(folder / f"{name}.parquet", COLUMNS)


def saved(folder: Path, name: str) -> ParquetDataModule:
    """As ``save_to_disk`` writes it."""
    folder.mkdir()
    table = pq.read_table(synthetic.parquet(folder.with_name("made"), COUNTS))
    with (folder / f"{name}.arrow").open("wb") as stream, pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    files = [{"filename": f"{name}.arrow"}]
    (folder / "state.json").write_text(json.dumps({"_data_files": files}))
    return ParquetDataModule(folder, COLUMNS)


def hdf5(folder: Path, name: str) -> Hdf5DataModule:
    return Hdf5DataModule(synthetic.hdf5(folder / f"{name}.h5", COUNTS, size=16))


@pytest.mark.parametrize("build", [parquet, one_parquet, saved, hdf5])
@pytest.mark.parametrize("name", [b"caf\xe9", "café".encode(), b"lit\\xe9"])
def test_containers_are_opened_by_the_bytes_of_their_names(
    tmp_path: Path, build: Callable[[Path, str], ImageDataModule], name: bytes
) -> None:
    plain, odd = build(tmp_path / "plain", "a"), build(tmp_path / os.fsdecode(name), os.fsdecode(name))
    assert odd.manifest().column("id").tolist() == plain.manifest().column("id").tolist()
    for row in range(8):
        assert bytes(odd.store().read(row)) == bytes(plain.store().read(row))
    odd.manifest().table["where"].combine_chunks().cast(pa.binary()).to_pylist()[0].decode()


def test_files_beside_the_shards_of_a_set_are_counted(tmp_path: Path) -> None:
    saved(tmp_path / "set", "data")
    shutil.copytree(tmp_path / "set", tmp_path / "set/.cache")
    for other in ("cache-1.arrow", "README.md", "._data.arrow"):
        (tmp_path / "set" / other).write_bytes(b"")
    module = ParquetDataModule(tmp_path / "set", COLUMNS)
    assert len(module.manifest()) == 8
    assert str(module.ignored) == "1 .arrow file, 1 .md file, 1 hidden file, 1 hidden folder"
