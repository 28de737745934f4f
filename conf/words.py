"""The words of the command line: read, judged one by one, and expanded into several jobs (``-m``)."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.errors import OverrideParseException

from conf.problems import refuse
from conf.schema import root_keys, verb_options
from contracts.errors import ConfigError, nearest

CONF = Path(__file__).resolve().parent
"""The folder of YAML groups, wherever this package is installed."""


def group_names() -> list[str]:
    """Groups whose YAML files describe parts or whole recipes."""
    return [name for name, field in root_keys().items() if field.metadata.get("group")] + ["experiment"]


def group_options(group: str, folder: Path = CONF) -> list[str]:
    """Options of a group: its YAML files, examples left out."""
    files = (folder / group).rglob("*.yaml")
    names = (file.relative_to(folder / group).with_suffix("").as_posix() for file in files)
    return sorted(name for name in names if not name.endswith(".example"))


def parse(words: Iterable[str]) -> list[Override]:
    """Parses overrides.

    Raises:
        ConfigError: a word is no ``key=value``.
    """
    parser = OverridesParser.create()
    parsed, problems = [], []
    for word in words:
        try:
            if word.startswith("-"):
                raise ConfigError(f"{word!r} is no option", "Flags are --help and -m; all else is key=value.")
            parsed.extend(parser.parse_overrides([word]))
        except OverrideParseException as error:
            problems.append(ConfigError(f"cannot read {word!r}: {str(error).splitlines()[0]}", _parse_step(word)))
        except ConfigError as error:
            problems.append(error)
    refuse(problems)
    return parsed


def expand(words: Sequence[str], folder: Path = CONF) -> list[list[str]]:
    """The jobs of a ``-m`` command: every combination of its comma lists, ranges and globs.

    Raises:
        ConfigError: a word cannot be read.
    """
    choices = []
    for word, override in zip(words, parse(words), strict=True):
        key = override.get_key_element()
        if override.is_sweep_override():
            if not override.is_discrete_sweep():
                raise ConfigError(f"{word!r} has no list of values", "Give values, a range() or a glob().")
            listed: Any = override.value()
            if isinstance(listed, Glob):
                values: Iterable[str] = listed.filter(group_options(override.key_or_group, folder))
            else:
                values = override.sweep_string_iterator()
            choices.append([f"{key}={value}" for value in values])
        else:
            choices.append([word])
    return [list(job) for job in itertools.product(*choices)]


def accepted(words: Sequence[str]) -> list[str]:
    """The words as Hydra takes them.

    A key below a group is let through to the checker, whether or not its YAML file mentions it, and a group set to
    null is left out.
    """
    return [_accepted(override) for override in parse(words)]


def judge(override: Override, folder: Path) -> Iterator[ConfigError]:
    """What can be refused by looking at one word."""
    word = str(override.input_line)
    root, _, rest = override.key_or_group.partition(".")
    groups = group_names()
    if root == "hydra":
        yield ConfigError(f"{word!r}: Hydra's own settings are not used here", "Leave it out.")
    elif "/" in root:
        yield ConfigError(f"{word!r}: there are no groups inside groups", nearest(root, groups))
    elif root not in root_keys():
        yield ConfigError(f"there is no key {root!r} (in {word!r})", nearest(root, root_keys()))
    elif override.is_sweep_override():
        yield ConfigError(
            f"{word!r} names several values", "Add -m to run them one by one, or write a list: key=[a,b]."
        )
    elif override.value() == "None":
        yield ConfigError(f"{word!r} would be the word 'None'", f"Write {override.key_or_group}=null.")
    elif root not in groups:
        yield from _judge_option(word, root, rest, override.value())
    elif not rest and not override.is_delete():
        yield from _judge_choice(word, root, override.value(), group_options(root, folder))


def _judge_choice(word: str, group: str, value: Any, options: list[str]) -> Iterator[ConfigError]:
    if isinstance(value, dict):
        yield ConfigError(f"{word!r}: a group is chosen by name", nearest(group, options))
        return
    for name in value if isinstance(value, list) else [value]:
        if name is not None and str(name) not in options:
            yield ConfigError(f"{group}={name} does not exist", nearest(str(name), options))


def _judge_option(word: str, root: str, rest: str, value: Any) -> Iterator[ConfigError]:
    known = verb_options(root)
    if rest and not known:
        yield ConfigError(f"{word!r}: {root} is a single value", f"Write {root}=VALUE.")
    elif known and not rest:
        yield ConfigError(f"{word!r}: {root} holds options", nearest(rest, [f"{root}.{name}" for name in known]))
    elif known and rest not in known:
        yield ConfigError(f"{root} has no option {rest!r} (in {word!r})", nearest(rest, known))
    elif known:
        choices = known[rest].metadata["choices"]
        if choices and value not in choices:
            yield ConfigError(f"{word!r}: {value!r} is not possible", nearest(str(value), choices))


def _accepted(override: Override) -> str:
    word = str(override.input_line)
    root, dot, _ = override.key_or_group.partition(".")
    if root not in group_names() or override.is_add() or override.is_force_add() or override.is_delete():
        return word
    if dot:
        return f"++{word}"
    if override.value() is not None:
        return word
    return f"{root}=[]" if root == "logger" else f"~{root}"  # Hydra cannot delete a list


def _parse_step(word: str) -> str:
    key, equals, value = word.strip("'\"").partition("=")
    if not equals:
        return f"Write {word}=VALUE."
    if any(sign in value for sign in "=,:()[]{} "):
        return f"Quote a value that holds one of = , : ( ) [ ] {{ }}, for the shell too: '{key}=\"{value}\"'."
    return "Write key=value."
