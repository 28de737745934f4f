"""Names of the jobs of a ``-m``, new and as earlier versions wrote them."""

from pathlib import Path

import pytest
import yaml

from conf.cli.groups import CONF
from conf.cli.words import expand
from tasks.experiment.names import former_job, former_name, grammar_reading, labels_of
from tasks.experiment.recall import recalled
from tasks.experiment.run import LOCK
from tasks.multirun import many


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(many, "check", lambda composed: [])  # noqa: ARG005


def begun(folder: str, *words: str) -> None:
    """An experiment as an earlier version left it."""
    (Path("experiments_data") / folder).mkdir(parents=True)
    (Path("experiments_data") / folder / LOCK).write_text(yaml.safe_dump({"command": list(words), "config": {}}))


def names(*words: str) -> list[str | None]:
    return [job.config.experiment_id for job in many.named(expand(words), CONF)]


def test_no_job_shares_a_folder_with_a_job_of_another_number() -> None:
    seeds = f"seed={','.join(map(str, range(11)))}"
    four, forty_one = names("experiment_id=4", seeds), names("experiment_id=41", seeds)
    assert four == [f"4_seed-{seed}" for seed in range(11)]
    assert not set(four) & set(forty_one)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["seed=1,2"], ["x_seed-1", "x_seed-2"]),
        (["trainer.max_epochs=1,2", "detector.optimizer.lr=1e-4"], ["x_max_epochs-1", "x_max_epochs-2"]),
        (["detector.optimizer.lr=1e-4,1e-3"], ["x_lr-1e-4", "x_lr-1e-3"]),
        (["seed=1,2", "task=fit,test"], ["x_seed-1", "x_seed-1", "x_seed-2", "x_seed-2"]),
        (["datamodule.path=12345_2,007"], ["x_path-12345_2", "x_path-007"]),
        (["datamodule.path=a/b"], ["x"]),
        (["datamodule.path='a b','a c'"], ["x_path-a-b", "x_path-a-c"]),
    ],
)
def test_folders_say_what_differs(words: list[str], told: list[str]) -> None:
    assert names("experiment_id=x", "datamodule=folder", *words) == told


def test_labels_never_meet_and_stay_the_same_beside_other_jobs() -> None:
    few = labels_of([("p=a/b", "s=1"), ("p=a-b", "s=1"), ("p=" + "x" * 300, "s=1")])
    assert len(set(few.values())) == 3
    assert max(map(len, few.values())) < 120
    assert labels_of([("s=1",), ("s=2",)])[("s=2",)] == labels_of([("s=2",), ("s=3",), ("s=4",)])[("s=2",)] == "s-2"


@pytest.mark.parametrize(
    ("name", "read"), [("4_10", "410"), ("12345_2", "123452"), ("1e5", "100000.0"), ("a_1", "a_1")]
)
def test_what_earlier_versions_read(name: str, read: str) -> None:
    assert grammar_reading(name) == read


@pytest.mark.parametrize(("name", "folders"), [("4", ["40", "41", "42"]), ("multi", ["multi_0", "multi_1", "multi_2"])])
def test_a_resume_finds_the_folders_that_were_numbered(name: str, folders: list[str]) -> None:
    for number, folder in enumerate(folders):
        begun(
            folder, "datamodule=folder", f"seed={number + 5}", f"experiment_id={name}", f"experiment_id={name}_{number}"
        )
    words = [f"experiment_id={name}", "datamodule=folder"]
    assert names("seed=5,6,7", *words) == folders
    assert names("seed=7,8,5", *words) == [folders[2], f"{name}_seed-8", folders[0]]


def test_a_folder_of_other_jobs_is_left_alone() -> None:
    begun("410", "seed=10", "experiment_id=4", "experiment_id=4_10")
    assert former_job("41", ["seed=0"], [["seed=0"], ["seed=10"]]) is None
    assert former_job("4", ["seed=10"], [["seed=0"], ["seed=10"]]) == "410"
    assert former_job("4", ["seed=0"], [["seed=0"], ["seed=10"]]) is None


def test_a_single_run_continues_where_an_earlier_version_began_it(capsys: pytest.CaptureFixture[str]) -> None:
    begun("123452", "seed=1", "experiment_id=12345_2")
    assert recalled(["task=test", "experiment_id=12345_2"])[-1] == "experiment_id=123452"
    assert "earlier version" in capsys.readouterr().err
    assert former_name("12345_3") is None
    assert recalled(["experiment_id=1234_52"]) == ["experiment_id=1234_52"]
    begun("12345_2", "seed=2", "experiment_id=12345_2")
    assert recalled(["experiment_id=12345_2"]) == ["seed=2", "experiment_id=12345_2"]
