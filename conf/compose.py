"""From the words of the command line to one composed configuration, or to several (``-m``)."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError, OmegaConfBaseException
from yaml import YAMLError

from conf.problems import refuse
from conf.schema import VERB_OPTIONS, Config, register, root_keys, verb_options
from contracts.errors import ConfigError, nearest

CONF = Path(__file__).resolve().parent
"""The folder of YAML groups, wherever this package is installed."""


@dataclass(frozen=True)
class Composed:
    """A configuration and where it came from.

    Attributes:
        config: typed root; its groups are plain dicts.
        resolved: the same as plain containers, for lock files and loggers.
        overrides: the words it was composed from.
        choices: the option chosen in each group.
        folder: the folder of YAML groups.
    """

    config: Config
    resolved: dict[str, Any]
    overrides: tuple[str, ...]
    choices: dict[str, Any]
    folder: Path


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


def compose(words: Sequence[str], folder: Path = CONF) -> Composed:
    """Composes one configuration.

    An argument of a part needs no ``+`` on the command line, whether or not the YAML file mentions it: the checker
    knows the constructors.

    Raises:
        ConfigError: a word or a YAML file cannot be composed.
    """
    overrides = parse(words)
    refuse([error for override in overrides for error in _judge(override, folder)])
    register()
    try:
        with hydra.initialize_config_dir(config_dir=str(folder.resolve()), version_base="1.3"):
            root = hydra.compose("config", accepted(words), return_hydra_config=True)
        choices = {k: v for k, v in root.hydra.runtime.choices.items() if not k.startswith("hydra/")}
        config = OmegaConf.masked_copy(root, list(root_keys()))
        if choices.get("experiment") is not None:
            config.experiment = choices["experiment"]
        return Composed(*_plain(config), tuple(words), choices, folder)
    except (HydraException, OmegaConfBaseException) as error:
        raise _explained(error, folder) from error
    except YAMLError as error:
        raise ConfigError(f"a YAML file cannot be read: {error}", "Mend the line named here.") from error


def accepted(words: Sequence[str]) -> list[str]:
    """The words as Hydra takes them.

    A key below a group is let through to the checker, whether or not its YAML file mentions it, and a group set to
    null is left out.
    """
    return [_accepted(override) for override in parse(words)]


def _plain(config: DictConfig) -> tuple[Config, dict[str, Any]]:
    resolved = OmegaConf.to_container(config, resolve=True)
    assert isinstance(resolved, dict)  # noqa: S101 - the root is a mapping, the type checker cannot know
    plain = {str(key): value for key, value in resolved.items()}
    typed = {key: VERB_OPTIONS[key](**value) if key in VERB_OPTIONS else value for key, value in plain.items()}
    return Config(**typed), plain


def _judge(override: Override, folder: Path) -> Iterator[ConfigError]:
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


def _explained(error: Exception, folder: Path) -> ConfigError:
    """A library's error in short, with a next step."""
    lines = [line.strip() for line in f"{error}\n{error.__cause__ or ''}".splitlines() if line.strip()]
    place = lines[0].partition(": ")[0]
    if isinstance(error, MissingConfigException) and "/" in (error.missing_cfg_file or ""):
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        return ConfigError(f"{group}={name} does not exist", nearest(name, group_options(group, folder)))
    if isinstance(error, InterpolationKeyError):
        step = "Names under local belong into conf/local/default.yaml (see default.example.yaml beside it)."
        return ConfigError(f"{error.full_key}: {lines[0]}", step)
    key = next((line.removeprefix("full_key: ") for line in lines if line.startswith("full_key: ")), "")
    if key == "experiment":
        return ConfigError(f"{place}: it is no recipe", "Let its first line be: # @package _global_")
    if any(line.startswith("Key ") for line in lines):
        parent, _, name = key.rpartition(".")
        known = verb_options(parent) if parent else root_keys()
        return ConfigError(f"{place}: there is no key {key!r}", nearest(name, known))
    return ConfigError("; ".join(lines[:2]), "Mend the word or file named here.")
