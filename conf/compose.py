"""From the words of the command line to one composed configuration."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import hydra
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError, OmegaConfBaseException
from yaml import YAMLError

from conf.cli.problems import refuse
from conf.cli.typed import as_meant
from conf.cli.words import CONF, accepted, group_options, judge, parse
from conf.keys.schema import Config, register, root_keys, typed_root, verb_options
from conf.keys.written import as_text, register_source
from contracts.errors import ConfigError, nearest


@dataclass(frozen=True)
class Composed:
    """A configuration and where it came from.

    Attributes:
        config: typed root; its groups are plain dicts.
        resolved: the same as plain containers, for lock files and loggers.
        overrides: the words it was composed from.
        choices: the option chosen in each group.
        folder: the folder of YAML groups.
    """

    config: Config
    resolved: dict[str, Any]
    overrides: tuple[str, ...]
    choices: dict[str, Any]
    folder: Path


def compose(words: Sequence[str], folder: Path = CONF) -> Composed:
    """Composes one configuration.

    An argument of a part needs no ``+`` on the command line, whether or not the YAML file mentions it: the checker
    knows the constructors.

    Raises:
        ConfigError: a word or a YAML file cannot be composed.
    """
    overrides = parse(words)
    refuse([error for override in overrides for error in judge(override, folder)])
    register()
    register_source()
    try:
        with hydra.initialize_config_dir(config_dir=str(folder.resolve()), version_base="1.3"):
            root = hydra.compose("config", accepted(words), return_hydra_config=True)
        choices = {k: v for k, v in root.hydra.runtime.choices.items() if not k.startswith("hydra/")}
        config = OmegaConf.masked_copy(root, list(root_keys()))
        if OmegaConf.is_config(config.experiment):  # its keys lie under the group's name, not at the root
            raise ConfigError(
                f"experiment={choices['experiment']} is no recipe", "Let its first line be: # @package _global_"
            )
        if choices.get("experiment") is not None:
            config.experiment = choices["experiment"]
        return Composed(*_plain(config), tuple(words), choices, folder)
    except (HydraException, OmegaConfBaseException) as error:
        raise _explained(error, folder) from error
    except YAMLError as error:
        raise ConfigError(f"a YAML file cannot be read: {error}", "Mend the line named here.") from error


def _plain(config: DictConfig) -> tuple[Config, dict[str, Any]]:
    resolved = OmegaConf.to_container(config, resolve=True)
    assert isinstance(resolved, dict)  # noqa: S101 - the root is a mapping, the type checker cannot know
    plain = as_meant({str(key): value for key, value in resolved.items()})
    typed = typed_root(plain)
    # of a root key or a verb's option the resolved value is the converted one
    shown = {each.name: getattr(typed, each.name) for each in fields(typed)}
    return typed, {key: asdict(shown[key]) if is_dataclass(shown[key]) else shown[key] for key in plain}


def _explained(error: Exception, folder: Path) -> ConfigError:
    """A library's error in short, with a next step."""
    told = as_text(f"{error}\n{error.__cause__ or ''}")
    lines = [line.strip() for line in told.splitlines() if line.strip()]
    place = lines[0].partition(": ")[0]
    if isinstance(error, MissingConfigException) and "/" in (error.missing_cfg_file or ""):
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        return ConfigError(f"{group}={name} does not exist", nearest(name, group_options(group, folder)))
    if isinstance(error, InterpolationKeyError):
        step = "Names under local belong into conf/local/default.yaml (see default.example.yaml beside it)."
        return ConfigError(f"{error.full_key}: {lines[0]}", step)
    key = next((line.removeprefix("full_key: ") for line in lines if line.startswith("full_key: ")), "")
    if any(line.startswith("Key ") for line in lines):
        parent, _, name = key.rpartition(".")
        known = verb_options(parent) if parent else root_keys()
        return ConfigError(f"{place}: there is no key {key!r}", nearest(name, known))
    return ConfigError("; ".join(lines[:2]), "Mend the word or file named here.")
