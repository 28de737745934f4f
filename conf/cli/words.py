"""The words of the command line: read, judged one by one, and expanded into several jobs (``-m``)."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Glob, Override
from hydra.errors import OverrideParseException

from conf.cli.grammar import parse_word, quoted, typed_value
from conf.cli.hints import flag_step, key_step, parse_step, several_step
from conf.cli.problems import refuse
from conf.keys.schema import root_keys, verb_options
from conf.keys.written import as_text, text_of
from contracts.errors import ConfigError, nearest

CONF = Path(__file__).resolve().parents[1]
"""The folder of YAML groups, wherever this package is installed."""


def group_names() -> list[str]:
    """Groups whose YAML files describe parts or whole recipes."""
    return [name for name, field in root_keys().items() if field.metadata.get("group")] + ["experiment"]


MEASURED = (
    "Leave it out: AUROC, average precision, accuracy, precision, recall, F1 and calibration are always measured and "
    "stand in metrics_<stage>.csv. One of your own: metrics.NAME._target_=benchmarks.MODULE.FUNCTION "
    "metrics.NAME._partial_=true (docs/adding.md)."
)
"""What to do where somebody chooses a metric by name."""


def group_options(group: str, folder: Path = CONF) -> list[str]:
    """Options of a group: its YAML files, examples left out."""
    files = (folder / group).rglob("*.yaml")
    names = (file.relative_to(folder / group).with_suffix("").as_posix() for file in files)
    return sorted(name for name in names if not name.endswith(".example"))


def parse(words: Iterable[str]) -> list[Override]:
    """Parses overrides; in their values are marks (see `conf.keys.written`), which `typed_value` reads.

    Raises:
        ConfigError: a word is no ``key=value``.
    """
    parsed, problems = [], []
    for word in words:
        try:
            if word.startswith("-"):
                raise ConfigError(f"{word!r} is an unknown option", flag_step(word))
            parsed.append(parse_word(word))
        except OverrideParseException as error:
            what = f"cannot read {word!r}: {str(error).splitlines()[0]}" if "=" in word else f"{word!r} is no key=value"
            problems.append(ConfigError(what, parse_step(word, group_options("experiment"))))
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
            choices.append([f"{key}={as_text(value)}" for value in values])
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
    word = as_text(str(override.input_line))
    root, _, rest = override.key_or_group.partition(".")
    groups = group_names()
    if root == "hydra":
        yield ConfigError(f"{word!r}: Hydra's own settings are not used here", "Leave it out.")
    elif "/" in root:
        yield ConfigError(f"{word!r}: there are no groups inside groups", nearest(root, groups))
    elif root not in root_keys():
        yield ConfigError(
            f"there is no key {root!r} (in {word!r})", key_step(override, partial(group_options, folder=folder))
        )
    elif override.is_sweep_override():
        yield ConfigError(f"{word!r} names several values", several_step(word))
    elif typed_value(override) == "None":
        yield ConfigError(f"{word!r} would be the word 'None'", f"Write {override.key_or_group}=null.")
    elif root not in groups:
        yield from _judge_option(word, root, rest, typed_value(override))
    elif not rest and not override.is_delete():
        yield from _judge_choice(word, root, typed_value(override), group_options(root, folder))


def _judge_choice(word: str, group: str, value: Any, options: list[str]) -> Iterator[ConfigError]:
    if isinstance(value, dict):
        yield ConfigError(f"{word!r}: a group is chosen by name", nearest(group, options))
        return
    for name in value if isinstance(value, list) else [value]:
        if name is not None and str(name) not in options:
            known = nearest(str(name), options) if options else f"Write one out: {group}.{name}._target_=module.name"
            yield ConfigError(f"{group}={name} does not exist", MEASURED if group == "metrics" else known)


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
    if (chosen := typed_value(override)) is not None:
        return f"{override.get_key_element()}={_chosen(chosen)}"
    return f"{root}=[]" if root == "logger" else f"~{root}"  # Hydra cannot delete a list


def _chosen(value: Any) -> str:
    """Names of options, digits or not."""
    if isinstance(value, list):
        return f"[{','.join(_chosen(each) for each in value)}]"
    return "null" if value is None else quoted(text_of(value) if isinstance(value, bool | int | float) else str(value))
