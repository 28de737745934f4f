"""Folders as Hugging Face and Hive lay them out, and splits that file names give."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from synthetic import encoded, picture

from contracts.errors import DataError
from datamodules.arrow.files import named_split, partitions
from datamodules.parquet import ParquetDataModule

IMAGE = encoded(picture(np.random.default_rng(0), 8, False))
BOTH = {"image": "image", "label": "label"}


def table(labels, **columns):
    image = pa.array(
        [{"bytes": IMAGE, "path": None}] * len(labels), pa.struct({"bytes": pa.binary(), "path": pa.string()})
    )
    return pa.table({"image": image, "label": pa.array(labels, pa.int64()), **columns})


def write(path, made):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(made, path)


def save_to_disk(folder, made, shards=1):
    """As ``datasets`` 5 writes it."""
    folder.mkdir(parents=True)
    features = {"label": {"_type": "ClassLabel", "names": ["real", "fake"]}}
    made = made.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    names = [f"data-{number:05d}-of-{shards:05d}.arrow" for number in range(shards)]
    for number, name in enumerate(names):
        part = made.slice(number * len(made) // shards, len(made) // shards)
        with pa.OSFile(str(folder / name), "wb") as sink, pa.ipc.new_stream(sink, made.schema) as writer:
            writer.write_table(part)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))
    (folder / "dataset_info.json").write_text("{}")


def splits(module):
    manifest = module.manifest()
    return {name: len(manifest.rows(name)) for name in ("train", "valid", "test", "") if len(manifest.rows(name))}


@pytest.mark.parametrize(
    "names",
    [
        ("train-00000-of-00001.parquet", "validation-00000-of-00001.parquet", "test-00000-of-00001.parquet"),
        ("data/train-00000-of-00001-0a1b2c3d.parquet", "data/val-0.parquet", "data/test-0.parquet"),
        ("plain_text/train/0000.parquet", "plain_text/dev/0000.parquet", "plain_text/test/0000.parquet"),
        ("train.parquet", "valid.parquet", "Test.parquet"),
    ],
)
def test_splits_are_those_of_the_file_names(tmp_path, names, caplog):
    for name, count in zip(names, (6, 2, 4), strict=True):
        write(tmp_path / name, table([0, 1] * (count // 2)))
    assert splits(ParquetDataModule(tmp_path, BOTH)) == {"train": 6, "valid": 2, "test": 4}
    assert "train 6, valid 2, test 4" in caplog.text


def test_one_named_split_is_dealt_into_folds(tmp_path):
    write(tmp_path / "train-00000-of-00001.parquet", table([0, 1] * 10))
    assert splits(ParquetDataModule(tmp_path, BOTH)) == {"train": 14, "valid": 2, "test": 4}
    write(tmp_path / "test-00000-of-00001.parquet", table([None] * 5))  # a competition keeps its labels to itself
    assert splits(ParquetDataModule(tmp_path, BOTH)) == {"train": 14, "valid": 2, "test": 4, "": 5}


def test_a_split_column_comes_before_the_names(tmp_path):
    write(tmp_path / "train.parquet", table([0, 1], part=["test", "test"]))
    write(tmp_path / "test.parquet", table([0, 1], part=["train", "dev"]))
    assert splits(ParquetDataModule(tmp_path, BOTH | {"split": "part"})) == {"train": 1, "valid": 1, "test": 2}


def test_a_file_of_no_split_among_others_is_refused(tmp_path):
    for name in ("train", "test", "more"):
        write(tmp_path / f"{name}.parquet", table([0, 1]))
    with pytest.raises(
        DataError,
        match=r"more.parquet has no known split in its name(?s:.*)test, train(?s:.*)datamodule.splits.more=train",
    ):
        ParquetDataModule(tmp_path, BOTH).manifest()
    assert splits(ParquetDataModule(tmp_path, BOTH, splits={"more": "valid"})) == {"train": 2, "valid": 2, "test": 2}


def test_words_that_only_begin_like_a_split_are_none(tmp_path):
    for name in ("trained-0.parquet", "testament.parquet", "contest/a.parquet"):
        assert named_split(tmp_path / name, tmp_path, {}) is None
    assert (
        named_split(tmp_path / "train/a.parquet", tmp_path / "train", {}) is None
    )  # of the path itself it says nothing


@pytest.mark.parametrize("values", [("0", "1"), ("real", "fake%20x")])
def test_hive_folders_give_columns(tmp_path, values):
    for value in values:
        for year in ("2023", "__HIVE_DEFAULT_PARTITION__"):
            write(tmp_path / f"label={value}/year={year}/a.parquet", table([1] * 5).select(["image"]))
    labels = None if values[0] == "0" else {"real": 0, "fake x": 1}
    manifest = ParquetDataModule(tmp_path, BOTH | {"year": "year"}, labels).manifest()
    assert sorted(manifest.labels.tolist()) == [0] * 10 + [1] * 10
    assert [
        str(label) in where or label == 1
        for label, where in zip(manifest.labels, manifest.column("where"), strict=True)
    ]
    assert sorted(manifest.table["year"].to_pylist(), key=str) == ["2023"] * 10 + [None] * 10
    assert ParquetDataModule(tmp_path / "**" / "*.parquet", BOTH, labels).manifest().labels.sum() == 10


def test_a_column_of_the_file_comes_before_the_folders(tmp_path):
    write(tmp_path / "label=7/a.parquet", table([0, 1] * 10))
    assert set(ParquetDataModule(tmp_path, BOTH).manifest().labels.tolist()) == {0, 1}
    assert partitions(tmp_path / "a=b%2Fc" / "=x" / "k=v.parquet")["a"] == "b/c"


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("described", [True, False])
def test_folders_of_save_to_disk(tmp_path, shards, described):
    save_to_disk(tmp_path / "set/train", table([0, 1] * 6, n=list(range(12))), shards)
    save_to_disk(tmp_path / "set/test", table([1, 0, 1], n=[7, 8, 9]))
    if described:
        (tmp_path / "set/dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    module = ParquetDataModule(tmp_path / "set", BOTH | {"n": "n"}, {"real": 0, "fake": 1})
    assert splits(module) == {"train": 12, "test": 3}
    manifest, store = module.manifest(), module.store()
    assert manifest.column("n")[manifest.rows("train")].tolist() == list(range(12))
    assert manifest.labels[manifest.rows("test")].tolist() == [1, 0, 1]
    assert all(store.read(row) == IMAGE for row in range(15))


def test_one_split_of_save_to_disk_is_dealt_into_folds(tmp_path):
    save_to_disk(tmp_path / "saved", table([0, 1] * 10))
    assert splits(ParquetDataModule(tmp_path / "saved", BOTH, {"real": 0, "fake": 1})) == {
        "train": 14,
        "valid": 2,
        "test": 4,
    }
    (tmp_path / "saved/data-00000-of-00001.arrow").unlink()
    with pytest.raises(DataError, match="lacks 1 of 1 shards"):
        ParquetDataModule(tmp_path / "saved", BOTH).manifest()


def test_absolute_paths_below_the_root_are_read(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images/a.png").write_bytes(IMAGE)
    (tmp_path / "link").symlink_to(tmp_path / "images")
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    cells = [{"bytes": None, "path": str(tmp_path / name)} for name in ("images/a.png", "link/a.png")]
    write(tmp_path / "set/a.parquet", pa.table({"image": pa.array(cells, kind)}))
    for root in ("/", tmp_path, tmp_path / "images", tmp_path / "link"):
        store = ParquetDataModule(tmp_path / "set", {"image": "image"}, root=root).store()
        assert [store.read(0), store.read(1)] == [IMAGE] * 2
    with pytest.raises(DataError, match=r"a.parquet\[0\]: path (?s:.*) leaves (?s:.*)datamodule.root"):
        ParquetDataModule(tmp_path / "set", {"image": "image"}).store().read(0)


def test_a_split_of_a_dataset_dict_that_nobody_knows_is_refused(tmp_path):
    for name in ("train", "holdout"):
        save_to_disk(tmp_path / "set" / name, table([0, 1] * 10))
    (tmp_path / "set/dataset_dict.json").write_text('{"splits": ["train", "holdout"]}')
    labels = {"real": 0, "fake": 1}
    with pytest.raises(DataError, match=r"holdout/data-0(?s:.*)datamodule.splits.holdout=train"):
        ParquetDataModule(tmp_path / "set", BOTH, labels).manifest()
    module = ParquetDataModule(tmp_path / "set", BOTH, labels, {"holdout": "test"})
    assert splits(module) == {"train": 20, "test": 20}


@pytest.mark.parametrize("name", ["a.b", "", "größe", "a", "image.bytes"])
def test_an_image_column_of_any_name(tmp_path, name):
    made = pa.table({"a": ["x"] * 9, "image": table([0] * 9)["image"]}).drop_columns(["a"] if name == "a" else [])
    made = made.append_column(name, pa.array([IMAGE] * 9))
    pq.write_table(made, tmp_path / "a.parquet", row_group_size=4)
    module = ParquetDataModule(tmp_path, {"image": name})
    rows, store = np.arange(len(module.manifest())), module.store()
    assert [store.read(row) for row in rows.tolist()] == [IMAGE] * 9
    assert [cell for run in store.runs(rows) for _, cell in store.stream(run)] == [IMAGE] * 9
    assert store.page_bytes() >= len(IMAGE)


def test_files_of_no_rows(tmp_path):
    write(tmp_path / "a.parquet", table([0, 1] * 10, n=list(range(20))))
    write(tmp_path / "b.parquet", table([0], n=[1]).slice(0, 0))
    assert len(ParquetDataModule(tmp_path, BOTH | {"n": "n"}).manifest()) == 20
    assert len(ParquetDataModule(tmp_path / "b.parquet", BOTH | {"n": "n"}).manifest()) == 0
