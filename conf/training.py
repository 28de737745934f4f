"""Limits and intervals of the trainer with which nothing is trained or validated, or images get no score."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

from conf.keys.written import text_of
from contracts.errors import ConfigError

SCORING = ("limit_val_batches", "limit_test_batches", "limit_predict_batches", "overfit_batches", "fast_dev_run")
"""Trainer arguments that skip batches although every image has to be scored."""

OFF = {"overfit_batches": 0, "fast_dev_run": 0}
"""Values that disable such an argument; limits are disabled by 1.0, a share, while 1 means one batch and 0 none."""


def debugging(trainer: Mapping[str, Any]) -> str | None:
    """The argument that turns training into a debugging run of a few batches; None in an ordinary run."""
    return next((key for key, off in OFF.items() if trainer.get(key) not in (None, off)), None)


def partly_scored(trainer: Mapping[str, Any], training: bool = False) -> Iterator[ConfigError]:
    """Problems of arguments that would leave images without a score.

    Dumps, tables and thresholds need a score for every image; a debugging run writes none of them.

    Args:
        trainer: the trainer's node.
        training: whether the task trains, so that debugging runs are possible.
    """
    for key in SCORING:
        value = trainer.get(key)
        if value is None or (key in OFF and (training or value == OFF[key])):
            continue
        if key not in OFF and isinstance(value, float) and value == 1.0:
            continue
        yield ConfigError(
            f"trainer.{key}={text_of(value)} would leave images without a score, but tables and dumps cover whole sets",
            "Leave it out. To debug, use trainer=fast, which keeps no results; for a short run set "
            "trainer.max_epochs=1 trainer.limit_train_batches=2, and prepare few images (prepare.limit=64).",
        )
    if trainer.get("barebones"):
        yield ConfigError(
            "trainer.barebones=true measures Lightning's overhead, without loggers, checkpoints and validation",
            "Leave it out.",
        )


def untrained(trainer: Mapping[str, Any]) -> Iterator[ConfigError]:
    """Limits with which nothing is trained; values that are not numbers are refused where types are checked."""
    for key in ("max_epochs", "max_steps"):
        value = trainer.get(key)
        if _number(value) and (value == 0 or value < -1):
            yield ConfigError(f"trainer.{key}={value} trains nothing", "Give 1 or more; -1 sets no limit.")
    for key in ("min_epochs", "min_steps"):
        least, most = trainer.get(key), trainer.get(key.replace("min", "max"))
        if _number(least) and least < 0:
            yield ConfigError(f"trainer.{key}={least}", "Give 0 or more, or leave it out.")
        elif _number(least) and _number(most) and 0 < most < least:
            name = key.replace("min", "max")
            yield ConfigError(f"trainer.{key}={least} is more than trainer.{name}={most}", f"Raise trainer.{name}.")
    limit = trainer.get("limit_train_batches")
    if isinstance(limit, bool) or (_number(limit) and (limit <= 0 or (limit > 1 and limit % 1))):
        yield ConfigError(
            f"trainer.limit_train_batches={limit} is neither a share nor a number of batches",
            "Give a share above 0.0 and up to 1.0, or a whole number of batches from 1.",
        )
    for key, least in (("accumulate_grad_batches", 1), ("num_sanity_val_steps", -1), ("log_every_n_steps", 0)):
        value = trainer.get(key)
        if _number(value) and value < least:
            yield ConfigError(f"trainer.{key}={value}", f"Give {least} or more, or leave it out.")


def unvalidated(trainer: Mapping[str, Any]) -> Iterator[ConfigError]:
    """Intervals with which no validation would take place, so no checkpoint could be chosen."""
    every, interval = trainer.get("check_val_every_n_epoch", 1), trainer.get("val_check_interval")
    epochs = trainer.get("max_epochs")
    if _number(every) and every < 1:
        yield ConfigError(
            f"trainer.check_val_every_n_epoch={every} never validates, and checkpoints are chosen on validation",
            "Give a number of epochs from 1.",
        )
    elif _number(every) and _number(epochs) and 0 < epochs < every:
        yield ConfigError(
            f"trainer.check_val_every_n_epoch={every} is more than trainer.max_epochs={epochs}: nothing would be "
            "validated, and checkpoints are chosen on validation",
            f"Set trainer.check_val_every_n_epoch to {epochs} or less.",
        )
    elif every is None and (interval is None or isinstance(interval, float)):
        yield ConfigError(
            "trainer.check_val_every_n_epoch=null counts batches over all epochs, and trainer.val_check_interval="
            f"{'null' if interval is None else interval} is not a number of batches",
            "Set trainer.val_check_interval=BATCHES, a whole number, or leave trainer.check_val_every_n_epoch out.",
        )
    if isinstance(interval, bool) or (_number(interval) and (interval <= 0 or (interval > 1 and interval % 1))):
        yield ConfigError(
            f"trainer.val_check_interval={interval} is neither a share of an epoch nor a number of batches",
            "Give a share above 0.0 and up to 1.0, a whole number of batches from 1, or a time as DD:HH:MM:SS.",
        )


def _number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
