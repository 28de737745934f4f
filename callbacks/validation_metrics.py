"""Validation metrics, computed once on all images and sent to every rank."""

from collections.abc import Mapping
from math import isnan
from typing import cast

import numpy as np
import pytorch_lightning as L
from pytorch_lightning.trainer.states import TrainerFn

from benchmarks.attribution.measures import Attribution, own_figures
from benchmarks.evaluation import Subset, measure
from benchmarks.metrics import METRICS, Metric, own_spec
from benchmarks.predictions import Predictions
from benchmarks.thresholds.rules import Threshold, choose_threshold
from callbacks.collector import Collector

LOGGED = ("auroc", "average_precision", "accuracy", "balanced_accuracy")


Validated = tuple[dict[str, float], Threshold | None]


def validation_values(predictions: Predictions, metrics: Mapping[str, Metric] | None = None) -> Validated:
    """Pooled metrics at 0.5, the mean loss, and the threshold chosen on these images (None with only one class).

    Args:
        predictions: predictions of all validation images.
        metrics: additional metrics by name; each gives a value ``val/NAME``.
    """
    metrics = metrics or {}
    of_classes = {
        name: one
        for name, one in metrics.items()
        if predictions.class_names is not None and getattr(one, "multiclass", False)
    }
    labelled = np.flatnonzero(predictions.fused_labels >= 0)
    pooled = Subset("pooled", "", labelled)
    specs = {name: METRICS[name] for name in LOGGED}
    specs |= {name: own_spec(name, one) for name, one in metrics.items() if name not in of_classes}
    results = measure(
        pooled, predictions.fused_scores.astype(np.float64), predictions.fused_labels, {"0.5": 0.5}, specs
    )
    values = {f"val/{result.metric}": result.value for result in results if not isnan(result.value)}
    if of_classes:
        figures = own_figures(Attribution.of(predictions), of_classes)
        values |= {f"val/{figure.metric}": figure.value for figure in figures if not isnan(figure.value)}
    values["val/loss"] = float(predictions.fused_losses[labelled].mean(dtype=np.float64))
    both = {0, 1} <= set(predictions.fused_labels.tolist())
    chosen = choose_threshold(predictions.fused_scores, predictions.fused_labels) if both else None
    return values, chosen


class ValidationMetrics(L.Callback):
    """Logs exact validation metrics, equal on every rank, and keeps them with the chosen threshold.

    Args:
        collector: provides the predictions on rank 0; must come before this callback.
        metrics: additional metrics by name.
    """

    def __init__(self, collector: Collector, metrics: Mapping[str, Metric] | None = None) -> None:
        self.collector = collector
        self.metrics = metrics or {}
        self.threshold: Threshold | None = None
        self.values: dict[str, float] = {}

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Computes on rank 0 and sends the result to all ranks."""
        if trainer.sanity_checking:
            return
        predictions = self.collector.predictions
        result = validation_values(predictions, self.metrics) if predictions is not None else None
        self.values, self.threshold = cast(Validated, trainer.strategy.broadcast(result))
        if trainer.state.fn is not TrainerFn.FITTING:  # validating the chosen checkpoint again is not an epoch
            return
        for name, value in self.values.items():
            pl_module.log(name, value, prog_bar=name == "val/auroc", rank_zero_only=False, sync_dist=False)
