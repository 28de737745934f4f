"""A line an epoch where there is no terminal, and the same lines in a file."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as L
import tiny

from callbacks.checkpoints import Checkpoints
from callbacks.collector import Collector
from callbacks.reporting.progress import NoBar, Progress
from callbacks.reporting.progress_lines import ProgressLines
from callbacks.validation_metrics import ValidationMetrics

RATE = r"[\d,.e+-]+ images/s"
VALUES = rf"loss \d\.\d{{4}}, val/auroc \d\.\d{{4}}, val/loss \d\.\d{{4}}, {RATE}"


def fit(folder: Path, lines: ProgressLines, **given: Any) -> None:
    collector = Collector()
    trainer = tiny.trainer(collector, ValidationMetrics(collector), Checkpoints(folder / "kept"), lines, **given)
    trainer.fit(tiny.Tiny(), datamodule=tiny.data(folder))


def test_each_epoch_has_a_line_on_screen_and_in_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "new/log.txt"
    fit(tmp_path, ProgressLines(log), max_epochs=3)
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 3
    for number, line in enumerate(shown, 1):
        assert re.fullmatch(rf"epoch {number}/3, step {2 * number}: {VALUES}, \d+:\d\d:\d\d left", line), line
    assert shown[-1].endswith("0:00:00 left")
    assert [line[20:] for line in log.read_text().splitlines()] == shown


@pytest.mark.parametrize(
    ("given", "first"), [({"max_steps": 3, "max_epochs": -1}, "epoch 1, step 2"), ({}, "epoch 1/2, ")]
)
def test_epochs_are_counted_from_one_whatever_limits_them(
    given: dict[str, Any], first: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit(tmp_path, ProgressLines(), **given)
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith(first)
    assert len(shown) == 2


def test_within_long_epochs_there_are_lines_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit(tmp_path, ProgressLines(every=0.0), max_epochs=1)
    shown = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0].partition(", loss")[0] for line in shown] == [
        "epoch 1/1, batch 1/2",
        "epoch 1/1, batch 2/2",
        "epoch 1/1, validation batch 1",
        "epoch 1/1, validation batch 2",
        "epoch 1/1, step 2",
    ]


@pytest.mark.parametrize(("verb", "images"), [("validate", 6), ("test", 5), ("predict", 5)])
def test_scoring_says_how_much_and_how_fast(
    verb: str, images: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = tiny.trainer(Collector(), ProgressLines(every=0.0))
    given = {"return_predictions": False} if verb == "predict" else {"verbose": False}
    getattr(trainer, verb)(tiny.Tiny(), datamodule=tiny.data(tmp_path), **given)
    shown = capsys.readouterr().out.splitlines()
    assert re.fullmatch(rf"{verb}: batch 1/2, {RATE}, \d+:\d\d:\d\d left", shown[0]), shown
    assert re.fullmatch(rf"{verb}: {images} images, {RATE}, \d+:\d\d:\d\d", shown[-1]), shown


def test_it_may_be_silent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit(tmp_path, ProgressLines(tmp_path / "log.txt", shown=False), max_epochs=1)
    assert capsys.readouterr().out == ""
    assert len((tmp_path / "log.txt").read_text().splitlines()) == 1


def test_the_bar_counts_from_one_too(tmp_path: Path) -> None:
    bar, seen = Progress(refresh_rate=0), []

    class Noting(ProgressLines):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, *rest: Any) -> None:
            super().on_train_batch_end(trainer, pl_module, *rest)
            seen.append(
                (bar._get_train_description(trainer.current_epoch).strip(), bar.get_metrics(trainer, pl_module))
            )

    trainer = tiny.trainer(Noting(shown=False), max_epochs=2)
    bar._trainer = trainer
    trainer.fit(tiny.Tiny(), datamodule=tiny.data(tmp_path))
    assert [name for name, _ in seen] == ["Epoch 1/2", "Epoch 1/2", "Epoch 2/2", "Epoch 2/2"]
    assert all(re.fullmatch(r"\d+:\d\d:\d\d left", metrics["run"]) for _, metrics in seen)
    assert seen[-1][1]["run"] == f"{timedelta(0)} left"


def test_no_bar_of_lightnings_own_beside_the_lines() -> None:
    trainer = L.Trainer(accelerator="cpu", callbacks=[NoBar()], logger=False, enable_checkpointing=False)
    assert isinstance(trainer.progress_bar_callback, NoBar)
