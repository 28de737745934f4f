"""Which image is used for what is recorded once, and every later command is compared with it."""

import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import synthetic
import yaml

import datamodules.parquet
from benchmarks.plain import Plain
from contracts.errors import DataError
from contracts.stage import Stage
from datamodules.parquet import ParquetDataModule
from datamodules.tables.folds import fold_splits
from datamodules.tables.manifest import Manifest
from lightning_main import main
from tasks.experiment.splits import FILE, record, refuse_changed_training, refuse_trained, roles

SPLITS = ["train"] * 6 + ["valid"] * 2 + ["test"] * 4


def manifest(**changes: Any) -> Manifest:
    columns: dict[str, Any] = {"id": [f"i{k}" for k in range(12)], "label": [k % 2 for k in range(12)], "split": SPLITS}
    return Manifest.from_columns(columns | changes)


def stages(of: Manifest) -> list[Stage]:
    return [Stage(0, "all", of.rows("train"), of.rows("valid"))]


def begun(folder: Path, of: Manifest | None = None, path: str = "data") -> Path:
    """An experiment's folder with its record; gives the checkpoint."""
    of = manifest() if of is None else of
    record(folder, of, stages(of))
    lock = {"config": {"datamodule": {"_target_": "T", "path": path}}}
    (folder / "config.lock.yaml").write_text(yaml.safe_dump(lock))
    return folder / "window_0" / "checkpoints" / "best.ckpt"


def refuse(checkpoint: Path, of: Manifest, path: str = "data") -> None:
    resolved = {"datamodule": {"_target_": "T", "path": path}}
    refuse_trained(checkpoint, of, of.rows("test"), resolved, roles=("train", "valid"), verb="test")


def swapped(*places: int) -> list[str]:
    """The splits with these two exchanged."""
    made = list(SPLITS)
    a, b = places
    made[a], made[b] = made[b], made[a]
    return made


def test_the_same_data_pass_without_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoint = begun(tmp_path)
    refuse(checkpoint, manifest())
    refuse_changed_training(tmp_path, manifest(), stages(manifest()))
    shuffled = manifest().take(np.arange(12)[::-1])
    refuse(checkpoint, shuffled)
    refuse_changed_training(tmp_path, shuffled, stages(shuffled))
    assert not caplog.records


@pytest.mark.parametrize(("place", "role"), [(0, "train"), (6, "valid")])
def test_a_trained_image_is_never_tested(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, place: int, role: str
) -> None:
    checkpoint, now = begun(tmp_path), manifest(split=swapped(place, 8))
    message = rf"1 of 4 images to test are images that .* trained or validated on\n.*i{place}: {role} → test"
    with pytest.raises(DataError, match=message):
        refuse(checkpoint, now)
    refuse(checkpoint, now, path="elsewhere")  # other data, by path: perhaps other images
    assert "1 of 4 images to test" in caplog.text
    with pytest.raises(DataError, match="start a new experiment"):
        refuse_changed_training(tmp_path, now, stages(now))


def test_the_path_may_be_written_in_another_way(tmp_path: Path) -> None:
    checkpoint = begun(tmp_path, path="./data/")
    with pytest.raises(DataError, match="trained or validated"):
        refuse(checkpoint, manifest(split=swapped(0, 8)), path=str(Path.cwd() / "data"))


def test_test_images_that_came_went_or_changed_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoint = begun(tmp_path)
    more = {"id": [f"i{k}" for k in range(11)] + ["new"], "label": [k % 2 for k in range(8)] + [1, 1, 0, 1]}
    now = manifest(**more)
    found = r"(?s)1 are new: new\n.*1 are missing: i11\n.*1 have another label: i8"
    refuse(checkpoint, now)
    assert re.search(found, caplog.text)
    refuse_changed_training(tmp_path, now, stages(now))  # training is not touched


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"id": ["new", *(f"i{k}" for k in range(1, 12))]},
            r"(?s)1 are new: new \(train\)\n.*1 are missing: i0 \(train\)",
        ),
        ({"label": [1, 1, *(k % 2 for k in range(2, 12))]}, "1 have another label: i0"),
        ({"split": ["train"] * 7 + ["valid"] + ["test"] * 4}, "1 have another role: i6: valid → train"),
        ({"split": ["", *SPLITS[1:]]}, "i0: train → unused"),
    ],
)
def test_training_continues_with_its_own_images(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    begun(tmp_path)
    now = manifest(**changes)
    with pytest.raises(DataError, match=message):
        refuse_changed_training(tmp_path, now, stages(now))


def test_another_data_set_is_none_of_its_business(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoint, other = begun(tmp_path), manifest(id=[f"other{k}" for k in range(12)])
    refuse(checkpoint, other, path="other")
    assert not caplog.records


def test_an_experiment_of_an_older_version_has_no_record_and_gets_none(tmp_path: Path) -> None:
    (tmp_path / "window_0").mkdir()
    now = manifest()
    record(tmp_path, now, stages(now))
    assert not (tmp_path / FILE).exists()
    refuse(tmp_path / "window_0/checkpoints/best.ckpt", now)
    refuse_changed_training(tmp_path, now, stages(now))


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    checkpoint = begun(tmp_path)
    (tmp_path / FILE).write_bytes(b"no table")
    with pytest.raises(DataError, match=f"{FILE} cannot be read"):
        refuse(checkpoint, manifest())


def test_sampled_validation_and_several_stages_have_roles() -> None:
    now = manifest(split=["train"] * 8 + ["test"] * 4)
    several = [Stage(0, "a", np.array([0, 1]), np.array([2])), Stage(1, "b", np.array([2, 3]), np.array([4]))]
    assert roles(now, several).tolist() == ["train"] * 4 + ["valid"] + [""] * 3 + ["test"] * 4


def test_other_folds_of_another_library_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A set with groups and no split column, whose folds a second command deals in another way."""
    table = {"id": [f"i{k}" for k in range(60)], "image": [b""] * 60, "label": [k % 2 for k in range(60)]}
    pq.write_table(pa.table(table | {"photo": [f"p{k // 2}" for k in range(60)]}), tmp_path / "set.parquet")
    columns = {"id": "id", "image": "image", "label": "label", "group": "photo"}
    first = ParquetDataModule(tmp_path / "set.parquet", columns).manifest()
    record(tmp_path, first, Plain(seed=0).stages(first))
    begun(tmp_path)
    monkeypatch.setattr(
        datamodules.parquet, "fold_splits", lambda labels, groups, seed: fold_splits(labels, groups, seed + 1)
    )
    second = ParquetDataModule(tmp_path / "set.parquet", columns).manifest()
    with pytest.raises(DataError, match=r"\d+ of 1\d images to test are images"):
        refuse(tmp_path / "window_0/checkpoints/best.ckpt", second)


def exchange(file: Path, a: str, b: str) -> None:
    """Gives the first image of one group the id of the first of another, and the other way round."""
    with h5py.File(file, "r+") as opened:
        first, second = opened[a]["id"][0], opened[b]["id"][0]
        opened[a]["id"][0], opened[b]["id"][0] = second, first


def test_commands_refuse_what_was_trained_on(
    trained: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = trained / "experiments_data/e"
    kept = pq.read_table(experiment / FILE)
    assert kept["role"].to_pylist() == ["train"] * 32 + ["valid"] * 16 + ["test"] * 18
    exchange(trained / "drawn.h5", "train", "test")
    for command in (["task=test", "experiment_id=e"], [*words]):
        assert main(command) == 1
        assert "train-0: train → test" in capsys.readouterr().err
    exchange(trained / "drawn.h5", "train", "test")
    exchange(trained / "drawn.h5", "train", "valid")
    assert main(["task=validate", "experiment_id=e"]) == 1
    assert "train-0: train → validate" in capsys.readouterr().err
    exchange(trained / "drawn.h5", "train", "valid")
    assert main(["task=test", "experiment_id=e"]) == 0


def test_an_older_experiment_still_tests(trained: Path) -> None:
    (trained / "experiments_data/e" / FILE).unlink()
    synthetic.hdf5(trained / "drawn.h5", {"train": 8, "valid": 6, "test": 4})
    assert main(["task=test", "experiment_id=e"]) == 0
    assert not (trained / "experiments_data/e" / FILE).exists()
