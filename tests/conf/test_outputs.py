"""A place that cannot be written is refused before the work whose results it is for."""

from pathlib import Path

import pytest

from conf.check import check
from conf.compose import compose
from conf.outputs import refusal


def told(*words: str) -> list[str]:
    return [str(problem) for problem in check(compose(words)) if "cannot be written" in str(problem)]


@pytest.fixture(autouse=True)
def _at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to("nowhere")


@pytest.mark.parametrize(
    "task",
    [
        "predict",
        "audit",
        "threshold",
        "calibrate",
        "review",
        "combine",
        "compare",
        "leaderboard",
        "explain",
        "generate",
        "trace",
    ],
)
def test_a_file_in_the_way_of_a_folder(task: str) -> None:
    (problem,) = told(f"task={task}", f"{task}.out=file/deep/out")
    assert f"{task}.out=file/deep/out cannot be written: file is not a folder" in problem
    assert told(f"task={task}", f"{task}.out=new/deep/out") == []


@pytest.mark.parametrize(
    "out", ["file", "file/a", "dangling/a", "/proc/nothing/a", "/dev/null/a", "x" * 300, "a/" + "x" * 300]
)
def test_other_places(out: str) -> None:
    (problem,) = told("task=predict", f"predict.out={out}")
    assert f"predict.out={out} cannot be written" in problem
    assert "Give predict.out=FOLDER elsewhere." in problem


def test_files(tmp_path: Path) -> None:
    (problem,) = told("task=prepare", "prepare.out=file/a.h5")
    assert "file is not a folder" in problem
    (tmp_path / "folder").mkdir()
    (problem,) = told("task=prepare", "prepare.out=folder")
    assert "it is a folder" in problem
    assert told("task=prepare", "prepare.out=new/a.h5") == []
    assert told("task=prepare", "prepare.out=file") == []


def test_results_and_logs(tmp_path: Path) -> None:
    assert told("task=fit") == []
    (tmp_path / "experiments_logs").touch()
    (problem,) = told("task=fit")
    assert str(tmp_path / "experiments_logs") in problem
    assert told("task=test") == []
    (tmp_path / "experiments_data").mkdir()
    (tmp_path / "experiments_data/e").touch()
    (problem,) = told("task=test", "experiment_id=e")
    assert str(tmp_path / "experiments_data/e") in problem
    assert told("task=predict", "predict.out=new", "experiment_id=e") == []
    assert told("task=fit", "launcher=slurm") == []  # its jobs ask where they run


def test_an_error_of_the_system_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a folder without permission, or a file system mounted to be read only."""

    def refuse(dir: Path) -> None:  # noqa: A002 - as tempfile calls it
        raise OSError(30, "Read-only file system", str(dir))

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    assert refusal(tmp_path / "new") == f"Read-only file system ({tmp_path})"


def test_looking_leaves_nothing_behind(tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    assert refusal(Path("new/deep")) is None
    assert sorted(tmp_path.iterdir()) == before
