"""Help for one task, group, option or key, read from YAML files and from the source of the classes they name."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, Field
from pathlib import Path
from typing import Any

from conf.cli.grammar import typed_value
from conf.cli.groups import (
    file_name,
    group_in_defaults,
    group_names,
    group_options,
    is_search_word,
    option_file,
    search_folders,
)
from conf.cli.typed import written_type
from conf.cli.words import parse
from conf.compose import compose
from conf.keys.documented import argument_texts, class_text, clean
from conf.keys.schema import VERB_OPTIONS, root_keys, verb_options
from conf.keys.signatures import by_source, signature
from conf.keys.synonyms import key_for, task_for
from conf.keys.targets import SUPPLIED, is_own
from conf.keys.verbs import REQUIRED, groups_used, verb_text, verbs
from conf.keys.written import load_yaml, typed_characters
from conf.sources import leaves
from contracts.errors import ConfigError, nearest

Lines = dict[str, str]
Part = tuple[str, Lines]  # A title or a paragraph, and what is listed under it
_SETTINGS = "It sets"  # Title above the values of an option


def parts_for(words: Sequence[str], folder: Path) -> Iterator[Part]:
    """The help for each word: a title with names and meanings.

    Raises:
        ConfigError: a word names nothing that exists.
    """
    folders = search_folders(words, folder)
    for word in (word for word in words if not is_search_word(word)):
        key, equals, value = word.lstrip("+~").partition("=")
        root = key.partition(".")[0]
        if not equals and (key in verbs() or (key not in root_keys() and "." not in key)):
            key = f"task={key}" if key in verbs() else key_for(key) or key
            key, equals, value = key.partition("=")
            root = key.partition(".")[0]
        if key == "task" and value:
            yield from _task(value)
        elif root in VERB_OPTIONS:
            yield from _options(root, key)
        elif root in group_names() and key == root:
            names = typed_value(parse([word])[0]) if value else None
            yield from _group(root, names, folders)
        elif root in group_names():
            yield from _argument(key, words, folder)
        elif key in root_keys():
            yield key, _described(key, root_keys()[key])
        else:
            meant = key_for(key)
            step = f"Try: pixelproof {meant} --help" if meant else nearest(root, [*root_keys(), *verbs()])
            raise ConfigError(f"the key {key!r} does not exist", step)


def _task(name: str) -> Iterator[Part]:
    if name not in verbs():
        meant = task_for(name)
        raise ConfigError(f"task={name} does not exist", f"Write task={meant}." if meant else nearest(name, verbs()))
    yield f"task={name}: {clean(verb_text(name))}", {}
    needed = REQUIRED.get(name, ())
    if needed:
        yield f"It needs {' or '.join(f'{key}=…' for key in needed)}.", {}
    used = groups_used(name)
    if used:
        yield f"It uses {', '.join(used)} (pixelproof GROUP --help lists the options of each).", {}
    yield from _options(name, name)


def _options(verb: str, key: str) -> Iterator[Part]:
    known = verb_options(verb)
    option = key.partition(".")[2]
    if option and option not in known:
        raise ConfigError(f"{verb} has no option {option!r}", nearest(option, known))
    lines: Lines = {}
    for name, field in known.items():
        if option in ("", name):
            lines |= _described(f"{verb}.{name}", field)
    if lines:
        yield f"Options of {f'task={verb}' if verb in verbs() else verb}, with their defaults", lines


def _described(key: str, field: "Field[Any]") -> Lines:
    return {with_default(key, field): f"{written_type(field.type)}: {help_of(field)}"}


def with_default(key: str, field: "Field[Any]") -> str:
    """A key with its default, as it would be typed."""
    default = field.default if field.default_factory is MISSING else field.default_factory()
    return f"{key}={shown(default)}"


def help_of(field: "Field[Any]") -> str:
    """The help text of a key of the schema, with its possible values."""
    choices = field.metadata["choices"]
    return f"{field.metadata['help']}" + (f" ({'|'.join(choices)})" if choices else "")


def _group(group: str, names: Any, folders: Sequence[Path]) -> Iterator[Part]:
    options = group_options(group, *folders)
    if names is None:
        about = {f"{group}={name}": _comment(option_file(group, name, folders)) for name in options}
        yield f"Options of {group} (pixelproof {group}=OPTION --help lists the arguments of one)", about
        return
    for name in names if isinstance(names, list) else [names]:
        if name not in options:
            raise ConfigError(f"{group}={name} does not exist", nearest(str(name), options))
        file = option_file(group, name, folders)
        content = typed_characters(load_yaml(file)) or {}
        yield f"{group}={name}   ({file_name(file, folders)}) {_comment(file)}", {}
        prefix = "" if group == "experiment" else group
        chosen = [entry for entry in content.pop("defaults", []) if isinstance(entry, dict)]
        choices = [(group_in_defaults(key), value) for entry in chosen for key, value in entry.items()]
        yield _SETTINGS, {f"{place}={shown(value)}": "" for place, value in [*choices, *leaves(content, prefix)]}
        for place, node in _nodes(content, prefix):
            yield _of_target(place, node)


def _of_target(place: str, node: Mapping[str, Any]) -> Part:
    """All arguments of a class, with their values in the file or else their defaults."""
    target = str(node["_target_"])
    texts = argument_texts(target)
    found = signature(target) if is_own(target) else by_source(target)
    lines = {}
    for name, parameter in (found.parameters if found else {}).items():
        if name not in node and (parameter.required or name in SUPPLIED.get(place.partition(".")[0], ())):
            continue  # a task supplies it
        default = shown(node[name]) if name in node and not isinstance(node[name], dict) else _typed(parameter.default)
        kind = f"{parameter.annotation}: " if parameter.annotation else ""
        lines[f"{place}.{name}" + (f"={default}" if default else "")] = f"{kind}{texts.get(name, '')}".rstrip(": ")
    return f"Arguments of {target}: {class_text(target)}", lines


def _argument(key: str, words: Sequence[str], folder: Path) -> Iterator[Part]:
    """One argument of the options that the words, or the defaults, choose."""
    chosen = [
        word for word in words if is_search_word(word) or ("=" in word and word.partition("=")[0] in group_names())
    ]
    node: Any = compose(chosen, folder).resolved
    *path, name = key.split(".")
    for each in path:
        node = node.get(each) if isinstance(node, Mapping) else None
    place = ".".join(path)
    inner = node.get(name) if isinstance(node, Mapping) else None
    if isinstance(inner, Mapping) and "_target_" in inner:
        yield _of_target(key, inner)
        return
    if not isinstance(node, Mapping) or "_target_" not in node:
        raise ConfigError(f"{key} is not an argument of the chosen option", f"See pixelproof {path[0]} --help.")
    title, lines = _of_target(place, node)
    said = {line: text for line, text in lines.items() if line.partition("=")[0] == key}
    if not said and not any(word.partition("=")[0] == path[0] for word in chosen):
        said_elsewhere = list(_in_other_options(key, search_folders(words, folder)))
        yield from said_elsewhere
        if said_elsewhere:
            return
    if not said:
        raise ConfigError(
            f"{key} is not an argument of {node['_target_']}", nearest(key, [line.partition("=")[0] for line in lines])
        )
    yield title, said


def _in_other_options(key: str, folders: Sequence[Path]) -> Iterator[Part]:
    """An argument that the default option of its group lacks, in the options that have it."""
    group = key.partition(".")[0]
    alike: dict[tuple[str, str, str], list[str]] = {}
    for option in group_options(group, *folders):
        for title, lines in _group(group, option, folders):
            for line, text in lines.items() if title != _SETTINGS else ():
                if line.partition("=")[0] == key:
                    alike.setdefault((title, line, text), []).append(option)
    for (title, line, text), options in alike.items():
        yield f"With {group}={', '.join(options)}: {title}", {line: text}


def _comment(file: Path) -> str:
    """The comment at the head of a YAML file."""
    lines = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        if "@package" not in line:
            lines.append(line.removeprefix("#").strip())
    return clean(" ".join(lines))


def _nodes(node: Any, place: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The outermost nodes of a file that name a class."""
    if isinstance(node, dict) and "_target_" in node:
        yield place, node
    elif isinstance(node, dict):
        for key, value in node.items():
            yield from _nodes(value, f"{place}.{key}" if place else str(key))


def _typed(default: str) -> str:
    """A default written in Python, as it would be typed on a command line."""
    try:
        value = ast.literal_eval(default) if default else ""
    except ValueError:
        return default
    return shown(list(value) if isinstance(value, tuple) else value)


def shown(value: Any) -> str:
    """A value as it would be typed."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{','.join(map(shown, value))}]"
    return str(value)
