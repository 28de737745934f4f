"""AI-GenBench's folder and Parquet layouts, whole and damaged."""

import io
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from synthetic_ai_genbench import features, miniature, split_table

from contracts.errors import DataError
from datamodules.ai_genbench import AiGenBenchDataModule
from datamodules.arrow.shards import shards

NAMES = ("ADM", "CycleGAN", "ProGAN")


def pixels(module: AiGenBenchDataModule, row: int) -> np.ndarray:
    data = module.store().read(row)
    assert isinstance(data, bytes)
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@pytest.mark.parametrize("large", [True, False])
def test_a_saved_folder_is_read_in_its_own_order(tmp_path: Path, large: bool) -> None:
    folder = miniature(tmp_path / "set", train=20, validation=3, size=16, names=NAMES, large=large)
    module = AiGenBenchDataModule(folder)
    manifest = module.manifest()
    assert len(shards(folder / "train")) == 2  # so that rows of a second shard are read below
    assert len(manifest) == 2 * 3 * (20 + 3)
    assert manifest.generator_names == ["", *NAMES]
    drawn = split_table("train", 20, 16, NAMES, 0, large)
    train = manifest.take(manifest.rows("train"))
    assert train.column("id").tolist() == drawn["file_id"].to_pylist()
    assert train.labels.tolist() == drawn["label"].to_pylist()
    assert set(manifest.column("source")) == {"Drawn", "Sample_a", "Sample_b"}
    for row in (0, 59, 60, 119):
        expected = Image.open(io.BytesIO(drawn["image"][row]["bytes"].as_py())).convert("RGB")
        assert np.array_equal(pixels(module, row), np.asarray(expected))


def test_without_a_test_split_validation_is_the_test_and_a_notice_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = miniature(tmp_path / "two", names=NAMES, size=16)
    with caplog.at_level("INFO"):
        manifest = AiGenBenchDataModule(folder).manifest()
    assert len(manifest.rows("test")) == 12
    assert len(manifest.rows("valid")) == 0
    assert "are the test images" in caplog.text
    three = miniature(tmp_path / "three", names=NAMES, size=16, splits=("train", "validation", "test"))
    caplog.clear()
    manifest = AiGenBenchDataModule(three).manifest()
    assert len(manifest.rows("test")) == len(manifest.rows("valid")) == 12
    assert not caplog.text


def test_parquet_files_with_the_same_columns(tmp_path: Path) -> None:
    import json

    folder = tmp_path / "hub" / "data"
    folder.mkdir(parents=True)
    note = {"huggingface": json.dumps({"info": {"features": features(False)}})}
    for split in ("train", "validation"):
        table = split_table(split, 4, 16, NAMES, 0, large=False).replace_schema_metadata(note)
        for number in range(2):
            half = table.slice(number * 12, 12)
            pq.write_table(half, folder / f"{split}-{number:05d}-of-00002.parquet", row_group_size=5)
    saved = AiGenBenchDataModule(miniature(tmp_path / "set", train=4, validation=4, size=16, names=NAMES))
    module = AiGenBenchDataModule(tmp_path / "hub")
    assert module.manifest().fingerprint() == saved.manifest().fingerprint()
    for row in (0, 13, 30):
        assert np.array_equal(pixels(module, row), pixels(saved, row))
    (folder / "train-00000-of-00002.parquet").unlink()
    with pytest.raises(DataError, match="1 of 2 Parquet files are missing, first number 0"):
        AiGenBenchDataModule(tmp_path / "hub").manifest()


def test_half_copies_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    folder = miniature(tmp_path / "set", train=20, validation=1, size=16, names=NAMES)
    last = shards(folder / "train")[-1]
    whole = last.read_bytes()
    for size in (len(whole) - 1, len(whole) - 8, len(whole) // 2, 0):
        last.write_bytes(whole[:size])
        with pytest.raises(DataError, match=r"is truncated after.*\n.*Copy the complete data set again"):
            AiGenBenchDataModule(folder).manifest()
    last.unlink()
    with pytest.raises(DataError, match="lacks 1 of 2 shards"):
        AiGenBenchDataModule(folder).manifest()
    shutil.rmtree(folder / "validation")
    with pytest.raises(DataError, match=r"state.json of split 'validation' in .* is missing"):
        AiGenBenchDataModule(folder).manifest()


def test_what_is_no_such_data_set_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"neither dataset_dict\.json nor Parquet"):
        AiGenBenchDataModule(tmp_path).manifest()
    (tmp_path / "a.parquet").write_bytes(b"")
    with pytest.raises(DataError, match="which AI-GenBench does not have"):
        AiGenBenchDataModule(tmp_path).manifest()
    table = split_table("train", 1, 16, NAMES, 0)
    (tmp_path / "a.parquet").unlink()
    pq.write_table(table.drop_columns(["file_id"]), tmp_path / "train.parquet")
    with pytest.raises(DataError, match="no column 'file_id'"):
        AiGenBenchDataModule(tmp_path).manifest()
    wrong = table.set_column(3, "label", table["label"].combine_chunks().take(list(range(5, -1, -1))))
    pq.write_table(wrong, tmp_path / "train.parquet")
    with pytest.raises(DataError, match="has label 0 and generator 'ADM'"):
        AiGenBenchDataModule(tmp_path).manifest()


def test_it_can_be_prepared_once_and_is_then_the_same_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import lightning_main
    from benchmarks.ai_genbench.benchmark import AiGenBench
    from datamodules.hdf5 import Hdf5DataModule

    monkeypatch.chdir(tmp_path)
    miniature(tmp_path / "set", train=2, validation=2, size=16, names=NAMES)
    words = [
        "task=prepare",
        "datamodule=ai_genbench",
        "datamodule.path=set",
        "prepare.out=fast.h5",
        "prepare.workers=1",
    ]
    assert lightning_main.main(words) == 0
    slow, fast = AiGenBenchDataModule(tmp_path / "set"), Hdf5DataModule(tmp_path / "fast.h5")
    protocol = AiGenBench(0, generators=NAMES, window_size=2)
    for one, other in zip(protocol.stages(slow.manifest()), protocol.stages(fast.manifest()), strict=True):
        assert [slow.manifest().image_id(row) for row in one.train] == [
            fast.manifest().image_id(row) for row in other.train
        ]
    for index in range(2):
        rows = protocol.stage_test_rows(slow.manifest(), index), protocol.stage_test_rows(fast.manifest(), index)
        assert [slow.manifest().image_id(row) for row in rows[0]] == [fast.manifest().image_id(row) for row in rows[1]]
        assert [slow.store().read(int(row)) for row in rows[0]] == [fast.store().read(int(row)) for row in rows[1]]
