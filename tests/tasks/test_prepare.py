"""``task=prepare`` by the real command line."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from synthetic import encoded, picture

import lightning_main
from conf.cli.groups import CONF
from lightning_main import main
from tasks.multirun.many import named

PROGRAM = str(Path(lightning_main.__file__).resolve())


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
    assert "exists already" in capsys.readouterr().out
    assert (out / "failures.csv").exists()
    assert command("prepare.storage=pixels", "prepare.size=24") == 2
    assert "size (16 in the file, 24 now)" in capsys.readouterr().err


def test_too_many_failures_end_in_an_exit_code(folder, capsys):
    assert command("prepare.out=made/d.h5") == 1
    assert "1 of 40 images cannot be read (2.50%, prepare.max_failures=0.01), first 'i7'" in capsys.readouterr().err
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


def test_shards_by_the_command_line_make_one_file_once(folder, capsys):
    words = ["prepare.max_failures=0.05", "prepare.shards=3"]
    assert command("prepare.max_failures=0.05", "prepare.out=whole/d.h5") == 0
    out = folder / "experiments_data/e"
    assert command(*words, "prepare.shard=1") == 0
    assert "shard 1 of 3 is prepared; shards still missing (2): [0, 2]" in capsys.readouterr().out
    (part,) = (out / "data.h5.parts").glob("*.h5")
    before = part.stat().st_mtime_ns
    assert command(*words, "prepare.shard=1") == 0  # it is not made again
    assert part.stat().st_mtime_ns == before
    part.with_suffix(".json").unlink()  # killed before its note was written
    for number in (1, 0, 2):
        assert command(*words, f"prepare.shard={number}") == 0
    assert "1 unreadable" in capsys.readouterr().out
    assert not (out / "data.h5.parts").exists()
    with h5py.File(out / "data.h5") as file, h5py.File("whole/d.h5") as whole:
        assert {name: set(group) for name, group in file.items()} == {name: set(group) for name, group in whole.items()}
        for name, group in file.items():
            for column in group:
                assert np.array_equal(group[column][:], whole[name][column][:])
    assert (out / "failures.csv").read_text() == (folder / "whole/failures.csv").read_text()
    assert command(*words, "prepare.shard=2") == 0
    assert "exists already" in capsys.readouterr().out
    assert command(*words) == 2
    assert "Give prepare.shard=N" in capsys.readouterr().err


def test_jobs_of_different_shards_are_one_experiment():
    words = ["task=prepare", "datamodule=sample", "experiment_id=all", "prepare.shards=2"]
    jobs = named([[*words, f"prepare.shard={number}"] for number in range(2)], CONF)
    assert [job.config.experiment_id for job in jobs] == ["all", "all"]
    sizes = named([[*words, "prepare.shard=0", f"prepare.limit={limit}"] for limit in (5, 6)], CONF)
    assert [job.config.experiment_id for job in sizes] == ["all_limit-5", "all_limit-6"]


def test_a_shard_that_is_killed_loses_nothing(folder):
    words = [PROGRAM, "task=prepare", "datamodule=parquet", "datamodule.path=set", "experiment_id=e"]
    words += ["prepare.shards=2", "prepare.shard=0", "prepare.max_failures=0.05", "prepare.workers=1"]
    # of the shard's twenty images it gets to the tenth, and waits there
    slow = "import runpy, sys, time, datamodules.preparing.work as w\n"
    slow += "read = w.read_cells\n"
    slow += (
        "w.read_cells = lambda *a: (time.sleep(600 if k == 10 else 0.05) or each for k, each in enumerate(read(*a)))\n"
    )
    slow += "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')\n"
    process = subprocess.Popen([sys.executable, "-c", slow, *words], start_new_session=True)
    part = folder / "experiments_data/e/data.h5.parts/part-00000-of-00002.h5.part"
    limit = time.monotonic() + 300
    while not part.exists():
        assert process.poll() is None
        assert time.monotonic() < limit
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert part.exists()
    for number in (1, 0):
        shard = ("prepare.shards=2", f"prepare.shard={number}")
        assert command("prepare.max_failures=0.05", *shard) == 0
    assert command("prepare.max_failures=0.05", "prepare.out=whole/d.h5") == 0
    with h5py.File("experiments_data/e/data.h5") as file, h5py.File("whole/d.h5") as whole:
        for name, group in whole.items():
            assert np.array_equal(group["bytes"][:], file[name]["bytes"][:])
            assert group["id"].asstr()[:].tolist() == file[name]["id"].asstr()[:].tolist()
