"""Tab completion: flags, tasks, groups, options, keys and files. Neither torch nor Hydra is imported."""

import ast
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from conf.cli.choices import chosen_tree
from conf.cli.flags import CHOICES, FLAGS, flag_names
from conf.cli.groups import DIR, NAME, config_names, group_names, group_options, search_folders
from conf.keys.schema import VERB_OPTIONS, root_keys, verb_options
from conf.keys.signatures import Parameter, by_source, signature
from conf.keys.targets import MARKS, SUPPLIED, TAKEN, is_own
from conf.keys.verbs import verbs
from contracts.errors import ConfigError

PLAIN = re.compile(r"[\w.@%+-]+")  # Names of files that need no quotes, neither for a shell nor for Hydra

COMMANDS = {"look": ("ckpt=", "deliveries=", "maps=", "--json", "--stdin"), "models": ("add", "name=", "licence=")}
"""Words of the commands that have no configuration (`tasks.models.look`)."""


def complete(line: Sequence[str]) -> list[str]:
    """Words that may take the place of the last one of a command line.

    Args:
        line: the line up to the cursor, the program's name included; empty if the shell gave none.

    Returns:
        Whole words; those that end with ``=``, ``.``, ``/`` or ``[`` are to be continued. Empty if the words before
        cannot be read.
    """
    before, space, word = (line[0] if line else "").rpartition(" ")
    try:
        previous = shlex.split(before)[1:]
        return sorted({each for each in _candidates(previous, word) if each.startswith(word)}) if space else []
    except (ConfigError, OSError, SyntaxError, ValueError):
        return []


def _candidates(previous: list[str], word: str) -> Iterator[str]:
    if previous and previous[0] in COMMANDS:
        yield from _of_command(COMMANDS[previous[0]], word)
        return
    if not previous:
        yield from COMMANDS
    long = {name: names[0] for names, (value, _) in FLAGS.items() if value for name in names}
    flag, equals, value = word.partition("=")
    given = _searched(previous, long)
    folders = search_folders(given)
    if previous and previous[-1] in long:
        yield from _flag_values(long[previous[-1]], word, given[:-1], folders)
    elif equals and flag in long:
        yield from (f"{flag}={each}" for each in _flag_values(long[flag], value, given, folders))
    elif word.startswith("-"):
        yield from flag_names()
    else:
        sign = word[: len(word) - len(word.lstrip("+~"))]
        tree = chosen_tree(given, folders)
        key, equals, value = word[len(sign) :].partition("=")
        found = (f"{key}={each}" for each in _values(key, value, tree, folders)) if equals else _keys(key, tree)
        yield from (f"{sign}{each}" for each in found)


def _of_command(known: Sequence[str], word: str) -> Iterator[str]:
    key, equals, value = word.partition("=")
    if equals and f"{key}=" in known:
        models = [file.stem for file in Path("models").glob("*.ckpt")] if key == "ckpt" else []
        yield from (f"{key}={each}" for each in (*models, *_files(value)))
    else:
        yield from (*known, *_files(word))


def _searched(previous: Sequence[str], long: dict[str, str]) -> list[str]:
    """The previous words, each flag about folders and main configurations joined with its value."""
    joined = []
    for place, word in enumerate(previous):
        flag, equals, value = word.partition("=")
        then = value if equals else previous[place + 1] if place + 1 < len(previous) else ""
        prefix = {"--config-dir": DIR, "--config-name": NAME}.get(long.get(flag, ""))
        joined.append(f"{prefix}{Path(then).expanduser() if prefix == DIR else then}" if prefix and then else word)
    return joined


def _flag_values(flag: str, value: str, given: Sequence[str], folders: Sequence[Path]) -> Iterator[str]:
    if flag == "--config-dir":
        yield from (name for name in _files(value) if name.endswith("/"))
    elif flag == "--config-name":
        yield from config_names(folders)
    elif flag == "--package":
        yield from (name.rstrip("=") for name in _keys(value, chosen_tree(given, folders)))
    else:
        yield from CHOICES[flag]


def _keys(key: str, tree: dict[str, Any]) -> Iterator[str]:
    parent, dot, _ = key.rpartition(".")
    if not dot:
        for name in root_keys():
            if name in VERB_OPTIONS:
                yield f"{name}."
            else:
                yield f"{name}="
        yield from (f"{group}." for group in group_names() if group != "experiment")
    elif parent in VERB_OPTIONS:
        yield from (f"{parent}.{name}=" for name in verb_options(parent))
    else:
        node = _node(tree, parent)
        for name in [*node, *(each for each in _parameters(parent, node) if each not in node)]:
            if name not in MARKS:
                yield f"{parent}.{name}" + ("." if isinstance(node.get(name), dict) else "=")


def _values(key: str, value: str, tree: dict[str, Any], folders: Sequence[Path]) -> Iterator[str]:
    kept = value[: max(value.rfind(","), value.rfind("[")) + 1]  # of a list, or of several runs
    named = set(kept.strip("[").split(","))
    root, _, name = key.partition(".")
    if key == "task":
        known: list[str] | None = list(verbs())
    elif key in group_names():
        known = [*group_options(key, *folders), *(() if kept else ("null",))]
    elif key == "experiment_id":
        known = [folder.name for folder in Path("experiments_data").glob("*") if folder.is_dir()]
    elif root in VERB_OPTIONS and name in verb_options(root):
        field = verb_options(root)[name]
        known = list(field.metadata["choices"]) or _of_type(str(getattr(field.type, "__name__", field.type)))
    elif name:
        parent, _, last = key.rpartition(".")
        parameter = _parameters(parent, _node(tree, parent)).get(last)
        known = _of_type(parameter.annotation if parameter else "str")
    else:
        known = _of_type("str" if key == "ckpt" else "int")
    words = _files(value[len(kept) :]) if known is None else (each for each in known if each not in named)
    yield from (f"{kept}{each}" for each in words)


def _of_type(annotation: str) -> list[str] | None:
    """The possible values of an annotation; an empty list for numbers, None if a value may be a file."""
    if "Literal" in annotation:
        constants = (node.value for node in ast.walk(ast.parse(annotation)) if isinstance(node, ast.Constant))
        return ["null" if value is None else str(value) for value in constants]
    if re.search(r"\bbool\b", annotation):
        return ["false", "true"]
    return None if re.search(r"str|Path|_PATH", annotation) or not annotation else []


def _files(kept: str) -> Iterator[str]:
    head, tail = os.path.split(kept)
    if head.startswith("~") or not PLAIN.fullmatch(tail or "a"):
        return
    for entry in os.scandir(head or "."):
        if entry.name.startswith(tail) and PLAIN.fullmatch(entry.name) and not (tail == "" and entry.name[0] == "."):
            yield os.path.join(head, entry.name) + ("/" if entry.is_dir() else "")  # noqa: PTH118 - keeps a leading ./


def _node(tree: dict[str, Any], key: str) -> dict[str, Any]:
    node: Any = tree
    for name in key.split("."):
        node = node.get(name) if isinstance(node, dict) else None
    return node if isinstance(node, dict) else {}


def _parameters(place: str, node: dict[str, Any]) -> dict[str, Parameter]:
    """Arguments of a node's class, without those that tasks set themselves."""
    target, group = node.get("_target_"), place.partition(".")[0]
    found: dict[str, Parameter] = {}
    while isinstance(target, str) and target:
        read = signature(target) if is_own(target) else by_source(target)
        found = (read.parameters if read else {}) | found
        target = read.library if read else ""
    supplied = {*TAKEN.get(group, ()), *SUPPLIED.get(group, ())}
    supplied |= {name for name, each in found.items() if each.required and node.get("_partial_")}
    return {name: each for name, each in found.items() if name not in supplied}
