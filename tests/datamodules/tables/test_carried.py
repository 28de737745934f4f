"""Further columns through a prepared HDF5 file: their types, their nulls, and what a second run finds."""

import datetime
import decimal

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from synthetic import encoded, picture

from contracts.errors import ConfigError, DataError
from datamodules.hdf5 import Hdf5DataModule
from datamodules.parquet import ParquetDataModule
from datamodules.preparing import hdf5_layout
from datamodules.preparing.hdf5_writer import Hdf5Writer
from datamodules.preparing.parts import Parts
from datamodules.tables.manifest import Manifest

COUNT = 20
NATIVE = {
    "float": pa.array([k / 8 for k in range(COUNT)], pa.float16()),
    "huge": pa.array([2**64 - 1 - k for k in range(COUNT)], pa.uint64()),
    "flag": pa.array([k % 3 == 0 for k in range(COUNT)]),
    "text": pa.array([f"ü{k}" for k in range(COUNT)]),
}
PACKED = {
    "some": pa.array([None if k % 2 else k for k in range(COUNT)], pa.int64()),
    "maybe": pa.array([None if k % 2 else "" for k in range(COUNT)]),
    "nul": pa.nulls(COUNT),
    "end": pa.array(["a\0b"] * COUNT),
    "taken": pa.array([datetime.datetime(2024, 5, 17, 1, 2, 3, 4)] * COUNT, pa.timestamp("us", "Asia/Tokyo")),
    "day": pa.array([datetime.date(2024, 5, k + 1) for k in range(COUNT)]),
    "clock": pa.array([k + 1 for k in range(COUNT)], pa.time64("ns")),
    "took": pa.array([k - 5 for k in range(COUNT)], pa.duration("ms")),
    "price": pa.array([decimal.Decimal(k) / 100 for k in range(COUNT)], pa.decimal128(9, 2)),
    "raw": pa.array([b"\xff", None] * (COUNT // 2)),
    "vector": pa.array([[k / 3, 1.0] for k in range(COUNT)], pa.list_(pa.float32(), 2)),
    "tags": pa.array([["a", None], None] * (COUNT // 2)),
    "exif": pa.array([{"iso": k, "lens": None} for k in range(COUNT)]),
    "sizes": pa.array([[("w", k)] for k in range(COUNT)], pa.map_(pa.string(), pa.int16())),
    "a/b": pa.array([f"{k}" for k in range(COUNT)]),
    ".": pa.array(range(COUNT)),
}


@pytest.fixture
def module(tmp_path):
    images = pa.array([encoded(picture(np.random.default_rng(k), 8, bool(k % 2))) for k in range(COUNT)])
    table = {"image": images, "label": [0, 1] * (COUNT // 2), "cat": pa.array(["x", "y"] * 10).dictionary_encode()}
    pq.write_table(pa.table(table | NATIVE | PACKED), tmp_path / "a.parquet", row_group_size=6)
    columns = {name: name for name in ("image", "label", "cat", *NATIVE, *PACKED)}
    return ParquetDataModule(tmp_path / "a.parquet", columns)


def expect_all(module: ParquetDataModule, stored: Manifest) -> None:
    table = module.manifest().table
    order = pa.array([table["id"].to_pylist().index(name) for name in stored.column("id")])
    assert len(stored) == COUNT
    for name in (*NATIVE, *PACKED, "cat"):
        assert stored.table[name].equals(table[name].take(order)), name
    for name, column in (NATIVE | PACKED).items():
        assert table[name].type == column.type, name
        assert table[name].combine_chunks().equals(column), name


@pytest.mark.parametrize(("storage", "size"), [("encoded", None), ("pixels", 8)])
def test_columns_of_every_type_come_back_as_they_were(module, tmp_path, storage, size):
    Hdf5Writer(tmp_path / "d.h5", storage, size, workers=1).write(module.manifest(), module.store())
    expect_all(module, Hdf5DataModule(tmp_path / "d.h5").manifest())
    with h5py.File(tmp_path / "d.h5") as file:
        group = file["test"]
        assert set(NATIVE) < set(group)
        packed = pa.ipc.open_stream(group["arrow"][:].tobytes()).read_all()
        assert set(packed.column_names) == set(PACKED)
        assert packed.num_rows == len(group["target"]) == 4


def test_nested_dictionaries_over_several_row_groups(tmp_path):
    kind = pa.list_(pa.dictionary(pa.int8(), pa.string()))
    images = pa.array([b"x"] * COUNT)
    words = pa.array([["a", f"b{k}"] for k in range(COUNT)], kind)
    pq.write_table(pa.table({"image": images, "words": words}), tmp_path / "a.parquet", row_group_size=3)
    manifest = ParquetDataModule(tmp_path, {"image": "image", "words": "words"}).manifest()
    assert manifest.table["words"].to_pylist() == [["a", f"b{k}"] for k in range(COUNT)]
    assert manifest.table["words"].type == pa.list_(pa.string())


def test_nanoseconds_are_kept_where_numpy_and_python_have_none():
    times = pa.array([[1, None], [2, 3]], pa.list_(pa.time64("ns")))
    manifest = Manifest.from_columns({"id": ["a", "b"], "label": [0, 1], "t": times, "u": times.flatten().take([0, 2])})
    assert [[each.value for each in row] for row in manifest.column("t")] == [[1, None], [2, 3]]
    assert [each.value for each in manifest.column("u")] == [1, 2]


def test_what_was_prepared_is_prepared_again(module, tmp_path):
    Hdf5Writer(tmp_path / "d.h5", workers=1).write(module.manifest(), module.store())
    first = Hdf5DataModule(tmp_path / "d.h5")
    Hdf5Writer(tmp_path / "e.h5", workers=1).write(first.manifest(), first.store())
    again = Hdf5DataModule(tmp_path / "e.h5").manifest()
    expect_all(module, again)
    assert set(again.column("origin")) == {str(tmp_path / "a.parquet")}


def test_parts_carry_what_the_whole_carries(module, tmp_path):
    writer = Hdf5Writer(tmp_path / "d.h5", workers=1)
    manifest = module.manifest()
    parts = Parts(tmp_path / "parts", 3, writer.settings(manifest, writer.rows(manifest)))
    for number in (2, 0, 1):
        writer.write_part(manifest, module.store(), parts, number)
    writer.merge(manifest, parts)
    expect_all(module, Hdf5DataModule(tmp_path / "d.h5").manifest())


def test_a_finish_that_was_cut_short_is_repeated(module, tmp_path, monkeypatch):
    pack, calls = hdf5_layout.pack, []

    def cut(table):
        calls.append(table.num_rows)
        if table.num_rows == 4:  # the last group
            raise KeyboardInterrupt
        return pack(table)

    monkeypatch.setattr(hdf5_layout, "pack", cut)
    writer = Hdf5Writer(tmp_path / "d.h5", workers=1)
    with pytest.raises(KeyboardInterrupt):
        writer.write(module.manifest(), module.store())
    assert calls[-3:] == [14, 2, 4]
    monkeypatch.undo()
    assert writer.write(module.manifest(), module.store()).read == 0
    expect_all(module, Hdf5DataModule(tmp_path / "d.h5").manifest())


def test_another_choice_of_columns_is_another_file(module, tmp_path):
    writer = Hdf5Writer(tmp_path / "d.h5", workers=1)
    writer.write(module.manifest(), module.store())
    assert writer.write(module.manifest(), module.store()).already
    fewer = ParquetDataModule(tmp_path / "a.parquet", {"image": "image", "label": "label", "day": "day"})
    with pytest.raises(ConfigError, match="other settings: columns"):
        writer.write(fewer.manifest(), fewer.store())


def test_what_cannot_be_stored_is_refused_before_an_image_is_read(module, tmp_path, monkeypatch):
    monkeypatch.setattr(type(module.store()), "stream", None)
    table = module.manifest().table
    writer = Hdf5Writer(tmp_path / "d.h5", workers=1)
    nul = table.set_column(0, "id", pa.array([f"a\0{k}" for k in range(COUNT)]))
    with pytest.raises(DataError, match=r"a.parquet\[0\]: id 'a\\x000' contains a NUL"):
        writer.write(Manifest(nul), module.store())
    with pytest.raises(ConfigError, match="'length' has the name of a dataset"):
        writer.write(Manifest(table.append_column("length", table["some"])), module.store())
    assert not list(tmp_path.glob("d.h5*"))


def test_what_other_programs_put_into_a_group(tmp_path, caplog):
    with h5py.File(tmp_path / "d.h5", "w") as file:
        group = file.create_group("train")
        group["image"], group["target"] = np.zeros((2, 4, 4, 3), np.uint8), [0, 1]
        group["vector"] = np.arange(6.0).reshape(2, 3)
        lists = group.create_dataset("lists", (2,), h5py.vlen_dtype(np.int32))
        lists[0], lists[1] = [1, 2], [3]
        group["pair"] = np.zeros(2, [("x", "i4"), ("y", "f4")])
        group["complex"] = np.zeros(2, np.complex64)
        group["latin"] = np.array([b"caf\xe9", b"a"])
        group.create_group("inner")
    manifest = Hdf5DataModule(tmp_path / "d.h5").manifest()
    assert manifest.table["vector"].to_pylist() == [[0, 1, 2], [3, 4, 5]]
    assert manifest.table["lists"].to_pylist() == [[1, 2], [3]]
    for name in ("complex", "latin", "inner"):
        assert f"'/train/{name}' is ignored" in caplog.text
    assert not {"complex", "latin", "inner"} & set(manifest.table.column_names)
