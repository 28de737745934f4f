"""An experiment that has begun is named, not described again: its own words come from its lock file."""

import sys
from collections.abc import Sequence

import yaml

from conf.cli.grammar import typed_value
from conf.cli.groups import group_names, is_search_word, search_words
from conf.cli.words import parse
from tasks.experiment.names import former_name
from tasks.experiment.run import DATA, LOCK

RECALLING = ("fit", "validate", "test", "explain")
"""Verbs that go on with an experiment's own settings."""

OWN = ("task", "experiment_id", "logger", "prepare", "audit", "predict", "review")
"""Roots that belong to one command, not to the experiment."""


def recalled(words: Sequence[str]) -> list[str]:
    """The words an experiment was begun with, then the given ones.

    A remembered word gives way to a given one of the same key, and, where another part of a group is chosen, so do all
    remembered words about that group. Without ``experiment_id``, without such an experiment, or for a verb that has its
    own settings, the given words are returned as they are.
    """
    words = _former(words)
    given = {word.key_or_group: typed_value(word) for word in parse(words) if not word.is_sweep_override()}
    name = given.get("experiment_id")
    file = DATA / str(name) / LOCK
    if name is None or given.get("task", "fit") not in RECALLING or not file.is_file():
        return list(words)
    begun = yaml.safe_load(file.read_text())["command"]
    begun = [word for word in begun if given.get("task", "fit") == "fit" or not word.startswith("ckpt=")]
    given_keys = {*given, *(word.partition("=")[0] for word in search_words(words))}
    remembered = [word for word in begun if not _gives_way(word, given_keys)]
    if remembered:
        print(f"{file.parent} was begun with: {' '.join(remembered)}", file=sys.stderr)
    return [*remembered, *words]


def _former(words: Sequence[str]) -> list[str]:
    """The words, with the folder that an earlier version made for their experiment."""
    ids = [typed_value(word) for word in parse(words) if word.key_or_group == "experiment_id"]
    name = former_name(str(ids[-1])) if ids and isinstance(ids[-1], str) else None
    if name is None:
        return list(words)
    print(
        f"experiment_id={ids[-1]} was begun by an earlier version in {DATA / name}; it goes on there", file=sys.stderr
    )
    return [*words, f"experiment_id={name}"]


def _gives_way(word: str, given: set[str]) -> bool:
    if is_search_word(word):
        return word.partition("=")[0] in given
    key = parse([word])[0].key_or_group
    root, dot, _ = key.partition(".")
    return key in given or root in OWN or "experiment" in given or bool(dot and root in group_names() and root in given)
