"""What is logged of validation is exact, computed on all images at once."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import synthetic_predictions
import tiny
from pytorch_lightning.callbacks import EarlyStopping
from pytorch_lightning.loggers import CSVLogger
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    log_loss,
    matthews_corrcoef,
    roc_auc_score,
)
from torchmetrics.classification import BinaryMatthewsCorrCoef

from benchmarks.torch_metrics import TorchMetric
from callbacks.collector import Collector
from callbacks.validation_metrics import ValidationMetrics, validation_values
from contracts.errors import ConfigError
from tasks.checking.before_fit import check_monitors


def test_values_are_those_of_scikit_learn() -> None:
    predictions = synthetic_predictions.draw(images=200, decimals=1)
    values, threshold = validation_values(predictions)
    scores, labels = predictions.fused_scores.astype(np.float64), predictions.fused_labels
    called = scores > 0.5
    wanted = {
        "val/auroc": roc_auc_score(labels, scores),
        "val/average_precision": average_precision_score(labels, scores),
        "val/accuracy": accuracy_score(labels, called),
        "val/balanced_accuracy": balanced_accuracy_score(labels, called),
        "val/loss": log_loss(labels, scores),
    }
    assert {name: values[name] for name in wanted} == pytest.approx(wanted, abs=1e-6)
    assert threshold is not None
    candidates = np.concatenate([[0.0], np.unique(scores)])
    best = max(balanced_accuracy_score(labels, scores > candidate) for candidate in candidates)
    assert balanced_accuracy_score(labels, scores > threshold.value) == pytest.approx(best)


def test_unknown_labels_are_left_out() -> None:
    predictions = synthetic_predictions.draw(images=60)
    known = np.arange(60) < 40
    labels = np.where(known, predictions.fused_labels, -1)
    partly = replace(predictions, fused_labels=labels, crop_labels=labels)
    assert validation_values(partly) == validation_values(predictions.select(known))


def test_one_class_alone_has_no_auroc_and_no_threshold() -> None:
    predictions = synthetic_predictions.draw(images=60)
    values, threshold = validation_values(predictions.select(predictions.fused_labels == 0))
    assert threshold is None
    assert "val/auroc" not in values
    assert {"val/loss", "val/accuracy"} <= values.keys()


def test_training_logs_them_once_an_epoch_and_a_last_look_does_not(tmp_path: Path) -> None:
    collector = Collector()
    metrics = ValidationMetrics(collector)
    logger = CSVLogger(tmp_path, name="x")
    made = tiny.trainer(collector, metrics, logger=logger, max_epochs=3)
    detector, module = tiny.Tiny(), tiny.data(tmp_path)
    made.fit(detector, datamodule=module)
    logged = dict(made.callback_metrics)
    made.validate(detector, datamodule=module, verbose=False)
    assert collector.predictions is not None
    values, threshold = validation_values(collector.predictions)
    assert metrics.threshold == threshold
    for name, value in values.items():
        assert float(logged[name]) == pytest.approx(value, abs=1e-6)
    lines = (tmp_path / "x/version_0/metrics.csv").read_text().splitlines()
    place = lines[0].split(",").index("val/auroc")
    assert sum(bool(line.split(",")[place]) for line in lines[1:]) == 3


def test_a_metric_of_torchmetrics_is_logged_and_may_be_watched(tmp_path: Path) -> None:
    own = {"mcc": TorchMetric("mcc", partial(BinaryMatthewsCorrCoef))}
    collector = Collector()
    metrics = ValidationMetrics(collector, own)
    stop = EarlyStopping(monitor="val/mcc", mode="max")
    check_monitors({"stop": stop}, tiny.Tiny(), np.array([0, 1]), own)
    with pytest.raises(ConfigError, match="'val/mcc' is not logged"):
        check_monitors({"stop": stop}, tiny.Tiny(), np.array([0, 1]))
    made = tiny.trainer(collector, metrics, stop, max_epochs=1)
    made.fit(tiny.Tiny(), datamodule=tiny.data(tmp_path))
    assert collector.predictions is not None
    called, labels = collector.predictions.fused_scores > 0.5, collector.predictions.fused_labels
    assert float(made.callback_metrics["val/mcc"]) == pytest.approx(matthews_corrcoef(labels, called), abs=1e-6)
