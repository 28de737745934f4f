"""INT, as of Ctrl-C: training saves behind the batch, ends with 130 and continues with the same command."""

import json
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import synthetic

from contracts.process.stop import SECOND_INTERRUPT, STOP, Stopped
from detectors.base import Detector
from lightning_main import main
from tasks.experiment.requeue import ended
from tasks.multirun.local import other_optuna


def interrupt_at(step: int, times: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Has training interrupted in a step, once; the steps that were begun."""
    train, begun = Detector.training_step, []

    def interrupted(self: Detector, batch: Any, batch_idx: int) -> Any:
        begun.append(self.global_step)
        if len(begun) == step:
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)
        return train(self, batch, batch_idx)

    monkeypatch.setattr(Detector, "training_step", interrupted)
    return begun


@pytest.mark.parametrize(("step", "times", "saved"), [(1, 1, 1), (3, 2, 3), (2, 1, 2)])
def test_a_fit_saves_and_continues(
    step: int,
    times: int,
    saved: int,
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Inside an epoch of two batches, and behind its last."""
    monkeypatch.chdir(tmp_path)
    synthetic.hdf5(tmp_path / "drawn.h5", {"train": 8, "valid": 6, "test": 5})
    begun = interrupt_at(step, times, monkeypatch)
    assert main([*words, "trainer.max_epochs=2"]) == 130
    assert STOP.signum is None  # what this process runs next is not stopped
    assert "stopped by SIGINT; the same command continues from here" in capsys.readouterr().err
    checkpoints = tmp_path / "experiments_data/e/window_0/checkpoints"
    assert (checkpoints / "last.ckpt").readlink().name == f"step-{saved:08d}.ckpt"
    assert main([*words, "trainer.max_epochs=2"]) == 0
    assert begun == [0, 1, 2, 3]


def test_a_resume_with_other_versions_says_so_and_continues(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    synthetic.hdf5(tmp_path / "drawn.h5", {"train": 8, "valid": 6, "test": 5})
    interrupt_at(1, 1, monkeypatch)
    assert main([*words, "trainer.max_epochs=1"]) == 130
    file = tmp_path / "experiments_data/e/window_0/versions.json"
    known = json.loads(file.read_text())
    assert {"torch", "timm", "torchvision", "numpy"} <= set(known)
    assert "other versions" not in capsys.readouterr().out
    file.write_text(json.dumps(known | {"timm": "0.0.1"}))
    assert main([*words, "trainer.max_epochs=1"]) == 0
    assert f"was started with other versions: timm 0.0.1 → {known['timm']}. It continues" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("begun", "now", "told"), [(None, "5.0.0", None), ("5.0.0", "5.0.0", None), ("4.5.0", "5.0.0", "4.5.0")]
)
def test_a_search_with_another_optuna_says_so(begun: str | None, now: str, told: str | None) -> None:
    attrs = {} if begun is None else {"optuna": begun}
    study = SimpleNamespace(user_attrs=attrs, study_name="s", set_user_attr=attrs.__setitem__)
    said = other_optuna(study, now)
    assert (said is None) == (told is None)
    assert told is None or f"started with Optuna {told} and continues with {now}" in str(said)
    assert attrs["optuna"] == (begun or now)


def test_an_experiment_without_a_name_is_named(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    synthetic.hdf5(tmp_path / "drawn.h5", {"train": 8, "valid": 6, "test": 5})
    interrupt_at(1, 1, monkeypatch)
    unnamed = [word for word in words if not word.startswith("experiment_id=")]
    assert main(unnamed) == 130
    assert "the same command with experiment_id=1 continues from here" in capsys.readouterr().err


def test_the_exit_code_is_that_of_the_signal(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(Stopped(signal.SIGINT), {}) == 130
    assert ended(Stopped(signal.SIGINT), {"PIXELPROOF_EXPERIMENT_ID": "7"}, ["experiment_id=7"]) == 130
    assert "with experiment_id" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["task=serve", "ckpt=a.ckpt"], "stopped by SIGINT\n"),
        (["task=review"], "stopped by SIGINT; the same command starts from the beginning\n"),
        (["task=predict"], "stopped by SIGINT; the same command starts from the beginning\n"),
        (["task=predict", "predict.shards=4"], "stopped by SIGINT; the same command continues from here\n"),
        (["look", "a.png"], "stopped by SIGINT; the same command starts from the beginning\n"),
        (["task=test"], "stopped by SIGINT; the same command continues from here\n"),
        (["-m", "seed=1,2"], "stopped by SIGINT; the same command continues from here\n"),
    ],
)
def test_only_what_a_task_keeps_is_continued(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(Stopped(signal.SIGINT), {}, words) == 130
    assert capsys.readouterr().err == f"pixelproof: {says}"


def test_a_second_one_ends_at_once_but_not_the_same_one_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    with STOP.handled(deferred=True):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        assert STOP.signum == signal.SIGINT
        monkeypatch.setattr(STOP, "since", STOP.since - SECOND_INTERRUPT - 1)
        with pytest.raises(Stopped, match="SIGINT"):
            signal.raise_signal(signal.SIGINT)


def test_where_it_is_ignored_it_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with STOP.handled(deferred=False):
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_afterwards_it_is_handled_as_before() -> None:
    before = signal.getsignal(signal.SIGINT)
    with STOP.handled(deferred=False), pytest.raises(Stopped):
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
