"""Habits of debugging and Lightning's own callbacks, each in a real training of a few steps."""

import csv
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pytorch_lightning.callbacks import EMAWeightAveraging, LearningRateMonitor

from benchmarks.predictions import read_predictions
from contracts.batch import Batch
from contracts.errors import ConfigError
from detectors.base import Detector
from lightning_main import main
from tasks.checking.before_fit import check_averaging

STAGE = Path("experiments_data/d/window_0")


@pytest.fixture
def words(words: list[str], _trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A new experiment of two epochs, in a folder that holds the data only."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(_trained / "drawn.h5", tmp_path)
    return [*words[:-1], "trainer.max_epochs=2", "experiment_id=d"]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The rows of every training batch."""
    rows: list[list[int]] = []
    step = Detector.training_step

    def noted(self: Detector, batch: Batch, batch_idx: int) -> Any:
        rows.append(sorted(batch.row.tolist()))
        return step(self, batch, batch_idx)

    monkeypatch.setattr(Detector, "training_step", noted)
    return rows


def logged() -> list[dict[str, str]]:
    (file,) = Path("experiments_logs/d/window_0").glob("version_*/metrics.csv")
    with file.open() as opened:
        return list(csv.DictReader(opened))


def load(name: str) -> dict[str, Any]:
    return dict(torch.load(STAGE / "checkpoints" / name, weights_only=True))


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        (["trainer=fast", "trainer.accelerator=cpu"], "trainer.fast_dev_run=true): 1 training step, 4 images"),
        (
            ["trainer.fast_dev_run=2", "callbacks=[default,early_stopping,lr_monitor]"],
            "=2): 2 training steps, 8 images",
        ),
        (
            ["trainer.overfit_batches=1", "logger=[tensorboard]"],
            "trainer.overfit_batches=1): 2 training steps, 4 images",
        ),
    ],
)
def test_a_debugging_run_keeps_nothing(
    chosen: list[str], said: str, words: list[str], seen: list[list[int]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, *chosen]) == 0
    printed = capsys.readouterr().out
    assert said in printed
    assert "Nothing was kept: no checkpoint, dump or table." in printed
    assert sorted(path.name for path in Path().iterdir()) == ["drawn.h5"]
    if "overfit" in said:
        assert len({tuple(rows) for rows in seen}) == 1  # the same images in every epoch


def test_a_debugging_run_has_one_device(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "+trainer.fast_dev_run=true", "trainer.devices=2"]) == 2
    assert "has 2 devices" in capsys.readouterr().err


@pytest.mark.parametrize("task", ["test", "validate"])
def test_scoring_is_never_a_debugging_run(task: str, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, f"task={task}", "trainer=fast"]) == 2
    assert "trainer.fast_dev_run=true would leave images without a score" in capsys.readouterr().err


def test_few_training_batches_a_profile_the_learning_rate_and_a_summary(
    words: list[str], seen: list[list[int]], capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    more = ["+trainer.limit_train_batches=2", "+trainer.profiler=simple", "callbacks=[default,lr_monitor,rich_summary]"]
    assert main([*words, *more]) == 0
    assert len(seen) == 4
    assert len(read_predictions(STAGE / "predictions_validate_all.npz").fused_ids) == 16
    assert "lr-AdamW" in logged()[0]
    printed = capsys.readouterr()
    assert "run_training_batch" in printed.out + printed.err + caplog.text
    assert "Modules in train mode" in printed.out


def test_the_average_is_validated_kept_and_resumed(words: list[str]) -> None:
    more = [
        "callbacks=[default,ema]",
        "callbacks.ema.decay=0.6",
        "callbacks.checkpoints.keep=99",
        "callbacks.checkpoints.minutes=0",
    ]
    assert main([*words, *more]) == 0
    last, best = load("last.ckpt"), load("best.ckpt")
    assert not same(last["state_dict"], last["current_model_state"])
    saved = [load(file.name) for file in STAGE.glob("checkpoints/step-*")]
    (averages,) = [one["state_dict"] for one in saved if one["global_step"] == best["global_step"]]
    assert same(best["state_dict"], averages)
    losses = [float(row["val/loss"]) for row in logged() if row["val/loss"]]
    dump = read_predictions(STAGE / "predictions_validate_all.npz")
    assert float(dump.fused_losses.mean()) == pytest.approx(losses[best["epoch"]], abs=1e-6)

    (STAGE / "done").unlink()
    for step in range(13, 17):  # the second epoch has steps 9 to 16
        (STAGE / f"checkpoints/step-{step:08d}.ckpt").unlink()
    assert main([*words, *more]) == 0
    again = load("last.ckpt")
    assert same(again["state_dict"], last["state_dict"])
    assert same(again["current_model_state"], last["current_model_state"])


def test_weights_are_averaged_once() -> None:
    callbacks = {"lr": LearningRateMonitor(), "ema": EMAWeightAveraging()}
    check_averaging(callbacks, SimpleNamespace(ema_decay=None))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"callbacks.ema averages weights, and detector.ema_decay=0.9"):
        check_averaging(callbacks, SimpleNamespace(ema_decay=0.9))  # type: ignore[arg-type]
