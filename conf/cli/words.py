"""The words of the command line: parsed, checked one by one, and expanded into several jobs (``-m``)."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Glob, Override
from hydra.errors import OverrideParseException

from conf.cli.grammar import parse_word, quoted, typed_value
from conf.cli.groups import CONF, group_names, group_options, is_search_word, search_folders, search_words
from conf.cli.hints import flag_step, key_step, parse_step, several_step
from conf.keys.schema import root_keys, verb_options
from conf.keys.written import as_text, text_of
from contracts.errors import ConfigError, nearest, refuse

MEASURED = (
    "Leave it out: AUROC, average precision, accuracy, precision, recall, F1 and calibration are always measured and "
    "written to metrics_<stage>.csv. To add your own: metrics.NAME._target_=benchmarks.MODULE.FUNCTION "
    "metrics.NAME._partial_=true, or metrics.NAME._target_=torchmetrics.classification.CLASS (docs/adding.md)."
)
"""The next step for a metric chosen by name."""

HYDRAS = {
    "hydra/launcher": "Write launcher=NAME (local, slurm or ray); its arguments are launcher.KEY=VALUE",
    "hydra.launcher": "Write launcher=NAME (local, slurm or ray); its arguments are launcher.KEY=VALUE",
    "hydra/sweeper": "Write task=sweep sweep.file=NAME for a search, or -m key=1,2 for a list of runs",
    "hydra.sweeper": "Write task=sweep sweep.file=NAME for a search, or -m key=1,2 for a list of runs",
    "hydra.sweep": "Write experiment_id=NAME: each run of -m gets experiments_data/NAME_<what differs>/",
    "hydra.run": "Write experiment_id=NAME: results go to experiments_data/NAME/",
    "hydra.job": "Write experiment_id=NAME to name a run; the working directory never changes",
    "hydra.mode": "Write -m for several runs",
    "hydra.searchpath": "Write --config-dir=DIR for YAML groups of your own",
    "hydra.callbacks": "Write callbacks=NAME for Lightning's callbacks",
    "hydra/callbacks": "Write callbacks=NAME for Lightning's callbacks",
    "hydra.output_subdir": "Leave it out: every experiment keeps its configuration in config.lock.yaml",
}
"""Well-known settings of Hydra, and what to use instead."""


def parse(words: Iterable[str]) -> list[Override]:
    """Parses overrides; their values contain marks (see `conf.keys.written`), which `typed_value` reads.

    Words that say where the configuration is found (`conf.cli.groups`) are left out.

    Raises:
        ConfigError: a word is not ``key=value``.
    """
    parsed, problems = [], []
    for word in words:
        if is_search_word(word):
            continue
        try:
            if word.startswith("-"):
                raise ConfigError(f"{word!r} is an unknown option", flag_step(word))
            parsed.append(parse_word(word))
        except OverrideParseException as error:
            what = (
                f"cannot read {word!r}: {str(error).splitlines()[0]}" if "=" in word else f"{word!r} is not key=value"
            )
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
    searched = search_words(words)
    given = [word for word in words if word not in searched]
    folders = search_folders(words, folder)
    choices = []
    for word, override in zip(given, parse(given), strict=True):
        key = override.get_key_element()
        if override.is_sweep_override():
            if not override.is_discrete_sweep():
                raise ConfigError(f"{word!r} does not list values", "Give values, a range() or a glob().")
            listed: Any = override.value()
            if isinstance(listed, Glob):
                values: Iterable[str] = listed.filter(group_options(override.key_or_group, *folders))
            else:
                values = override.sweep_string_iterator()
            choices.append([f"{key}={as_text(value)}" for value in values])
        else:
            choices.append([word])
    return [[*searched, *job] for job in itertools.product(*choices)]


def accepted(words: Sequence[str]) -> list[str]:
    """The words in the form that Hydra accepts.

    A key below a group is passed to the checker, whether or not its YAML file mentions it, and a group set to
    null is removed.
    """
    return [_accepted(override) for override in parse(words)]


def judge(override: Override, folders: Sequence[Path]) -> Iterator[ConfigError]:
    """Problems of one word that do not depend on the others."""
    word = as_text(str(override.input_line))
    root, _, rest = override.key_or_group.partition(".")
    groups = group_names()
    if root.partition("/")[0] == "hydra":
        section = root if "/" in root else ".".join(override.key_or_group.split(".")[:2])
        step = HYDRAS.get(section, "Leave it out; --hydra-help lists what replaces it")
        yield ConfigError(f"{word!r}: Hydra's own settings are not used here", step)
    elif "/" in root:
        yield ConfigError(f"{word!r}: groups cannot be nested", nearest(root, groups))
    elif root not in root_keys():
        yield ConfigError(
            f"the key {root!r} does not exist (in {word!r})",
            key_step(override, lambda group: group_options(group, *folders)),
        )
    elif override.is_sweep_override():
        yield ConfigError(f"{word!r} names several values", several_step(word))
    elif typed_value(override) == "None":
        yield ConfigError(f"{word!r} is the text 'None', not null", f"Write {override.key_or_group}=null.")
    elif root not in groups:
        yield from _judge_option(word, root, rest, typed_value(override))
    elif not rest and not override.is_delete():
        yield from _judge_choice(word, root, typed_value(override), group_options(root, *folders))


def _judge_choice(word: str, group: str, value: Any, options: list[str]) -> Iterator[ConfigError]:
    if isinstance(value, dict):
        written_out = f"Write {group}.{next(iter(value), 'NAME')}={{_target_: …}}"
        yield ConfigError(f"{word!r}: a group is chosen by name", nearest(group, options) if options else written_out)
        return
    for name in value if isinstance(value, list) else [value]:
        if name is not None and str(name) not in options:
            known = nearest(str(name), options) if options else f"Define one: {group}.{name}._target_=module.name"
            yield ConfigError(f"{group}={name} does not exist", MEASURED if group == "metrics" else known)


def _judge_option(word: str, root: str, rest: str, value: Any) -> Iterator[ConfigError]:
    known = verb_options(root)
    if rest and not known:
        yield ConfigError(f"{word!r}: {root} is a single value", f"Write {root}=VALUE.")
    elif known and not rest:
        yield ConfigError(
            f"{word!r}: {root} is not a single value", nearest(rest, [f"{root}.{name}" for name in known])
        )
    elif known and rest not in known:
        yield ConfigError(f"{root} has no option {rest!r} (in {word!r})", nearest(rest, known))
    elif known:
        choices = known[rest].metadata["choices"]
        if choices and value not in choices:
            yield ConfigError(f"{word!r}: {value!r} is not a valid value", nearest(str(value), choices))


def _accepted(override: Override) -> str:
    word = str(override.input_line)
    root, dot, _ = override.key_or_group.partition(".")
    if word == "~logger":
        return "logger=[]"  # Hydra cannot delete a list
    if root not in group_names() or override.is_add() or override.is_force_add() or override.is_delete():
        return word
    if dot:
        return f"++{word}"
    if (chosen := typed_value(override)) is not None:
        return f"{override.get_key_element()}={_chosen(chosen)}"
    return f"{root}=[]" if root == "logger" else f"~{root}"


def _chosen(value: Any) -> str:
    """Names of options, digits or not."""
    if isinstance(value, list):
        return f"[{','.join(_chosen(each) for each in value)}]"
    return "null" if value is None else quoted(text_of(value) if isinstance(value, bool | int | float) else str(value))
