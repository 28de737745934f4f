"""Checks before training that need the data and the detector."""

import ast
import inspect
import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytorch_lightning as L
from numpy.typing import NDArray
from pytorch_lightning.callbacks import WeightAveraging

from benchmarks.metrics import Metric
from benchmarks.predictions import from_crops
from callbacks.validation_metrics import validation_values
from contracts.errors import ConfigError


def fit_to_epoch(trainer: L.Trainer, batches: int, logs_every: int | None) -> None:
    """Checks limits and intervals against the number of batches in an epoch, and logs at least once per epoch.

    Raises:
        ConfigError: an epoch would have no batch, or validation would never run.
    """
    if batches < 1:
        raise ConfigError(
            "an epoch has no batch: there are fewer training images than datamodule.batch_size",
            "Lower datamodule.batch_size.",
        )
    limit = trainer.limit_train_batches
    used = int(batches * limit) if isinstance(limit, float) else min(batches, limit)
    if used < 1:
        raise ConfigError(
            f"trainer.limit_train_batches={limit} of {batches} batches is less than one batch",
            f"Give a fraction of at least {np.ceil(1e3 / batches) / 1e3:g}, or a whole number of batches.",
        )
    every = trainer.val_check_interval
    if isinstance(every, int) and trainer.check_val_every_n_epoch is not None and every > used:
        raise ConfigError(
            f"trainer.val_check_interval={every} is more than the {used} batches of an epoch: nothing would be "
            "validated, and checkpoints are chosen on validation",
            f"Give {used} or less, or trainer.check_val_every_n_epoch=null to count batches over all epochs.",
        )
    if logs_every is None:
        trainer.log_every_n_steps = min(trainer.log_every_n_steps, used)  # type: ignore[attr-defined]


def check_averaging(callbacks: Mapping[str, L.Callback], detector: L.LightningModule) -> None:
    """Refuses a callback that averages weights which the detector averages already.

    Raises:
        ConfigError: with the settings that conflict.
    """
    decay = getattr(detector, "ema_decay", None)
    for name, callback in callbacks.items():
        if decay is not None and isinstance(callback, WeightAveraging):
            raise ConfigError(
                f"callbacks.{name} averages weights, and detector.ema_decay={decay} averages them already",
                f"Set detector.ema_decay=null, or leave callbacks.{name} out.",
            )


def check_monitors(
    callbacks: Mapping[str, L.Callback],
    detector: L.LightningModule,
    labels: NDArray[np.integer[Any]],
    metrics: Mapping[str, Metric] | None = None,
) -> None:
    """Rejects a callback whose monitored value is never logged; Lightning reports it only after an epoch.

    Args:
        callbacks: the configured ones by name.
        detector: about to be trained.
        labels: of the validation images; some metrics do not exist for a single class.
        metrics: the user's own, by name.

    Raises:
        ConfigError: a monitored value is not logged; the error lists those that are.
    """
    known = _validated(labels, metrics or {})
    for one in (detector, *callbacks.values()):
        found = logged_by(type(one))
        if found is None:
            return  # some names are created at run time
        known |= found
    for name, callback in callbacks.items():
        monitor = getattr(callback, "monitor", None)
        if not isinstance(monitor, str) or not getattr(callback, "strict", True):
            continue
        if not {monitor, monitor.removesuffix("_step"), monitor.removesuffix("_epoch")} & known:
            both = {0, 1} <= set(labels.tolist())
            raise ConfigError(
                f"callbacks.{name}.monitor={monitor!r} is not logged (logged: {', '.join(sorted(known))})",
                f"Set callbacks.{name}.monitor to a logged value."
                if both
                else "The validation images are of a single class, for which there is no AUROC: set "
                f"callbacks.{name}.monitor=val/loss callbacks.{name}.mode=min.",
            )


def _validated(labels: NDArray[np.integer[Any]], metrics: Mapping[str, Metric]) -> set[str]:
    """Names that `ValidationMetrics` logs, found by evaluating one image per label."""
    kinds = np.unique(labels)
    if not len(kinds):
        return {"val/loss"}
    logits, order = kinds.astype(np.float32), np.arange(len(kinds))
    one_each = from_crops(logits, order, kinds, 0 * order, [str(kind) for kind in kinds], generator_id_to_name=[""])
    of_classes = {f"val/{name}" for name, one in metrics.items() if getattr(one, "multiclass", False)}
    return set(validation_values(one_each, metrics)[0]) | of_classes


def logged_by(kind: type) -> set[str] | None:
    """Names that a class logs, read from its source; None if one is created at run time. Libraries log none."""
    found: set[str] = set()
    for base in kind.__mro__:
        if base.__module__.partition(".")[0] in ("builtins", "torch", "pytorch_lightning", "lightning_fabric", "abc"):
            continue
        if base.__module__ == "callbacks.validation_metrics":
            continue
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
        except (OSError, TypeError, SyntaxError):
            return None
        for call in ast.walk(tree):
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
                continue
            if call.func.attr == "log_dict":
                return None
            owner = ast.unparse(call.func.value)
            if call.func.attr == "log" and owner in ("self", "pl_module", "module", "detector"):
                name = call.args[0] if call.args else None
                if not isinstance(name, ast.Constant) or not isinstance(name.value, str):
                    return None
                found.add(name.value)
    return found
