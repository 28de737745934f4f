"""From the words of the command line to one composed configuration."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_loader import ConfigLoader
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError, OmegaConfBaseException
from yaml import YAMLError

from conf.cli.groups import CONF, config_name, config_names, group_options, search_folders
from conf.cli.typed import typed_config
from conf.cli.words import accepted, judge, parse
from conf.hydra_setup import hydra_on
from conf.keys.schema import Config, root_keys, verb_options
from conf.keys.typed_root import typed_root
from conf.keys.written import as_text
from contracts.errors import ConfigError, nearest, refuse


@dataclass(frozen=True)
class Composed:
    """A configuration and its origin."""

    config: Config  # typed root; its groups are plain dicts
    resolved: dict[str, Any]  # the same as plain containers, for lock files and loggers
    overrides: tuple[str, ...]  # the words it was composed from, including those that say where it is found
    choices: dict[str, Any]  # the option chosen in each group
    folder: Path  # the main folder of YAML groups

    @property
    def folders(self) -> tuple[Path, ...]:
        """All folders of YAML groups, the main one first."""
        return search_folders(self.overrides, self.folder)


def compose(words: Sequence[str], folder: Path = CONF) -> Composed:
    """Composes one configuration.

    An argument of a part needs no ``+`` on the command line, whether or not the YAML file mentions it: the checker
    knows the constructors.

    Raises:
        ConfigError: a word or a YAML file cannot be composed.
    """
    root = composed_root(words, folder)
    with _explained(search_folders(words, folder)):
        choices = {k: v for k, v in root.hydra.runtime.choices.items() if not k.startswith("hydra/")}
        config = OmegaConf.masked_copy(root, list(root_keys()))
        if OmegaConf.is_config(config.experiment):  # its keys are under the group's name, not at the root
            raise ConfigError(
                f"experiment={choices['experiment']} is not a recipe", "Its first line must be: # @package _global_"
            )
        if choices.get("experiment") is not None:
            config.experiment = choices["experiment"]
        return Composed(*_plain(config), tuple(words), choices, folder)


def composed_root(words: Sequence[str], folder: Path = CONF) -> DictConfig:
    """The root as Hydra composes it, with its own node ``hydra``, marks (`conf.keys.written`) and interpolations.

    Raises:
        ConfigError: a word or a YAML file cannot be composed.
    """
    overrides, folders = parse(words), search_folders(words, folder)
    refuse([error for override in overrides for error in judge(override, folders)])
    with hydra_loader(words, folder) as (_, name, accepted_words):
        root = hydra.compose(name, accepted_words, return_hydra_config=True)
    if missing := [key for key in root_keys() if key not in root]:
        raise ConfigError(
            f"--config-name {name} lacks the key {missing[0]!r}",
            "Begin its defaults list with our configuration: defaults: [config, _self_]",
        )
    return root


@contextmanager
def hydra_loader(words: Sequence[str], folder: Path = CONF) -> Iterator[tuple[ConfigLoader, str, list[str]]]:
    """Initialises Hydra for the words of a command line, and explains its errors.

    Yields:
        Hydra's loader, the name of the main configuration, and the overrides in the form that Hydra accepts.

    Raises:
        ConfigError: the configuration does not exist, or Hydra raises an error.
    """
    folders, name = search_folders(words, folder), config_name(words)
    if name not in (known := config_names(folders)):
        raise ConfigError(f"--config-name {name} does not exist", nearest(name, known))
    with _explained(folders), hydra_on(folders) as loader:
        yield loader, name, accepted(words)


def _plain(config: DictConfig) -> tuple[Config, dict[str, Any]]:
    resolved = OmegaConf.to_container(config, resolve=True)
    assert isinstance(resolved, dict)  # noqa: S101 - the root is a mapping, the type checker cannot know
    plain = typed_config({str(key): value for key, value in resolved.items()})
    typed = typed_root(plain)
    shown = asdict(typed)  # root keys and options of tasks keep their converted values
    return typed, {key: shown[key] for key in plain}


@contextmanager
def _explained(folders: Sequence[Path]) -> Iterator[None]:
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise _in_short(error, folders) from error
    except YAMLError as error:
        raise ConfigError(f"a YAML file cannot be read: {error}", "Correct the line named here.") from error


def _in_short(error: Exception, folders: Sequence[Path]) -> ConfigError:
    lines = [line.strip() for line in as_text(f"{error}\n{error.__cause__ or ''}").splitlines() if line.strip()]
    place = lines[0].partition(": ")[0]
    if isinstance(error, MissingConfigException) and "/" in (error.missing_cfg_file or ""):
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        return ConfigError(f"{group}={name} does not exist", nearest(name, group_options(group, *folders)))
    if isinstance(error, InterpolationKeyError):
        step = "Names under local belong in conf/local/default.yaml (see default.example.yaml beside it)."
        return ConfigError(f"{error.full_key}: {lines[0]}", step)
    key = next((line.removeprefix("full_key: ") for line in lines if line.startswith("full_key: ")), "")
    if any(line.startswith("Key ") for line in lines):
        parent, _, name = key.rpartition(".")
        known = verb_options(parent) if parent else root_keys()
        return ConfigError(f"{place}: the key {key!r} does not exist", nearest(name, known))
    return ConfigError("; ".join(lines[:2]), "Correct the argument or file named here.")
