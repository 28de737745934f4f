"""From a checked node of the configuration to the object it describes.

Hydra's ``instantiate`` would resolve interpolations inside values once more and copy the objects passed to it. Nodes
here are plain containers that are already resolved, and every target must be on the allow-list.
"""

import inspect
from collections.abc import Mapping
from functools import partial
from typing import Any

from conf.keys.targets import MARKS, nodes, resolve
from contracts.errors import ConfigError

TRAINING_ONLY = frozenset({"optimizer", "scheduler", "augment", "before_crop", "paired"})
"""Keys of a detector's node that evaluation does not use."""


def build(node: Mapping[str, Any], where: str = "", **extra: Any) -> Any:
    """The object of a node, its nested nodes built first.

    Args:
        node: plain containers with a ``_target_``; with ``_partial_: true`` a ``functools.partial`` is made.
        where: dotted key of the node, for errors.
        extra: further arguments of the outermost target, which may be objects.

    Raises:
        ConfigError: a target anywhere in the node is not allowed, or the node has none.
    """
    if "_target_" not in node:
        raise ConfigError(f"{where or 'the node'} has no _target_", "Choose an option of its group.")
    for place, each in nodes(node, where):
        resolve(each["_target_"], place)
    return _make(dict(node), where, extra)


def build_each(members: Mapping[str, Mapping[str, Any]], where: str, **extra: Any) -> dict[str, Any]:
    """The objects of a group with several members (loggers, callbacks), by name.

    Each gets those of the extra arguments that its constructor names and its node leaves out.
    """
    made = {}
    for name, node in members.items():
        place = f"{where}.{name}"
        names = inspect.signature(resolve(node.get("_target_"), place)).parameters
        made[name] = build(node, place, **{k: v for k, v in extra.items() if k in names and k not in node})
    return made


def build_for_scoring(node: Mapping[str, Any], from_checkpoint: bool) -> Any:
    """The detector of a node whose weights come from a checkpoint: without training parts or downloads.

    Args:
        node: of a detector.
        from_checkpoint: whether the node itself came from the checkpoint, so that a narrower allow-list applies.

    Raises:
        ConfigError: a target is not allowed; one from a checkpoint must be a detector of ours or a view.
    """
    kept = without_training(dict(node))
    for place, each in nodes(kept, "detector"):
        resolve(each["_target_"], place, from_checkpoint=from_checkpoint)
    return build(resolve(kept.get("_target_"), "detector").for_checkpoint(kept), "detector")


def _make(node: Any, where: str, extra: Mapping[str, Any]) -> Any:
    if isinstance(node, list | tuple):
        return [_make(value, f"{where}[{i}]", {}) for i, value in enumerate(node)]
    if not isinstance(node, dict):
        return node
    values = {key: _make(value, f"{where}.{key}", {}) for key, value in node.items() if key not in MARKS}
    if "_target_" not in node:
        return values
    target = resolve(node["_target_"], where)
    if node.get("_partial_", False):
        return partial(target, **values, **extra)
    return target(**values, **extra)


def without_training(node: Any) -> Any:
    """A detector's node without the keys that only training uses."""
    if isinstance(node, list | tuple):
        return [without_training(value) for value in node]
    if not isinstance(node, dict):
        return node
    kept = {key: without_training(value) for key, value in node.items() if key not in TRAINING_ONLY}
    if isinstance(kept.get("eval_view"), dict) and "augment" in node["eval_view"]:
        kept["eval_view"]["augment"] = node["eval_view"]["augment"]  # scores depend on it
    return kept
