"""Every epoch's values, once each, whatever was killed in between."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytorch_lightning as L
import torch

from callbacks.reporting.history import History
from contracts.history import read_epochs, read_history


def epoch(history: History, number: int, losses: list[float], first: bool = True) -> None:
    values = {"val/auroc": torch.tensor(0.5 + number / 10), "train/loss": torch.tensor(9.0)}
    trainer = cast(
        L.Trainer,
        SimpleNamespace(is_global_zero=first, callback_metrics=values, current_epoch=number, global_step=number * 4),
    )
    module: Any = None
    history.on_train_epoch_start(trainer, module)
    for index, loss in enumerate(losses):
        history.on_train_batch_end(trainer, module, {"loss": torch.tensor(loss)}, cast(Any, None), index)
    history.on_train_epoch_end(trainer, module)


def test_an_epoch_is_a_mean_of_its_own_batches(tmp_path: Path) -> None:
    history = History(tmp_path)
    epoch(history, 0, [1.0, 3.0])
    epoch(history, 1, [1.0])
    first, second = read_history(tmp_path)
    assert first["train/loss"] == 2.0
    assert second == {"epoch": 1, "step": 4, "val/auroc": second["val/auroc"], "train/loss": 1.0}
    assert abs(second["val/auroc"] - 0.6) < 1e-6


def test_an_epoch_done_again_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    for number, loss in ((0, 1.0), (1, 2.0), (2, 3.0), (1, 5.0)):  # resumed from the end of epoch 0
        epoch(History(tmp_path), number, [loss])
    assert [(one["epoch"], one["train/loss"]) for one in read_history(tmp_path)] == [(0, 1.0), (1, 5.0)]


def test_the_first_rank_writes_and_the_last_window_is_read(tmp_path: Path) -> None:
    for window in (0, 2, 10):
        epoch(History(tmp_path / f"window_{window}/checkpoints"), window, [1.0])
    epoch(History(tmp_path / "window_11/checkpoints"), 0, [1.0], first=False)
    assert read_history(tmp_path / "window_11/checkpoints") == []
    assert [one["epoch"] for one in read_epochs(tmp_path)] == [10]
    assert read_epochs(tmp_path / "nothing") == []
