"""AI-GenBench's settings merged as its LightningCLI does: files and dotted options in order, later ones win."""

import inspect
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from contracts.errors import ConfigError, DataError

Document = Mapping[str, Any]

LINKED = {"dataset_path": "data.init_args.dataset_loader.init_args.dataset_path"}
"""Keys of the top level that their command line links to nested ones, which they override."""

TEXTS = ("experiment_id", "dataset_path", "save_dir", "project", "model_name", "default_root_dir")
"""Keys whose values are strings, whatever they look like: ``12_3`` is an id, not a number."""


class _Loader(yaml.SafeLoader):
    """YAML in which ``1e-3`` is a number, as in their loader, and the values of `TEXTS` stay as written."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        for key, value in node.value:
            plain = isinstance(value, yaml.ScalarNode) and not value.tag.endswith(":null")
            if isinstance(key, yaml.ScalarNode) and key.value in TEXTS and plain:
                value.tag = "tag:yaml.org,2002:str"
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(?:\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def read_arguments(words: Sequence[str]) -> list[Document]:
    """The settings of one of their command lines.

    Args:
        words: YAML files, ``--config FILE``, options such as ``--data.train_batch_size=32``, or a whole command in one
            word, of which everything before the first option is ignored.

    Returns:
        One document per file or option, in their order.

    Raises:
        DataError: a file is not YAML.
        ConfigError: an option without a value.
    """
    parts: list[str] = []
    for word in words:
        split = shlex.split(word) if re.search(r"\s--\w", word) else [word]
        start = next((i for i, part in enumerate(split) if part.startswith("--")), 0)
        parts += split[start:]
    documents: list[Document] = []
    while parts:
        word = parts.pop(0)
        if not word.startswith("--"):
            documents.append(read_file(Path(word).expanduser()))
            continue
        key, equals, value = word.removeprefix("--").partition("=")
        if not equals:
            if not parts or parts[0].startswith("--"):
                raise ConfigError(f"convert.inputs: --{key} has no value", f"Write --{key}=VALUE.")
            value = parts.pop(0)
        if key in ("config", "c"):
            documents.append(read_file(Path(value).expanduser()))
        else:
            text = key.rpartition(".")[2] in TEXTS
            documents.append(nested(key, value if text else yaml.load(value, _Loader)))  # noqa: S506 - a SafeLoader
    return documents


def read_file(file: Path) -> Document:
    """A YAML file's settings.

    Raises:
        DataError: it cannot be read, is not YAML, or holds no settings.
    """
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a SafeLoader
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{file} cannot be read: {getattr(error, 'strerror', None) or error}", "Check the path."
        ) from error
    except yaml.YAMLError as error:
        raise DataError(f"{file} is not valid YAML: {error}", "Correct the line named above.") from error
    if not isinstance(content, dict):
        raise DataError(f"{file} holds no settings", "Give the files that their --config option names.")
    return content


def merged(documents: Sequence[Document]) -> dict[str, Any]:
    """All settings in one document.

    Mappings are merged key by key and lists replaced, except that list entries without ``class_path`` are merged by
    position. If the class changes, earlier ``init_args`` are kept; a class of torch's keeps only those it accepts.
    """
    whole: dict[str, Any] = {}
    for document in documents:
        whole = _merge(whole, document)
    for top, place in LINKED.items():
        if whole.get(top) is not None:
            whole = _merge(whole, nested(place, whole.pop(top)))
    return whole


def _merge(old: Any, new: Any) -> Any:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        kept = dict(old)
        if "class_path" in old and new.get("class_path", old["class_path"]) != old["class_path"]:
            kept["init_args"] = _kept(old.get("init_args"), str(new["class_path"]))
        for key, value in new.items():
            name = str(key)
            if name.endswith("+") and isinstance(value, list):  # their syntax to append to a list
                kept[name[:-1]] = [*(kept.get(name[:-1]) or []), *value]
            else:
                kept[name] = _merge(kept.get(name), value)
        return kept
    if isinstance(old, list) and isinstance(new, list) and any(_continues(entry) for entry in new):
        both = [_merge(old[i] if i < len(old) else None, entry) for i, entry in enumerate(new)]
        return both + old[len(new) :]
    return _merge({}, new) if isinstance(new, Mapping) else new


def _continues(entry: Any) -> bool:
    """Whether a list's entry is merged with the earlier one at its position."""
    return isinstance(entry, Mapping) and "class_path" not in entry


def _kept(arguments: Any, class_path: str) -> dict[str, Any]:
    """The earlier arguments that a new class accepts."""
    from torch import optim  # slow to import and rarely needed

    kind = getattr(optim, class_path.rpartition(".")[2], None) if class_path.startswith("torch.optim") else None
    if not isinstance(arguments, Mapping):
        return {}
    if kind is None:
        return dict(arguments)
    known = inspect.signature(kind).parameters
    return {key: value for key, value in arguments.items() if key in known}


def nested(place: str, value: Any) -> dict[str, Any]:
    """The value under its dotted key, as nested mappings."""
    for key in reversed(place.split(".")):
        value = {key: value}
    return dict(value)
