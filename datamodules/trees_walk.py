"""Every file below a folder, links followed, with the folder names on the way."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from contracts.errors import DataError


@dataclass(frozen=True)
class Folder:
    """A folder of a tree.

    Attributes:
        parts: names of the folders between the root and it, itself last; () for the root.
        path: where it is.
        files: names of the files in it, sorted; hidden ones are left out.
        folders: names of the folders in it, sorted; hidden ones and links back up the tree are left out.
        linked: where its files really are, if a link led here; None elsewhere.
    """

    parts: tuple[str, ...]
    path: Path
    files: tuple[str, ...]
    folders: tuple[str, ...]
    linked: Path | None


def walk(root: Path) -> Iterator[Folder]:
    """All folders from the root down, each before those in it, in sorted order.

    A folder that several links lead to is seen as often; one that leads back to a folder above itself is not entered.

    Raises:
        DataError: a folder cannot be read.
    """
    yield from _walk(root, (), frozenset(), None)


def _walk(path: Path, parts: tuple[str, ...], above: frozenset[str], linked: Path | None) -> Iterator[Folder]:
    try:
        real = os.path.realpath(path)
        with os.scandir(path) as entries:
            found = sorted((entry.name, entry.is_dir(), entry.is_symlink()) for entry in entries)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}", "Check its permissions.") from error
    above = above | {real}
    folders = []
    files = []
    for name, is_folder, is_link in found:
        if name.startswith("."):
            continue
        if not is_folder:
            files.append(name)
        elif not (is_link and os.path.realpath(path / name) in above):
            folders.append((name, is_link))
    yield Folder(parts, path, tuple(files), tuple(name for name, _ in folders), linked)
    for name, is_link in folders:
        inner = path / name
        target = Path(os.path.realpath(inner)) if is_link or linked is not None else None
        yield from _walk(inner, (*parts, name), above, target)
