"""``task=prepare`` by the real command line."""

import csv

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from drawn import encoded, picture

from lightning_main import main


@pytest.fixture
def folder(tmp_path, monkeypatch):
    made = [
        {"id": f"i{k}", "image": {"bytes": encoded(picture(np.random.default_rng(k), 24, bool(k % 2)))}, "label": k % 2}
        for k in range(40)
    ]
    made[7]["image"]["bytes"] = made[7]["image"]["bytes"][:-60]
    (tmp_path / "set").mkdir()
    pq.write_table(pa.Table.from_pylist(made), tmp_path / "set" / "a.parquet")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(*words):
    return main(["task=prepare", "datamodule=parquet", "datamodule.path=set", "experiment_id=e", *words])


def test_reduced_pixels_and_the_list_of_failures(folder, capsys):
    assert command("prepare.storage=pixels", "prepare.size=16", "prepare.max_failures=0.05") == 0
    out = folder / "experiments_data" / "e"
    with h5py.File(out / "data.h5") as file:
        assert sum(len(group["image"]) for group in file.values()) == 39
        assert file["train/image"].shape[1:] == (16, 16, 3)
    with (out / "failures.csv").open() as stream:
        (failure,) = csv.DictReader(stream)
    assert (failure["id"], failure["where"], failure["row"]) == ("i7", "set/a.parquet", "7")
    assert "damaged or truncated PNG" in failure["reason"]
    shown = capsys.readouterr().out
    assert "1 unreadable" in shown
    assert "images/s" in shown
    assert "datamodule=hdf5 datamodule.path=experiments_data/e/data.h5" in shown
    assert command("prepare.storage=pixels", "prepare.size=16") == 0
    assert "was there already" in capsys.readouterr().out
    assert (out / "failures.csv").exists()
    assert command("prepare.storage=pixels", "prepare.size=24") == 2
    assert "size (16 there, 24 wanted)" in capsys.readouterr().err


def test_too_many_failures_end_in_an_exit_code(folder, capsys):
    assert command("prepare.out=made/d.h5") == 1
    assert (
        "1 of 40 images cannot be read (2.50%, prepare.max_failures=0.01); the first: 'i7'" in capsys.readouterr().err
    )
    assert not (folder / "made" / "d.h5").exists()
    assert "i7" in (folder / "made" / "failures.csv").read_text()


def test_impossible_pairs_are_refused(folder, capsys):
    assert command("prepare.size=16") == 2
    assert "prepare.storage=pixels" in capsys.readouterr().err
    assert command("prepare.storage=pixels") == 2
    assert "prepare.size=" in capsys.readouterr().err
    assert not (folder / "experiments_data" / "e" / "data.h5").exists()


def test_the_sample_is_prepared_by_the_command_of_the_readme(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["task=prepare", "datamodule=sample", "prepare.limit=50", "prepare.out=d.h5"]
    assert main(words) == 0
    with h5py.File("d.h5") as file:
        assert sum(len(group["target"]) for group in file.values()) == 50
        assert set(file["test/control"].asstr()) <= {"", "bicubic-x4"}
