"""Converts a composed root in plain containers to the typed one, and checks every value against its key's type."""

from collections.abc import Callable
from dataclasses import Field, fields
from typing import Any

from omegaconf import BooleanNode, FloatNode, IntegerNode, StringNode, ValueNode
from omegaconf.errors import ValidationError

from conf.keys.schema import VERB_OPTIONS, Config, root_keys
from contracts.errors import ConfigError

NODES: dict[str, Callable[..., ValueNode]] = {
    "str": StringNode,
    "int": IntegerNode,
    "float": FloatNode,
    "bool": BooleanNode,
}


def typed_root(plain: dict[str, Any]) -> Config:
    """The root with its options as their dataclasses.

    Raises:
        ConfigError: a value does not fit the type of its key.
    """
    given: dict[str, Any] = {}
    for key, field in root_keys().items():
        if key in VERB_OPTIONS:
            options = {
                each.name: _checked(f"{key}.{each.name}", each, plain[key][each.name])
                for each in fields(VERB_OPTIONS[key])
            }
            given[key] = VERB_OPTIONS[key](**options)
        else:
            given[key] = _checked(key, field, plain[key])
    return Config(**given)


def _checked(key: str, field: "Field[Any]", value: Any) -> Any:
    text = field.type.__name__ if type(field.type) is type else str(field.type)
    kind, optional = text.removesuffix(" | None"), text.endswith(" | None")
    if kind in NODES:
        return _scalar(key, kind, optional, value)
    if kind == "list[str]" and isinstance(value, list):
        return [_scalar(f"{key}[{place}]", "str", False, each) for place, each in enumerate(value)]
    return value


def _scalar(key: str, kind: str, optional: bool, value: Any) -> Any:
    shown = "null" if value is None else value
    if isinstance(value, dict | list) or (value is None and not optional):
        raise ConfigError(f"{key}={shown} is not {kind}", f"Give {key} one value.")
    try:
        return NODES[kind](value, is_optional=optional)._value()
    except ValidationError as error:
        raise ConfigError(
            f"{key}={shown}: {str(error).splitlines()[0]}", f"Give {key} a value of that type."
        ) from error
