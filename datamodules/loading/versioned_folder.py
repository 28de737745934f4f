"""A folder of derived data that only the library versions it was made with may go on with."""

import json
import os
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from contracts.errors import DataError


def library_versions(names: Sequence[str]) -> dict[str, str]:
    """Installed versions; "" for what is not installed."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return found


def versioned_folder(root: Path, settings: Mapping[str, Any], libraries: Sequence[str], key: str) -> Path:
    """The sub-folder for some settings, made where there is none; its ``about.json`` says what it holds.

    Args:
        root: of all settings.
        settings: what the data depend on, in plain containers.
        libraries: distributions they depend on, too.
        key: of the configuration that names the root, for messages.

    Raises:
        DataError: the sub-folder was made with other versions of the libraries.
    """
    text = json.dumps(dict(settings), sort_keys=True)
    folder = root / blake2b(text.encode(), digest_size=8).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    file, here = folder / "about.json", library_versions(libraries)
    if not file.is_file():
        part = file.with_name(f".about.{os.getpid()}")
        part.write_text(json.dumps({"settings": dict(settings), "versions": here}, indent=1, sort_keys=True))
        part.replace(file)
    try:
        there = dict(json.loads(file.read_text())["versions"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file} cannot be read: {error}", f"Delete {folder}.") from error
    changed = [f"{name} {there.get(name)} → {here[name]}" for name in here if there.get(name) != here[name]]
    if changed:
        raise DataError(
            f"the cache {folder} was written with other libraries ({', '.join(changed)}), and what it holds would not "
            "be what is made here",
            f"Give another folder ({key}), delete that one, or install the versions it was made with.",
        )
    return folder


def room(file: Path, length: int) -> Path:
    """Makes a (sparse) file at least so long; what it holds stays."""
    with file.open("ab") as stream:
        if stream.tell() < length:
            os.truncate(stream.fileno(), length)
    return file
