"""On a real cluster: whatever ends a job, nothing is lost, and SLURM calls things by their name."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import optuna
import pytest
import synthetic
import yaml
from cluster import Cluster
from fleet import Fleet
from lab import (
    BATCHES,
    EPOCHS,
    GENERATORS,
    PREPARE,
    SEARCH,
    WORDS,
    Lab,
    results,
)
from synthetic_ai_genbench import miniature

import lightning_main

pytestmark = [pytest.mark.slurm, pytest.mark.slow]


@pytest.fixture(scope="module")
def lab(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    folder = tmp_path_factory.mktemp("lab")
    synthetic.hdf5(folder / "drawn.h5", {"train": 4 * BATCHES + 2, "valid": 12})
    (folder / "broken.h5").write_text("no HDF5")
    (folder / "search.yaml").write_text(yaml.safe_dump(SEARCH))
    miniature(folder / "mini", train=4, validation=2, size=32, names=GENERATORS)
    return Lab(cluster, folder)


@pytest.fixture(scope="module")
def fleet(lab: Lab) -> Fleet:
    return Fleet(lab)


@pytest.fixture(scope="module")
def undisturbed(lab: Lab, fleet: Fleet) -> list[Any]:
    """The first job of the array is the yardstick of all others."""
    job = fleet["array"]
    folders = [lab.folder / f"experiments_data/{job.number}_{n}" for n in range(3)]
    for folder in folders:
        lab.there(job, folder / "window_0/done")
    return results(folders[0])


def test_an_array_of_three(lab: Lab, fleet: Fleet, undisturbed: list[Any]) -> None:
    job = fleet["array"]
    for word in (f"scancel {job.number}_2", f"experiment_id={job.number}_1", "tail -F"):
        assert word in job.printed
    weights = [results(lab.folder / f"experiments_data/{job.number}_{n}")[0][0] for n in range(3)]
    assert weights[0] == undisturbed[0][0]
    assert weights[0] != weights[1] != weights[2] != weights[0]
    assert len(undisturbed[0][3][0]) == EPOCHS * BATCHES


def test_a_signal_by_hand(fleet: Fleet, undisturbed: list[Any]) -> None:
    job = fleet["by_hand"]
    assert "is requeued: the time limit is near" in job.log()
    assert results(job.folder) == undisturbed


def test_the_time_limit(fleet: Fleet, undisturbed: list[Any]) -> None:
    job = fleet["limit"]
    assert "stopped by SIGUSR2" in job.log()
    assert results(job.folder) == undisturbed


def test_a_cancelled_job_stays_away_until_it_is_called(lab: Lab, fleet: Fleet, undisturbed: list[Any]) -> None:
    job = fleet["cancelled"]
    again = lab.submit("again", "experiment_id=cancelled")
    lab.completed(again, 0)
    assert results(again.folder) == undisturbed
    assert "resuming from" in again.log()
    told = lab.cluster.requeued_again(job.number)
    assert (told["Restarts"], told["JobState"]) == ("0", "CANCELLED")


def test_put_back_by_an_administrator(fleet: Fleet, undisturbed: list[Any]) -> None:
    assert results(fleet["put_back"].folder) == undisturbed


@pytest.mark.parametrize("name", ["grace", "curt"])
def test_pre_empted(name: str, fleet: Fleet, undisturbed: list[Any]) -> None:
    job = fleet[name]
    assert "stopped by SIGTERM" in job.log()
    assert ("is requeued: it is being pre-empted" in job.log()) == (name == "grace")  # else SLURM did it itself
    assert results(job.folder) == undisturbed


def test_a_node_is_lost(fleet: Fleet, undisturbed: list[Any]) -> None:
    assert results(fleet["lost"].folder) == undisturbed


def test_pre_empted_in_awkward_moments(fleet: Fleet, undisturbed: list[Any]) -> None:
    """In a validation that must be left, in the middle of writing a checkpoint."""
    assert fleet["window"]  # which is pre-empted by the same job
    validation, write = fleet["validation"], fleet["write"]
    assert results(validation.folder) == results(write.folder) == undisturbed
    assert not list(write.folder.rglob("*.tmp"))


def test_pre_empted_between_two_windows(lab: Lab, fleet: Fleet) -> None:
    """Of a miniature AI-GenBench, which is then tested by a job that waits for its good end."""
    job, untouched = fleet["window"], fleet["windows"]
    lab.completed(untouched, 0)
    assert results(job.folder, windows=2) == results(untouched.folder, windows=2)
    assert "window_0 is complete" in job.log()
    assert (fleet.seen["behind_window"]["JobState"], fleet.seen["behind_window"]["Reason"]) == ("PENDING", "Dependency")
    for name in ("window_tables", "windows_tables"):
        lab.completed(fleet[name], 0)
    assert tables(job.folder) == tables(untouched.folder)


def tables(folder: Path) -> Any:
    """The benchmark's tables of an experiment."""
    found = json.loads((folder / "ai_genbench.json").read_text())[folder.name]
    assert len(found["stages"]) == len(GENERATORS)
    return found


def test_each_job_of_a_chain_waits_until_the_previous_one_succeeds(
    lab: Lab, fleet: Fleet, undisturbed: list[Any]
) -> None:
    job = fleet["chain"]
    first, second = job.numbers()
    assert f"waits:  until job {first} succeeds" in job.printed
    before = fleet.seen["behind_chain"]
    assert (before["JobState"], before["Reason"]) == ("PENDING", "Dependency")
    after = lab.cluster.wait(second, "COMPLETED|FAILED|CANCELLED")
    assert (after["JobState"], after["Restarts"]) == ("COMPLETED", "0")
    assert after["StartTime"] >= lab.cluster.requeued_again(first)["EndTime"]  # of the second life
    assert results(job.folder) == undisturbed
    array = lab.folder / f"experiments_data/{fleet['array'].number}_1"
    assert results(job.folder.with_name(str(second))) == results(array)


def test_what_waits_for_a_job_that_fails_is_cancelled(lab: Lab, fleet: Fleet) -> None:
    broken, behind = fleet["broken"], fleet["behind_broken"]
    assert lab.cluster.wait(broken.number, "FAILED|COMPLETED")["JobState"] == "FAILED"
    assert "broken.h5" in broken.log()
    told = lab.cluster.wait(behind.number, "CANCELLED|COMPLETED|FAILED")
    assert (told["JobState"], told["Reason"]) == ("CANCELLED", "DependencyNeverSatisfied")
    assert f"waits:  until job {broken.number} succeeds; SLURM cancels it if that fails" in behind.printed
    assert not behind.folder.exists()


def test_shards_of_an_array_are_put_together_once(lab: Lab, fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    job = fleet["shards"]
    lab.array_completed(job, 3)
    folder = lab.folder / "experiments_data/prepared"
    assert not (folder / "data.h5.parts").exists()
    monkeypatch.chdir(lab.folder)
    assert lightning_main.main([*WORDS, *PREPARE, "prepare.shards=1", "prepare.out=whole.h5"]) == 0
    with h5py.File(folder / "data.h5") as united, h5py.File("whole.h5") as whole:
        for split in ("train", "valid"):
            assert np.array_equal(united[split]["image"][:], whole[split]["image"][:])
            assert united[split]["id"].asstr()[:].tolist() == whole[split]["id"].asstr()[:].tolist()


def test_two_jobs_of_an_array_share_a_search(lab: Lab, fleet: Fleet) -> None:
    job = fleet["sweep"]
    lab.array_completed(job, 2)
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{lab.folder}/search/study.db")
    trials = {trial.user_attrs["experiment"]: trial for trial in study.trials}
    assert {trial.state.name for trial in trials.values()} == {"COMPLETE"}
    assert {trial.user_attrs["worker"] for trial in trials.values()} <= {"1", "2"}
    assert sorted(trials) == ["search_000", "search_001"]
    for name, trial in trials.items():
        assert results(lab.folder / f"experiments_data/{name}", ordered=False)
        history = lab.folder / f"experiments_data/{name}/window_0/checkpoints/history.json"
        assert trial.value == min(epoch["val/loss"] for epoch in json.loads(history.read_text()))


def test_two_nodes(lab: Lab, fleet: Fleet) -> None:
    job = fleet["two_nodes"]
    lab.completed(fleet["two_undisturbed"], 0)
    assert results(job.folder, ranks=2) == results(fleet["two_undisturbed"].folder, ranks=2)
