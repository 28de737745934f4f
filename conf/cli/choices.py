"""The options that words and defaults lists choose, read from YAML files without Hydra: enough for completion."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from conf.cli.groups import config_name, group_in_defaults, group_names, option_file


def chosen_tree(words: Sequence[str], folders: Sequence[Path]) -> dict[str, Any]:
    """The configuration as YAML files state it: each group with the content of its chosen options."""
    chosen = _defaults("", config_name(words), folders)
    pairs = [word.lstrip("+").split("=", 1) for word in words if "=" in word]
    given = {key: value.strip("[]").split(",") for key, value in pairs if key in group_names()}
    recipes = given.get("experiment", [])
    for recipe in recipes:
        chosen |= _defaults("experiment", recipe, folders)
    tree: dict[str, Any] = {}
    for group, names in (chosen | given).items():
        for name in names if group in group_names() and group != "experiment" else ():
            tree[group] = _merged(tree.get(group, {}), _content(group, name, folders))
    for recipe in recipes:
        tree = _merged(tree, _content("experiment", recipe, folders))
    return tree


def _defaults(group: str, name: str, folders: Sequence[Path]) -> dict[str, list[str]]:
    """Options by group that a file's defaults list chooses, also through other files of its group."""
    chosen: dict[str, list[str]] = {}
    for entry in _read(group, name, folders).get("defaults", []):
        if isinstance(entry, dict):
            for key, value in entry.items():
                names = value if isinstance(value, list) else [value]
                chosen[group_in_defaults(key)] = [str(each) for each in names if each]
        elif entry != "_self_":
            chosen |= _defaults(group, str(entry), folders)
    return chosen


def _content(group: str, name: str, folders: Sequence[Path]) -> dict[str, Any]:
    """The content of an option, merged with the options of its group that it is based on."""
    content = _read(group, name, folders)
    based: dict[str, Any] = {}
    for entry in content.pop("defaults", []):
        if isinstance(entry, str) and entry != "_self_":
            based = _merged(based, _content(group, entry.removeprefix("/"), folders))
    return _merged(based, content)


def _read(group: str, name: str, folders: Sequence[Path]) -> dict[str, Any]:
    file = option_file(group, name, folders)
    if not file.is_file():
        return {}
    content = yaml.load(file.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - a kind of SafeLoader
    return content if isinstance(content, dict) else {}


def _merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    both = {
        key: _merged(under[key], over[key])
        for key in under.keys() & over.keys()
        if isinstance(under[key], dict) and isinstance(over[key], dict)
    }
    return under | over | both
