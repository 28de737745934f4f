"""Metric classes of torchmetrics as metrics of every table: computed once, on all images, from float32 scores.

One YAML line is enough, e.g. ``metrics: {mcc: {_target_: torchmetrics.classification.BinaryMatthewsCorrCoef}}``.
"""

import inspect
import warnings
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.metrics import Metric, UndefinedMetricError, choose
from benchmarks.ranked import Labels, Scores
from contracts.errors import ConfigError

PACKAGES = ("classification", "regression", "nominal")
"""Packages of torchmetrics that measure predictions against labels."""

STEP = "Name a class that gives one number, e.g. torchmetrics.classification.BinaryMatthewsCorrCoef."


def is_torch_metric(target: Any) -> bool:
    """Whether a target is a metric class of torchmetrics or derived from one; imports nothing."""
    bases = target.__mro__ if isinstance(target, type) else ()
    return any((base.__module__, base.__name__) == ("torchmetrics.metric", "Metric") for base in bases)


class TorchMetric:
    """A configured class of torchmetrics.

    A class with ``num_classes`` measures class probabilities [N, K] against the true classes; ``num_classes`` is filled
    in, and on a binary dump K is 2. Every other class measures P(generated) [N] against the labels 0 and 1.

    Args:
        name: key under ``metrics``.
        make: the class with the configured arguments.

    Attributes:
        thresholded: the class has a ``threshold`` that the configuration does not set, so that the metric is reported
            at 0.5 and at the run's threshold.
        multiclass: whether it measures class probabilities.
        resampled: False, there is no interval: a thousand computations would take too long.

    Raises:
        ConfigError: the class measures something other than scores, or several labels of an image.
    """

    resampled = False

    def __init__(self, name: str, make: "partial[Any]") -> None:
        self.name, self.make = name, make
        kind, given = make.func, make.keywords
        package = str(kind.__module__).split(".")
        if package[0] == "torchmetrics" and package[1] not in PACKAGES:
            places = ", ".join(f"torchmetrics.{one}" for one in PACKAGES)
            raise self._refused("measures no scores against labels", f"Name a class of {places}.")
        taken = inspect.signature(kind).parameters
        task = given.get("task") if "num_labels" in taken else None
        if task == "multilabel" or ("num_labels" in taken and "num_classes" not in taken):
            raise self._refused("needs several labels of an image", "Name its Binary or Multiclass class.")
        self.multiclass = "num_classes" in taken and task in (None, "multiclass")
        self.thresholded = "threshold" in taken and "threshold" not in given and not self.multiclass

    def __call__(self, scores: Scores, labels: Labels, threshold: float = 0.5) -> float:
        """The value on scores [N] in [0, 1] and labels [N] of 0 and 1.

        Raises:
            UndefinedMetricError: it has no value on these images.
            ConfigError: torchmetrics refuses an argument, or gives more than one number.
        """
        if self.multiclass:
            return self.of_classes(np.stack([1 - scores, scores], axis=1), labels)
        # torchmetrics compares in float32 and takes no threshold outside [0, 1]; calls are the same whatever it is
        return self._value(scores > threshold if self.thresholded else scores, labels)

    def of_classes(self, probabilities: NDArray[np.float64], truth: Labels) -> float:
        """The value on class probabilities [N, K] and true classes [N] of 0..K-1; raises as a call does."""
        classes = probabilities.shape[1]
        if self.make.keywords.get("num_classes") not in (None, classes):
            raise ConfigError(
                f"metrics.{self.name}.num_classes={self.make.keywords['num_classes']}, but there are {classes} classes",
                f"Leave metrics.{self.name}.num_classes out; it is filled in.",
            )
        return self._value(probabilities, truth, num_classes=classes)

    def check(self, classes: int = 2) -> None:
        """Tries the metric on a few images.

        Raises:
            ConfigError: torchmetrics refuses an argument, or gives more than one number.
        """
        truth = np.arange(2 * classes) % classes
        try:
            if self.multiclass:
                self.of_classes((np.eye(classes)[truth] + 1 / classes) / 2, truth)
            else:
                self(np.array([0.2, 0.4, 0.6, 0.8]), np.array([0, 1, 0, 1]))
        except UndefinedMetricError:
            pass  # so few images prove nothing

    def _value(self, predicted: NDArray[Any], truth: Labels, **counted: int) -> float:
        import torch

        target = torch.from_numpy(truth)
        if ".regression." in self.make.func.__module__:
            target = target.float()
        try:
            metric = self.make(**counted)
        except Exception as error:  # torchmetrics raises many kinds; all concern the configured arguments
            step = f"Correct or leave out the arguments of metrics.{self.name}."
            raise self._refused(f"refuses its arguments: {_line(error)}", step) from error
        try:
            metric.distributed_available_fn = lambda: False  # rank 0 alone computes, on the images of all ranks
            with warnings.catch_warnings():
                warnings.filterwarnings("error", "No (positive|negative) samples")
                metric.update(torch.from_numpy(predicted.astype(np.float32)), target)
                value = metric.compute()
        except UserWarning as warning:
            raise UndefinedMetricError(str(warning).split(",")[0]) from warning
        except Exception as error:  # a class made for other inputs fails in many ways
            raise self._refused(f"cannot be computed: {_line(error)}", STEP) from error
        if not isinstance(value, torch.Tensor) or value.numel() != 1:
            shape = list(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
            raise self._refused(f"gives more than one number ({shape})", STEP)
        if not torch.isfinite(value).all():
            raise UndefinedMetricError(f"torchmetrics gives {float(value)}")
        return float(value)

    def _refused(self, why: str, step: str) -> ConfigError:
        kind = self.make.func
        return ConfigError(f"metrics.{self.name}: {kind.__module__}.{kind.__qualname__} {why}", step)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def check_metrics(metrics: Mapping[str, Metric], classes: int = 0) -> None:
    """Refuses user-defined metrics that could not be measured, before any work.

    Args:
        metrics: metrics by name.
        classes: number of classes of a tracer; 0 for a detector.

    Raises:
        ConfigError: a name is taken, an object cannot be called, or `TorchMetric` refuses the class.
    """
    choose(metrics)
    for name, metric in metrics.items():
        if name == "loss":
            raise ConfigError("metrics.loss: val/loss is logged already", "Choose another name.")
        if not callable(metric):
            raise ConfigError(
                f"metrics.{name} is not a function", "Give a function with _partial_=true, or a metric class."
            )
        if isinstance(metric, TorchMetric):
            metric.check(classes or 2)
