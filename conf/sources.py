"""Where each value of a configuration comes from."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hydra.types import RunMode
from omegaconf import OmegaConf

from conf.cli.groups import file_name, option_file
from conf.cli.words import parse
from conf.compose import Composed, hydra_loader
from conf.keys.written import typed_characters


def leaves(node: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of everything in a tree that is not a mapping, and of empty mappings."""
    if isinstance(node, Mapping) and node:
        for key, value in node.items():
            yield from leaves(value, f"{place}.{key}" if place else str(key))
    else:
        yield place, node


def sources(composed: Composed) -> dict[str, str]:
    """For each leaf of the resolved configuration: the YAML file, the command line, or the schema's default."""
    found: dict[str, str] = {}
    for file, package in _files(composed):
        content = OmegaConf.to_container(OmegaConf.load(file))
        if isinstance(content, dict):
            content.pop("defaults", None)
            for place, _ in leaves(content, package):
                found[place] = file_name(file, composed.folders)
    for override in parse(composed.overrides):
        value = typed_characters(override.value()) if not override.is_delete() else None
        for place, _ in leaves(value, override.key_or_group):
            found[place] = "command line"
    return {place: _nearest(place, found) for place, _ in leaves(composed.resolved)}


def _files(composed: Composed) -> Iterator[tuple[Path, str]]:
    """YAML files in the order in which later ones override earlier ones, with the key that each one fills."""
    with hydra_loader(composed.overrides, composed.folder) as (loader, name, words):
        listed = loader.compute_defaults_list(name, words, RunMode.RUN)
    for default in listed.defaults:
        path = default.config_path
        if path is not None and not path.startswith("hydra"):
            group, _, option = path.rpartition("/")
            file = option_file(group, option, composed.folders)
            if file.is_file():
                yield file, default.package or ""


def _nearest(place: str, found: dict[str, str]) -> str:
    """The source of a leaf, or of the list that contains it."""
    while place:
        if place in found:
            return found[place]
        place = place.rpartition(".")[0]
    return "conf/keys/schema.py"
