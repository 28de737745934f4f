"""A trial construction of the trainer: Lightning's errors are reported before any work, without a traceback."""

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conf.build import build, build_each
from conf.compose import Composed
from conf.keys.targets import is_own
from conf.keys.verbs import groups_used
from contracts.errors import ConfigError
from tasks.checking.ordinary import ordinary_device

SUPPLIED = {"folder": Path("checkpoints"), "monitor": "val/loss", "mode": "min"}  # What `task=fit` gives to callbacks


def refuse_trainer(composed: Composed) -> None:
    """Rejects a trainer that cannot be built here, if the task has one.

    Raises:
        ConfigError: Lightning rejects the trainer, or this machine lacks the devices.
    """
    if "trainer" in groups_used(composed.config.task):
        _try(composed.resolved["trainer"], composed.resolved["callbacks"] if composed.config.task == "fit" else {})


def trainer_problems(composed: Composed) -> list[ConfigError]:
    """The same as a list, for ``task=doctor``; with a launcher, devices are not checked on this machine."""
    try:
        if not composed.config.launcher:
            _try(composed.resolved["trainer"], composed.resolved["callbacks"])
    except ConfigError as error:
        return [error]
    return []


def _try(node: Mapping[str, Any], nodes: Mapping[str, Mapping[str, Any]]) -> None:
    from contracts.process.lightning import Callback  # imports torch

    logging.disable(logging.WARNING)  # the real trainer repeats the warnings
    try:
        with warnings.catch_warnings(action="ignore"):
            ordinary = all(is_own(one["_target_"]) for one in nodes.values()) and ordinary_device(node) is not None
            made = build_each(nodes, "callbacks", **SUPPLIED) if ordinary else {}
            kinds = {type(one) for one in made.values() if isinstance(one, Callback)}
            if not ordinary or len(kinds) < len(made):
                _build(node, nodes)  # Lightning, whose import is slow, accepts every other trainer
    except ConfigError:
        raise
    except Exception as error:  # of any type: only the configuration can be its cause
        raise refused(error, node) from error
    finally:
        logging.disable(logging.NOTSET)


def _build(node: Mapping[str, Any], nodes: Mapping[str, Mapping[str, Any]]) -> None:
    from pytorch_lightning.callbacks import Checkpoint, Timer  # slow

    from callbacks.preemption import cluster_plugins

    beside = build_each(nodes, "callbacks", **SUPPLIED)
    for name, callback in beside.items():
        if isinstance(callback, Checkpoint):
            raise ConfigError(
                f"callbacks.{name} is a {type(callback).__name__}, but only "
                "callbacks.checkpoints may write checkpoints, since runs resume from them",
                f"Remove callbacks.{name}. callbacks.checkpoints keeps the best and the newest ones; its "
                "keys are monitor, mode, minutes and keep.",
            )
    own = {"callbacks": list(beside.values()), "plugins": cluster_plugins()}
    trainer = build(node, "trainer", logger=False, enable_checkpointing=False, **own)
    for timer in (callback for callback in trainer.callbacks if isinstance(callback, Timer)):
        left = timer.time_remaining()
        if left is not None and left <= 0:
            raise ConfigError(f"trainer.max_time={node.get('max_time')} trains nothing", "Give a longer time.")


def refused(error: Exception, trainer: Mapping[str, Any]) -> ConfigError:
    """Lightning's error as a `ConfigError` with the keys it concerns, its message and the next step."""
    said = " ".join(str(error).split()) or type(error).__name__
    named = [f"trainer.{key}={value}" for key, value in trainer.items() if key in said and not key.startswith("_")]
    devices = ("accelerator", "devices", "strategy", "gpu", "cuda")
    if any(word in said.lower() for word in devices):
        named += [f"trainer.{k}={trainer[k]}" for k in devices[:3] if k in trainer]
        step = "Choose trainer=cpu or trainer=auto, or use a machine with these devices; task=doctor lists them."
    else:
        step = "Change or remove the key it names; task=doctor shows all keys of the trainer."
    about = ", ".join(dict.fromkeys(named))
    return ConfigError(f"Lightning refuses the trainer{f' ({about})' if about else ''}: {said}", step)
