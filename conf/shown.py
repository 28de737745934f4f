"""The texts of ``--cfg`` and ``--info``: the configuration, and how it is composed."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.core.default_element import DefaultsTreeNode, GroupDefault, InputDefault
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, MissingMandatoryValue

from conf.cli.groups import CONF, search_folders
from conf.cli.typed import typed_config
from conf.compose import compose, composed_root, hydra_loader
from conf.keys.schema import root_keys
from contracts.errors import ConfigError, nearest


def shown_config(
    words: Sequence[str], what: str = "job", package: str | None = None, resolve: bool = False, folder: Path = CONF
) -> str:
    """A configuration as YAML, as Hydra prints it.

    Args:
        words: of the command line.
        what: "job" (ours), "hydra" (Hydra's own node) or "all".
        package: dotted key of the only part to show.
        resolve: replace interpolations by their values.
        folder: main folder of YAML groups.

    Raises:
        ConfigError: the words cannot be composed, or there is no such part.
    """
    root = composed_root(words, folder)
    node: dict[str, Any] = {}
    if what != "job":
        HydraConfig.instance().set_config(root)
        node["hydra"] = _resolved(root.hydra) if resolve else OmegaConf.to_container(root.hydra)
    if what != "hydra":
        ours = OmegaConf.to_container(OmegaConf.masked_copy(root, list(root_keys())))
        assert isinstance(ours, dict)  # noqa: S101 - the root is a mapping, the type checker cannot know
        node |= compose(words, folder).resolved if resolve else typed_config({str(key): ours[key] for key in ours})
    place: Any = node
    path = [] if package in (None, "", "_global_") else str(package).split(".")
    for depth, name in enumerate(path):
        if not isinstance(place, dict) or name not in place:
            known = [".".join([*path[:depth], str(key)]) for key in place] if isinstance(place, dict) else []
            raise ConfigError(f"--package {package} does not exist", nearest(".".join(path[: depth + 1]), known))
        place = place[name]
    if not isinstance(place, dict | list):
        return "null" if place is None else str(place)
    head = f"# @package {package}\n" if path else ""
    return (head + OmegaConf.to_yaml(OmegaConf.create(place))).rstrip("\n")


def _resolved(node: Any) -> Any:
    """Plain containers with interpolations resolved; "???" for values that only exist while Hydra itself runs."""
    if isinstance(node, DictConfig):
        return {key: _value(node, key) for key in node}
    return [_value(node, place) for place in range(len(node))] if isinstance(node, ListConfig) else node


def _value(node: Any, key: Any) -> Any:
    try:
        return _resolved(node[key])
    except (InterpolationToMissingValueError, MissingMandatoryValue):
        return "???"


def shown_info(words: Sequence[str], what: str, folder: Path = CONF) -> str:
    """How a configuration is composed: "defaults", "defaults-tree", "searchpath", "config" or "all"."""
    with hydra_loader(words, folder) as (loader, name, overrides):
        listed = loader.compute_defaults_list(name, overrides, RunMode.RUN)
    folders = search_folders(words, folder)
    parts = {
        "searchpath": ["Search path", *(f"  {place}" for place in folders), "  the schema (conf/keys/schema.py)"],
        "defaults-tree": ["Defaults tree", *_tree(listed.defaults_tree, 1)],
        "defaults": [
            "Defaults list (later entries override earlier ones)",
            *(
                f"  {each.config_path:<40} package: {each.package or '_global_'}"
                for each in listed.defaults
                if each.config_path is not None and not each.config_path.startswith("hydra/")
            ),
        ],
        "config": ["Configuration", shown_config(words, folder=folder)] if what in ("config", "all") else [],
    }
    chosen = list(parts) if what in ("config", "all") else [what]
    return "\n\n".join("\n".join(parts[part]) for part in chosen)


def _tree(node: Any, depth: int) -> Iterator[str]:
    inner = node.children or [] if isinstance(node, DefaultsTreeNode) else []
    default = node.node if isinstance(node, DefaultsTreeNode) else node
    assert isinstance(default, InputDefault)  # noqa: S101 - Hydra's trees hold nothing else
    if isinstance(default, GroupDefault):
        name = f"{default.get_override_key()}: {default.get_name() or 'null'}"
    else:
        name = default.get_config_path()
    if not name.startswith("hydra"):
        yield "  " * depth + name.replace("<root>", "configuration")
        for child in inner:
            yield from _tree(child, depth + 1)
