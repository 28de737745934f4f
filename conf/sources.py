"""Where each value of a configuration comes from."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import OmegaConf

from conf.cli.words import accepted, parse
from conf.compose import Composed
from conf.keys.schema import register
from conf.keys.written import register_source, typed_characters


def leaves(node: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted places and values of everything in a tree that is no mapping; empty mappings too."""
    if isinstance(node, dict) and node:
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
                found[place] = f"conf/{file.relative_to(composed.folder.resolve()).as_posix()}"
    for override in parse(composed.overrides):
        value = typed_characters(override.value()) if not override.is_delete() else None
        for place, _ in leaves(value, override.key_or_group):
            found[place] = "command line"
    return {place: _nearest(place, found) for place, _ in leaves(composed.resolved)}


def _files(composed: Composed) -> Iterator[tuple[Path, str]]:
    """YAML files in the order in which they were laid over one another, with the place each fills."""
    register()
    register_source()
    folder = composed.folder.resolve()
    with hydra.initialize_config_dir(config_dir=str(folder), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        listed = loader.compute_defaults_list("config", accepted(composed.overrides), RunMode.RUN)
    for default in listed.defaults:
        file = folder / f"{default.config_path}.yaml"
        if default.config_path is not None and not default.config_path.startswith("hydra") and file.is_file():
            yield file, default.package or ""


def _nearest(place: str, found: dict[str, str]) -> str:
    """The source of a leaf, or of a list it lies in."""
    while place:
        if place in found:
            return found[place]
        place = place.rpartition(".")[0]
    return "conf/keys/schema.py"
