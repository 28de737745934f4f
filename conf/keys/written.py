"""Scalars as they were typed, passed through Hydra until the type of their key is known.

Hydra's grammar and YAML read ``12345_2`` as the integer 123452 before it is known whether its key holds a number or the
name of a folder. Therefore a scalar whose value does not print as it was typed is replaced by a mark, a word that both
leave unchanged; `conf.cli.typed` replaces the mark by text or a number.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
from omegaconf import OmegaConf
from omegaconf.basecontainer import get_yaml_loader  # type: ignore[attr-defined] # all supported releases have it here

Number = bool | int | float

_MARK = re.compile(r"AS_WRITTEN_([0-9a-f]+)_([0-9a-f]+)_")


@dataclass(frozen=True)
class Written:
    """A scalar without quotes."""

    text: str  # the characters that were typed
    value: Number  # the value that the grammar reads


def text_of(value: Number) -> str:
    """A number or truth value as people type it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def mark(text: str, value: Number) -> str:
    """A word for a scalar that Hydra, OmegaConf and YAML read as a name, also inside other text and as a key."""
    return f"AS_WRITTEN_{text.encode().hex()}_{str(value).encode().hex()}_"


def read(value: Any) -> Any:
    """The scalar of a mark; a mark inside a text, where an interpolation put it, is replaced by what was typed."""
    if not isinstance(value, str):
        return value
    found = _MARK.fullmatch(value)
    if found is None:
        return as_text(value)
    canonical = bytes.fromhex(found[2]).decode()
    return Written(bytes.fromhex(found[1]).decode(), _number(canonical))


def as_text(text: str) -> str:
    """A text with what was typed in place of marks."""
    return _MARK.sub(lambda found: bytes.fromhex(found[1]).decode(), text)


def typed_characters(node: Any) -> Any:
    """Plain containers with every marked scalar as the text that was typed."""
    return _mapped(node, lambda scalar: as_text(scalar) if isinstance(scalar, str) else scalar)


def grammar_values(node: Any) -> Any:
    """Plain containers with every marked scalar as the grammar reads it; keys of mappings are as they were typed."""

    def value(scalar: Any) -> Any:
        found = read(scalar)
        return found.value if isinstance(found, Written) else found

    return _mapped(node, value, of_key=typed_characters)


def _mapped(node: Any, change: Callable[[Any], Any], of_key: Callable[[Any], Any] | None = None) -> Any:
    """Plain containers with every scalar changed, and every key of a mapping too."""
    if isinstance(node, dict):
        return {(of_key or change)(key): _mapped(value, change, of_key) for key, value in node.items()}
    if isinstance(node, list):
        return [_mapped(value, change, of_key) for value in node]
    return change(node)


def _number(canonical: str) -> Number:
    if canonical in ("True", "False"):
        return canonical == "True"
    try:
        return int(canonical)
    except ValueError:
        return float(canonical)


class _Marking:
    """Replaces plain scalars whose value does not print as it was typed by marks; dates stay text."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        plain = isinstance(node, yaml.ScalarNode) and not node.style
        if plain and node.tag == "tag:yaml.org,2002:timestamp":
            return node.value
        value = super().construct_object(node, deep)  # type: ignore[misc] # of the loader it is mixed into
        changed = plain and isinstance(value, bool | int | float) and text_of(value) != node.value
        return mark(node.value, value) if changed else value


class ConfigLoader(_Marking, get_yaml_loader()):  # type: ignore[misc] # OmegaConf makes this class in a function
    """YAML as OmegaConf reads it, with marks."""


class PlainLoader(_Marking, yaml.SafeLoader):
    """YAML as PyYAML and W&B read it, with marks."""


def load_yaml(file: Path, loader: type[yaml.SafeLoader] = ConfigLoader) -> Any:
    """A YAML file with marks.

    Raises:
        yaml.YAMLError: it cannot be read.
    """
    with file.open(encoding="utf-8") as opened:
        return yaml.load(opened, Loader=loader)  # noqa: S506 - a kind of SafeLoader


class MarkingSource(FileConfigSource):
    """Hydra's folder of YAML files, read with `load_yaml`."""

    def load_config(self, config_path: str) -> ConfigResult:  # noqa: D102
        file = Path(self.path) / self._normalize_file_name(config_path)
        if not file.is_file():
            raise ConfigLoadError(f"Config not found : {file}")
        content = load_yaml(file)
        if isinstance(content, dict) and "defaults" in content:
            content["defaults"] = _mapped(typed_characters(content["defaults"]), _name)
        header = ConfigSource._get_header_dict(file.read_text(encoding="utf-8")[:512])
        made = OmegaConf.create(content if content is not None else {})
        return ConfigResult(config=made, path=f"{self.scheme()}://{self.path}", provider=self.provider, header=header)


def _name(scalar: Any) -> Any:
    """Options of groups in a defaults list are names, even if they consist only of digits."""
    return text_of(scalar) if isinstance(scalar, bool | int | float) else scalar


def register_source() -> None:
    """Makes Hydra read YAML files by `MarkingSource`."""
    Plugins.instance()  # registers Hydra's own source first, since it does not replace an existing one
    SourcesRegistry.instance().types["file"] = MarkingSource
