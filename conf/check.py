"""Finds every mistake in a configuration before anything heavy is imported or built."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from conf.cli.groups import group_options
from conf.cli.words import MEASURED
from conf.compose import Composed
from conf.keys.schema import root_keys
from conf.keys.signatures import Signature, library_signature, signature
from conf.keys.synonyms import task_for
from conf.keys.targets import MARKS, SUPPLIED, TAKEN, is_own, nodes, refuse_by_name
from conf.keys.values import described, fits
from conf.keys.verbs import groups_used, is_verb, verbs
from conf.outputs import unwritable
from conf.pairs import impossible_pairs
from conf.paths import missing_paths
from contracts.errors import ConfigError, nearest

GROUPS = tuple(name for name, field in root_keys().items() if field.metadata.get("group") and name != "local")
SEVERAL = ("logger", "callbacks", "metrics")  # Groups that hold several members by name

CALIBRATED = ("test", "predict")  # Tasks that apply a checkpoint's calibration

OPTIONAL = ("launcher",)  # Groups that may be left empty


def check(composed: Composed, thorough: bool = False) -> list[ConfigError]:
    """All problems of a composed configuration.

    Libraries are imported for their signatures, but only if our own classes have no problem.

    Args:
        composed: the configuration.
        thorough: always check libraries' classes too, and groups that the task does not use.
    """
    task = composed.config.task
    if not is_verb(task):
        meant = task_for(str(task))
        step = f"Write task={meant}." if meant else nearest(task, verbs())
        return [ConfigError(f"task={task} does not exist", step)]
    used = GROUPS if task == "doctor" else tuple(groups_used(task))
    problems = list(_names(composed))
    for group in GROUPS:
        problems += _group(composed.resolved, group, group in used, group_options(group, *composed.folders))
    problems += missing_paths(composed.config, used)
    problems += unwritable(composed.config)
    problems += impossible_pairs(composed, used)
    if not problems or thorough:
        for group in GROUPS if thorough else used:
            problems += _libraries(composed.resolved[group], group)
    return problems


def _names(composed: Composed) -> Iterator[ConfigError]:
    name = composed.config.experiment_id
    if name is not None and not re.fullmatch(r"\w[\w.-]*", name):
        yield ConfigError(
            f"experiment_id={name!r} cannot be the name of a folder", "Use only letters, digits and . _ -"
        )
    task = composed.config.task
    if composed.config.calibrated and task not in CALIBRATED:
        step = f"Only {' and '.join(f'task={name}' for name in CALIBRATED)} apply it; remove calibrated=true."
        yield ConfigError(f"calibrated=true does nothing in task={task}", step)


def _group(resolved: Mapping[str, Any], group: str, used: bool, options: Sequence[str] = ()) -> Iterator[ConfigError]:
    """Problems of a group that can be found without importing libraries."""
    node = resolved[group]
    if group in SEVERAL:
        for name, member in node.items():
            if _is_node(member):
                yield from _node(member, f"{group}.{name}", used, SUPPLIED.get(group, frozenset()))
            else:
                yield ConfigError(f"{group}.{name} is not part of {group}", _choose_first(group, name, node, options))
    elif "_target_" in node:
        yield from _node(node, group, used, frozenset())
        for key in TAKEN.get(group, frozenset()) & set(node):
            step = "Remove it; loggers and callbacks are groups of their own."
            yield ConfigError(f"{group}.{key} is set by the task itself", step)
    elif used and group not in OPTIONAL:
        yield ConfigError(f"no {group} is chosen", f"Choose one: {group}=NAME (see --help).")
    elif node:
        yield ConfigError(
            f"{group}.{next(iter(node))} is set, but no {group} is chosen", f"Choose one: {group}=NAME (see --help)."
        )


def _choose_first(group: str, name: str, node: Mapping[str, Any], options: Sequence[str]) -> str:
    """The arguments that add a member to a group, ready to paste."""
    if group == "metrics":
        return MEASURED
    if name not in options:
        own = f"{group}.{name}._target_=module.Name"
        known = f"; existing options are {', '.join(options)}" if options else ""
        return f"Name the class or function: {own} (docs/adding.md){known}."
    chosen = [part for part, member in node.items() if isinstance(member, dict) and "_target_" in member]
    kept = [part for part in chosen if part in options]
    if len(kept) < len(chosen) and "default" in options:  # their members have no files of their own
        kept = ["default", *kept]
    return f"Choose it too: {group}={'[' + ','.join([*kept, name]) + ']' if kept else name}."


def _node(node: Mapping[str, Any], where: str, used: bool, supplied: frozenset[str]) -> Iterator[ConfigError]:
    target = node["_target_"]
    try:
        refuse_by_name(target, where)
        if is_own(target):
            yield from _bind(node, where, signature(target), used, supplied)
    except ConfigError as error:
        yield ConfigError(f"{where}: {error.what}" if where not in error.what else error.what, error.step)
    for key, value in node.items():
        yield from _nested(value, f"{where}.{key}", used)


def _nested(value: Any, where: str, used: bool) -> Iterator[ConfigError]:
    if isinstance(value, dict) and "_target_" in value:
        yield from _node(value, where, used, frozenset())
    elif isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            yield from _nested(inner, f"{where}.{key}", used)
    elif value == "???" and used:
        yield ConfigError(f"{where} is not set", f"Give {where}=VALUE.")


def _bind(
    node: Mapping[str, Any], where: str, taken: Signature, used: bool, supplied: frozenset[str]
) -> Iterator[ConfigError]:
    """Keys of a node against a signature.

    Libraries' annotations are often narrower than the values they accept, so only text is checked against them; those
    of the trainer are exact.
    """

    def judged(value: Any) -> bool:
        return is_own(node["_target_"]) or where == "trainer" or isinstance(value, str)

    partial = node.get("_partial_", False)
    for key, value in node.items():
        if key in MARKS:
            continue
        if key in taken.parameters:
            annotation = taken.parameters[key].annotation
            if value != "???" and not _is_node(value) and not fits(value, annotation) and judged(value):
                what = f"{where}.{key}={value!r} is not {described(annotation)}"
                yield ConfigError(what, "Give a value of that type.")
        elif not taken.anything and not taken.library:
            yield _unknown(node, where, str(key), taken)
    for name, parameter in taken.parameters.items():
        if used and parameter.required and name not in node and name not in supplied and not partial:
            yield ConfigError(f"{where}.{name} is missing: {node['_target_']} needs it", f"Give {where}.{name}=VALUE.")


def _unknown(node: Mapping[str, Any], where: str, key: str, taken: Signature) -> ConfigError:
    return ConfigError(f"{where}.{key} is not an argument of {node['_target_']}", nearest(key, taken.parameters))


def _is_node(value: Any) -> bool:
    return isinstance(value, dict) and "_target_" in value


def _libraries(value: Any, group: str) -> Iterator[ConfigError]:
    """Problems of nodes whose classes, or base classes, come from libraries."""
    for where, node in nodes(value, group):
        try:
            yield from _library_node(node, where)
        except ConfigError as error:
            yield error


def _library_node(node: Mapping[str, Any], where: str) -> Iterator[ConfigError]:
    target = node["_target_"]
    refuse_by_name(target, where)
    if not is_own(target):
        yield from _bind(node, where, library_signature(target), True, SUPPLIED.get(where.split(".")[0], frozenset()))
        return
    own = signature(target)
    if own.library:
        behind = library_signature(own.library, base_class=True)
        for key in node:
            if key not in MARKS and key not in own.parameters and key not in behind.parameters and not behind.anything:
                yield _unknown(node, where, key, own)
