"""Parts of a detector that are chosen by name, with options of their own."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from contracts.errors import ConfigError, nearest

Part = TypeVar("Part")


def made_by_name(
    known: Mapping[str, Callable[..., Part]], name: str, options: Mapping[str, Any] | None, key: str, **given: Any
) -> Part:
    """``known[name](**given, **options)``, with mistakes named by their key.

    Args:
        known: functions or classes that make the parts, by name.
        name: name of the part.
        options: arguments that the configuration gives, or None.
        key: key of the name in the configuration; the options are in ``<key>_options``.
        given: arguments that the configuration does not give; those a part does not have are left out.

    Raises:
        ConfigError: an unknown name, or an option that the part does not have.
    """
    if name not in known:
        raise ConfigError(f"{key}={name!r} is unknown", nearest(name, known))
    options = dict(options or {})
    parameters = inspect.signature(known[name]).parameters.values()
    accepted = [each.name for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
    mine = [argument for argument in accepted if argument not in given]
    for option in options:
        if option not in mine:
            step = nearest(option, mine) if mine else f"It has none: set {key}_options=null."
            raise ConfigError(f"{key}_options.{option}: {key}={name} has no such option", step)
    return known[name](**{argument: value for argument, value in given.items() if argument in accepted}, **options)
