"""Limits against the number of batches, and watched values against those that are logged."""

from typing import Any

import numpy as np
import pytest
import pytorch_lightning as L
import tiny
from pytorch_lightning.callbacks import EarlyStopping

from callbacks.checkpoints import Checkpoints
from contracts.errors import ConfigError
from tasks.checking.before_fit import check_monitors, fit_to_epoch, logged_by


@pytest.mark.parametrize(
    ("settings", "batches", "part"),
    [
        ({"limit_train_batches": 0.01}, 8, "trainer.limit_train_batches=0.01 of 8 batches"),
        ({"limit_train_batches": 0.5}, 1, "of 1 batches"),
        ({}, 0, "fewer training images than datamodule.batch_size"),
        ({"val_check_interval": 9}, 8, "trainer.val_check_interval=9 is more than the 8 batches"),
        ({"val_check_interval": 5, "limit_train_batches": 4}, 8, "more than the 4 batches"),
        ({"val_check_interval": 5, "limit_train_batches": 0.5}, 8, "more than the 4 batches"),
    ],
)
def test_an_epoch_that_cannot_be_is_refused(settings: dict[str, Any], batches: int, part: str) -> None:
    with pytest.raises(ConfigError) as told:
        fit_to_epoch(tiny.trainer(**settings), batches, None)
    assert part in str(told.value)


def test_the_share_advised_is_enough() -> None:
    for batches in (3, 7, 8, 999, 1234):
        with pytest.raises(ConfigError) as told:
            fit_to_epoch(tiny.trainer(limit_train_batches=1e-6), batches, None)
        share = float(told.value.step.split()[6].strip(","))
        fit_to_epoch(tiny.trainer(limit_train_batches=share), batches, None)


@pytest.mark.parametrize(
    ("settings", "batches", "logs_every", "wanted"),
    [
        ({"log_every_n_steps": 50}, 8, None, 8),
        ({"log_every_n_steps": 50}, 80, None, 50),
        ({"log_every_n_steps": 50, "limit_train_batches": 3}, 8, None, 3),
        ({"log_every_n_steps": 20}, 8, 20, 20),
        ({"val_check_interval": 9, "check_val_every_n_epoch": None}, 8, 1, 1),
        ({"val_check_interval": 8}, 8, 1, 1),
    ],
)
def test_every_epoch_is_logged_unless_asked_otherwise(
    settings: dict[str, Any], batches: int, logs_every: int | None, wanted: int
) -> None:
    trainer = tiny.trainer(**settings)
    fit_to_epoch(trainer, batches, logs_every)
    assert trainer.log_every_n_steps == wanted  # type: ignore[attr-defined]


BOTH, FAKE = np.array([0, 1, 1]), np.array([1, 1])


def watching(monitor: str, **given: Any) -> dict[str, L.Callback]:
    return {"stop": EarlyStopping(monitor=monitor, **given)}


@pytest.mark.parametrize("name", ["val/auroc", "val/loss", "val/balanced_accuracy", "train/loss"])
def test_logged_values_may_be_watched(name: str) -> None:
    check_monitors(watching(name), tiny.Tiny(), BOTH)


def test_others_are_refused_with_those_that_are_logged(tmp_path: Any) -> None:
    with pytest.raises(ConfigError, match=r"callbacks\.stop\.monitor='val/acc'.*train/loss, val/accuracy, val/auroc"):
        check_monitors(watching("val/acc"), tiny.Tiny(), BOTH)
    with pytest.raises(ConfigError, match=r"callbacks\.stop\.monitor=val/loss callbacks\.stop\.mode=min"):
        check_monitors(watching("val/auroc"), tiny.Tiny(), FAKE)
    with pytest.raises(ConfigError, match=r"callbacks\.kept\.monitor='val/auroc'"):
        check_monitors({"kept": Checkpoints(tmp_path)}, tiny.Tiny(), FAKE)
    check_monitors(watching("val/acc", strict=False), tiny.Tiny(), BOTH)


class Logging(tiny.Tiny):
    def loss(self, batch: Any) -> Any:
        self.log("train/own", 1.0, on_step=True, on_epoch=True)
        return super().loss(batch)


class Making(tiny.Tiny):
    def loss(self, batch: Any) -> Any:
        self.log(f"train/{self.noise}", 1.0)
        return super().loss(batch)


def test_what_a_detector_logs_beside_is_read_from_its_source() -> None:
    assert logged_by(Logging) == {"train/loss", "train/own"}
    check_monitors(watching("train/own_epoch"), Logging(), BOTH)
    with pytest.raises(ConfigError, match="train/own"):
        check_monitors(watching("train/owned"), Logging(), BOTH)
    assert logged_by(Making) is None
    check_monitors(watching("train/0.0"), Making(), BOTH)  # only the run can tell
