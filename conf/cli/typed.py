"""Reads composed values by the types of their keys; text keeps the characters that were typed."""

import ast
from collections.abc import Mapping
from dataclasses import Field
from functools import cache
from typing import Any

from conf.keys.schema import VERB_OPTIONS, root_keys, verb_options
from conf.keys.signatures import by_source, signature
from conf.keys.targets import LIBRARIES, OWN, current, is_own
from conf.keys.values import alternatives, arguments, name_of, typed_scalar
from conf.keys.written import read
from contracts.errors import ConfigError


def typed_config(resolved: Mapping[str, Any]) -> dict[str, Any]:
    """The root of a configuration in plain containers, with text or a number instead of every mark.

    A number under a key that holds text becomes text too.
    """
    return {key: _of_root(key, value) for key, value in resolved.items()}


def typed_node(node: Mapping[str, Any]) -> dict[str, Any]:
    """The same for the node of one group."""
    meant: dict[str, Any] = _typed(dict(node), None)
    return meant


@cache
def annotations(target: Any) -> Mapping[str, str]:
    """Arguments of a target with their annotations as written; none where it cannot be found (see `conf.check`)."""
    if not isinstance(target, str) or not target.startswith((*OWN, *LIBRARIES)):
        return {}
    try:
        found = signature(target) if is_own(target) else by_source(target)
    except (ConfigError, ImportError, SyntaxError):
        return {}
    if found is None:
        return {}
    behind = annotations(found.library) if found.library else {}
    return {**behind, **{name: parameter.annotation for name, parameter in found.parameters.items()}}


def _of_root(key: str, value: Any) -> Any:
    if key in VERB_OPTIONS and isinstance(value, Mapping):
        return {name: _typed(inner, _of_field(verb_options(key).get(name))) for name, inner in value.items()}
    return _typed(value, _of_field(root_keys().get(key)))


def annotation_at(resolved: Mapping[str, Any], key: str) -> ast.expr | None:
    """The annotation of a dotted key in a configuration, given the chosen parts; None if it is unknown."""
    root, *path = key.split(".")
    if root in VERB_OPTIONS:
        return _of_field(verb_options(root).get(".".join(path)))
    annotation, node = _of_field(root_keys().get(root)), resolved.get(root)
    for name in path:
        if isinstance(node, Mapping) and "_target_" in node:
            annotation = parsed(annotations(node["_target_"]).get(name, ""))
        else:
            annotation = _inner(annotation, ("dict", "Mapping", "Dict"), 2)[1]
        node = node.get(name) if isinstance(node, Mapping) else None
    return annotation


def _of_field(field: "Field[Any] | None") -> ast.expr | None:
    return parsed(written_type(field.type)) if field is not None else None


def written_type(type_: Any) -> str:
    """A type of the schema as an annotation is written."""
    return type_.__name__ if type(type_) is type else str(type_).replace("typing.", "")


@cache
def parsed(annotation: str) -> ast.expr | None:
    """An annotation's syntax tree; None for an empty annotation."""
    try:
        return ast.parse(annotation, mode="eval").body if annotation else None
    except SyntaxError:
        return None


def _typed(value: Any, annotation: ast.expr | None) -> Any:
    if isinstance(value, dict) and "_target_" in value:
        value = value | {"_target_": current(value["_target_"])}
        taken = annotations(value["_target_"])
        return {key: _typed(inner, parsed(taken.get(key, ""))) for key, inner in value.items()}
    if isinstance(value, dict):
        of_key, of_value = _inner(annotation, ("dict", "Mapping", "Dict"), 2)
        return {_typed(key, of_key): _typed(inner, of_value) for key, inner in value.items()}
    if isinstance(value, list):
        kinds = _inner(annotation, ("list", "tuple", "Sequence", "List", "Tuple", "Iterable"), len(value))
        return [_typed(inner, kind) for inner, kind in zip(value, kinds, strict=True)]
    return typed_scalar(read(value), annotation)


def _inner(annotation: ast.expr | None, names: tuple[str, ...], count: int) -> list[ast.expr | None]:
    """Annotations of a container's members, as many as there are."""
    for part in alternatives(annotation):
        if name_of(part) in names and isinstance(part, ast.Subscript):
            listed: list[ast.expr | None] = list(arguments(part))
            fixed = name_of(part) in ("tuple", "Tuple", "dict", "Mapping", "Dict")
            repeated = len(listed) == 2 and isinstance(listed[1], ast.Constant) and listed[1].value is Ellipsis
            if fixed and not repeated:
                return (listed + [None] * count)[:count]
            return listed[:1] * count
    return [None] * count
