"""Which classes and functions a configuration may name: an allow-list in code, never in a configuration."""

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

from contracts.errors import ConfigError

OWN = ("contracts.", "datamodules.", "detectors.", "callbacks.", "benchmarks.", "launchers.")
"""Our packages: classes and functions."""

LIBRARIES = (
    "torch.optim.",
    "torchvision.transforms.v2.",
    "pytorch_lightning.Trainer",
    "pytorch_lightning.callbacks.",
    "pytorch_lightning.loggers.",
    "pytorch_lightning.plugins.",
    "pytorch_lightning.profilers.",
    "pytorch_lightning.strategies.",
    "torchmetrics.",
)
"""Libraries: only classes, since some of their functions load files."""

HOMES = (*LIBRARIES, "pytorch_lightning.trainer.trainer.Trainer", "lightning_fabric.plugins.")
"""Where those classes are really defined."""

MARKS = frozenset({"_target_", "_partial_"})  # Keys of a node that are not arguments

SUPPLIED = {
    "callbacks": frozenset({"folder", "monitor", "mode"}),
    "logger": frozenset({"name", "group"}),
    "metrics": frozenset({"num_classes", "num_labels"}),
}
"""Arguments that a task supplies to members of a group, so that YAML files need not name them."""

TAKEN = {"trainer": frozenset({"callbacks", "enable_checkpointing", "logger", "plugins"})}
"""Arguments that tasks always set, so that a configuration may not."""

FROM_CHECKPOINT = ("detectors.", "contracts.view.View")
"""Targets that a configuration from a checkpoint may name: detectors and their views."""


MOVED = {
    "benchmarks.attribution_stages.": "benchmarks.attribution.stages.",
    "detectors.classifier.Classifier": "detectors.classifier.detector.Classifier",
    "detectors.device_augment.": "detectors.classifier.device_augment.",
    "detectors.npr.NPR": "detectors.npr.detector.NPR",
    "detectors.npr_multiscale.": "detectors.npr.multiscale.",
    "detectors.schedules.": "detectors.parts.training.schedules.",
    "detectors.parts.degradations.": "detectors.parts.training.degradations.",
    "detectors.parts.optimisers.": "detectors.parts.training.optimisers.",
    "detectors.parts.paired.": "detectors.parts.training.paired.",
    "detectors.parts.schedules.": "detectors.parts.training.schedules.",
    "callbacks.explain.": "callbacks.explaining.explain.",
    "callbacks.history.": "callbacks.reporting.history.",
    "callbacks.wandb_logger.": "callbacks.reporting.wandb_logger.",
}
"""Former names of classes and functions, which checkpoints, lock files and users' YAML files may still contain."""


def current(target: Any) -> Any:
    """The current name of a target that has moved; every other value unchanged."""
    if isinstance(target, str):
        for former, place in MOVED.items():
            if target == former or (former.endswith(".") and target.startswith(former)):
                return place + target[len(former) :]
    return target


def is_own(target: str) -> bool:
    """Whether a dotted name belongs to one of our packages."""
    return target.startswith(OWN)


def nodes(tree: Any, where: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every mapping with a ``_target_`` in a tree of plain containers, with its dotted key."""
    if isinstance(tree, Mapping) and "_target_" in tree:
        yield where, tree
    if isinstance(tree, Mapping | list | tuple):
        for key, value in tree.items() if isinstance(tree, Mapping) else enumerate(tree):
            yield from nodes(value, f"{where}.{key}" if where else str(key))


def refuse_by_name(target: Any, where: str, from_checkpoint: bool = False) -> None:
    """Checks a target's name before anything is imported.

    Raises:
        ConfigError: the name is outside the allow-list.
    """
    if isinstance(target, str) and target.startswith(FROM_CHECKPOINT if from_checkpoint else (*OWN, *LIBRARIES)):
        return
    known = ", ".join(name.rstrip(".") for name in (FROM_CHECKPOINT if from_checkpoint else (*OWN, *LIBRARIES)))
    raise ConfigError(f"{where}._target_={target!r} is not allowed", f"Name a class of {known}.")


def resolve(target: Any, where: str = "", from_checkpoint: bool = False) -> Any:
    """The object behind an allowed name.

    The object must be defined in an allowed module: neither ``logging.os.system`` nor a name that one of our modules
    merely imports is accepted.

    Raises:
        ConfigError: the name is outside the allow-list, names nothing, or names something defined elsewhere.
    """
    target = current(target)
    refuse_by_name(target, where, from_checkpoint)
    found = _locate(target, where)
    home = f"{getattr(found, '__module__', None)}.{getattr(found, '__qualname__', None)}"
    if from_checkpoint:
        allowed = isinstance(found, type) and (home == "contracts.view.View" or _is_detector(found, home))
    elif isinstance(found, type):
        allowed = home.startswith((*OWN, *HOMES))
    else:
        allowed = callable(found) and hasattr(found, "__qualname__") and home.startswith(OWN)
    if not allowed:
        raise ConfigError(
            f"{where}._target_={target!r} is {home}, which is not allowed",
            "Name a class or function of ours, or a class of an allowed library, by the module that defines it.",
        )
    return found


def _locate(target: str, where: str) -> Any:
    """Imports the longest module of a dotted name and follows the attributes after it."""
    parts = target.split(".")
    for length in range(len(parts) - 1, 0, -1):
        name = ".".join(parts[:length])
        try:
            found: Any = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise  # the module exists, but something that it imports does not
            continue
        for attribute in parts[length:]:
            if not hasattr(found, attribute):
                raise ConfigError(f"{where}._target_={target!r}: {name} has no {attribute!r}", "Check the spelling.")
            found = getattr(found, attribute)
        return found
    raise ConfigError(f"{where}._target_={target!r}: the module does not exist", "Check the spelling.")


def _is_detector(found: type, home: str) -> bool:
    from detectors.base import Detector  # imports torch, needed only for checkpoints

    return home.startswith("detectors.") and issubclass(found, Detector)
