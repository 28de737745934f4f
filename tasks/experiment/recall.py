"""Recalling an experiment's own arguments from its lock file when a command names it."""

import sys
from collections.abc import Sequence

import yaml

from conf.cli.grammar import typed_value
from conf.cli.groups import group_names, is_search_word, search_words
from conf.cli.words import parse
from tasks.experiment.names import former_name
from tasks.experiment.run import DATA, LOCK

RECALLING = ("fit", "validate", "test", "explain")  # Verbs that reuse an experiment's own settings

OWN = ("task", "experiment_id", "logger", "prepare", "audit", "predict", "review")
"""Root keys that belong to a command rather than to the experiment."""


def recalled(words: Sequence[str]) -> list[str]:
    """The arguments an experiment was started with, followed by the given ones.

    A given argument replaces the recalled one of the same key; a given choice of a group replaces all recalled
    arguments of that group. The given arguments are returned unchanged without ``experiment_id``, without such an
    experiment, or for a verb that does not reuse its settings.
    """
    words = _former(words)
    given = {word.key_or_group: typed_value(word) for word in parse(words) if not word.is_sweep_override()}
    name = given.get("experiment_id")
    file = DATA / str(name) / LOCK
    if name is None or given.get("task", "fit") not in RECALLING or not file.is_file():
        return list(words)
    recorded = yaml.safe_load(file.read_text())["command"]
    recorded = [word for word in recorded if given.get("task", "fit") == "fit" or not word.startswith("ckpt=")]
    given_keys = {*given, *(word.partition("=")[0] for word in search_words(words))}
    remembered = [word for word in recorded if not _gives_way(word, given_keys)]
    if remembered:
        print(f"{file.parent} was started with: {' '.join(remembered)}", file=sys.stderr)
    return [*remembered, *words]


def _former(words: Sequence[str]) -> list[str]:
    """The arguments, with the name under which an earlier version created the experiment's folder."""
    ids = [typed_value(word) for word in parse(words) if word.key_or_group == "experiment_id"]
    name = former_name(str(ids[-1])) if ids and isinstance(ids[-1], str) else None
    if name is None:
        return list(words)
    print(
        f"experiment_id={ids[-1]} was started by an earlier version in {DATA / name} and continues there",
        file=sys.stderr,
    )
    return [*words, f"experiment_id={name}"]


def _gives_way(word: str, given: set[str]) -> bool:
    if is_search_word(word):
        return word.partition("=")[0] in given
    key = parse([word])[0].key_or_group
    root, dot, _ = key.partition(".")
    return key in given or root in OWN or "experiment" in given or bool(dot and root in group_names() and root in given)
