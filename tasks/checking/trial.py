"""The trainer built once on trial: what Lightning refuses is told before any work, and not as a traceback."""

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conf.build import build, build_each
from conf.compose import Composed
from conf.keys.verbs import groups_used
from contracts.errors import ConfigError


def refuse_trainer(composed: Composed) -> None:
    """Refuses, for a task that has one, a trainer that cannot be built here.

    Args:
        composed: the configuration, checked.

    Raises:
        ConfigError: Lightning takes no such trainer, or this machine has no such devices.
    """
    if "trainer" in groups_used(composed.config.task):
        _try(composed.resolved["trainer"], composed.resolved["callbacks"] if composed.config.task == "fit" else {})


def trainer_problems(composed: Composed) -> list[ConfigError]:
    """The same for ``task=doctor``, which lists problems; devices are the launcher's business where there is one."""
    try:
        if not composed.config.launcher:
            _try(composed.resolved["trainer"], composed.resolved["callbacks"])
    except ConfigError as error:
        return [error]
    return []


def _try(node: Mapping[str, Any], nodes: Mapping[str, Any]) -> None:
    from pytorch_lightning.callbacks import Checkpoint, Timer  # brings torch along

    from callbacks.preemption import cluster_plugins

    logging.disable(logging.WARNING)  # the real trainer says it all again
    try:
        with warnings.catch_warnings(action="ignore"):
            beside = build_each(nodes, "callbacks", folder=Path("checkpoints"), monitor="val/loss", mode="min")
            for name, callback in beside.items():
                if isinstance(callback, Checkpoint):
                    raise ConfigError(
                        f"callbacks.{name} is a {type(callback).__name__}, and checkpoints are kept by "
                        "callbacks.checkpoints alone, from which runs resume",
                        f"Leave callbacks.{name} out. callbacks.checkpoints keeps the best and the newest ones; its "
                        "keys are monitor, mode, minutes and keep.",
                    )
            own = {"callbacks": list(beside.values()), "plugins": cluster_plugins()}
            trainer = build(node, "trainer", logger=False, enable_checkpointing=False, **own)
    except ConfigError:
        raise
    except Exception as error:  # whatever kind it is, nothing but the configuration can be its cause
        raise refused(error, node) from error
    finally:
        logging.disable(logging.NOTSET)
    for timer in (callback for callback in trainer.callbacks if isinstance(callback, Timer)):
        left = timer.time_remaining()
        if left is not None and left <= 0:
            raise ConfigError(f"trainer.max_time={node.get('max_time')} trains nothing", "Give a longer time.")


def refused(error: Exception, trainer: Mapping[str, Any]) -> ConfigError:
    """Lightning's own refusal as one of ours: the keys that it is about, what it says, and where to look."""
    said = " ".join(str(error).split()) or type(error).__name__
    named = [f"trainer.{key}={value}" for key, value in trainer.items() if key in said and not key.startswith("_")]
    devices = ("accelerator", "devices", "strategy", "gpu", "cuda")
    if any(word in said.lower() for word in devices):
        named += [f"trainer.{k}={trainer[k]}" for k in devices[:3] if k in trainer]
        step = "Choose trainer=cpu or trainer=auto, or start where the devices are; task=doctor lists a machine's."
    else:
        step = "Change or leave out the key that it names; task=doctor shows all keys of the trainer."
    about = ", ".join(dict.fromkeys(named))
    return ConfigError(f"Lightning refuses the trainer{f' ({about})' if about else ''}: {said}", step)
