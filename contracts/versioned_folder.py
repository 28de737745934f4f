"""A folder of derived data that may only be used with the library versions that made it."""

import json
import os
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from contracts.errors import DataError


def library_versions(names: Sequence[str]) -> dict[str, str]:
    """Installed versions; "" for a library that is not installed."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return found


def versioned_folder(root: Path, settings: Mapping[str, Any], libraries: Sequence[str], key: str) -> Path:
    """The subfolder for some settings, created if missing; its ``about.json`` describes it.

    Args:
        root: folder of all settings.
        settings: all settings that the data depend on, in plain containers.
        libraries: distributions that the data depend on.
        key: configuration key that sets the root, for messages.

    Raises:
        DataError: the subfolder was made with other versions of the libraries.
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
            f"the cache {folder} was written with other libraries ({', '.join(changed)}), so its content would differ "
            "from what is computed here",
            f"Give another folder ({key}), delete that one, or install the versions that wrote it.",
        )
    return folder


def grown(file: Path, length: int) -> Path:
    """The file, extended (sparsely) to at least this length in bytes; its content is kept."""
    with file.open("ab") as stream:
        if stream.tell() < length:
            os.truncate(stream.fileno(), length)
    return file
