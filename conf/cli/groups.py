"""Groups of YAML files: their names, their options, and the folders they are searched in."""

import re
from collections.abc import Sequence
from pathlib import Path

from conf.keys.schema import root_keys
from contracts.errors import ConfigError

CONF = Path(__file__).resolve().parents[1]  # The folder of YAML groups, wherever this package is installed

DIR = "--config-dir="
NAME = "--config-name="
"""Words that say where the configuration is found; they are passed on together with the overrides."""


def group_names() -> list[str]:
    """Groups whose YAML files describe parts or whole recipes."""
    return [name for name, field in root_keys().items() if field.metadata.get("group")] + ["experiment"]


def group_options(group: str, *folders: Path) -> list[str]:
    """Options of a group: its YAML files in ``conf/`` or in the given folders, without examples."""
    names = {
        file.relative_to(folder / group).with_suffix("").as_posix()
        for folder in folders or (CONF,)
        for file in (folder / group).rglob("*.yaml")
    }
    return sorted(name for name in names if not name.endswith(".example"))


def group_in_defaults(key: str) -> str:
    """The group that a key of a defaults list names: ``trainer`` in ``override /trainer``."""
    return re.sub(r"^(override|optional)?\s*/?", "", key)


def option_file(group: str, name: str, folders: Sequence[Path]) -> Path:
    """The YAML file of an option."""
    files = [folder / group / f"{name}.yaml" for folder in folders]
    return next((file for file in files if file.is_file()), files[0])


def file_name(file: Path, folders: Sequence[Path]) -> str:
    """A YAML file as messages name it: ``conf/…`` for ours, the whole path for others."""
    first = folders[0].resolve()
    return f"conf/{file.relative_to(first).as_posix()}" if file.is_relative_to(first) else str(file)


def is_search_word(word: str) -> bool:
    """Whether a word says where the configuration is found, and therefore is not an override."""
    return word.startswith((DIR, NAME))


def search_words(words: Sequence[str]) -> list[str]:
    """The words that say where the configuration is found."""
    return [word for word in words if is_search_word(word)]


def search_folders(words: Sequence[str], folder: Path = CONF) -> tuple[Path, ...]:
    """Folders of YAML files: the main one, then those the words add.

    Raises:
        ConfigError: a folder does not exist, or contains a file that the main folder has too.
    """
    found = [folder.resolve()]
    for further in dict.fromkeys(Path(word.removeprefix(DIR)).resolve() for word in words if word.startswith(DIR)):
        if not further.is_dir():
            raise ConfigError(f"--config-dir {further} is not a folder", "Name a folder with files GROUP/OPTION.yaml.")
        for each in found if further not in found else ():
            for name in (name.relative_to(further) for name in sorted(further.rglob("*.yaml"))):
                if (each / name).is_file():
                    raise ConfigError(f"{name} is both in {each} and in {further}", f"Rename {further / name}.")
        if further not in found:
            found.append(further)
    return tuple(found)


def config_names(folders: Sequence[Path]) -> list[str]:
    """Names of main configurations: the YAML files outside the folders of groups."""
    return sorted({file.stem for folder in folders for file in folder.glob("*.yaml")})


def config_name(words: Sequence[str]) -> str:
    """Name of the main configuration, with which composition begins."""
    return next((word.removeprefix(NAME) for word in reversed(words) if word.startswith(NAME)), "config")
