"""Lists all files below a folder, following links, and those that no data module reads."""

import os
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from glob import glob
from pathlib import Path

from contracts.errors import DataError
from contracts.names import glob_pattern

SUFFIXES = frozenset(
    [".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif",
     ".hif", ".jxl"]
)  # fmt: skip
"""Suffixes of the images in a folder or glob, in any case."""

LEFTOVERS = frozenset([
    "__macosx", "icon\r",  # macOS; its other files begin with a dot
    "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "$recycle.bin",
    "system volume information",  # Windows
    "@eadir", "@tmp", "@recycle", "@recently-snapshot", "#recycle", "#snapshot",  # network storage
    "lost+found",
])  # fmt: skip
"""Names, in lower case, of files and folders that operating systems create on their own."""


def is_hidden(name: str) -> bool:
    """Whether a file or folder is skipped because of its name: it begins with a dot, or the system created it."""
    return name.startswith(".") or name.lower() in LEFTOVERS


class PassedOver(list[Path]):
    """Files and folders that a data module skips; its text gives the number of each kind."""

    def __init__(self) -> None:
        super().__init__()
        self._kinds: dict[Path, str] = {}

    def add(self, path: Path, kind: str = "") -> None:
        """Note a path, once; without a kind, the kind is derived from its name."""
        if path not in self._kinds:
            self.append(path)
            self._kinds[path] = kind

    def include(self, other: "PassedOver") -> None:
        """Note all paths of another list."""
        for path, kind in other._kinds.items():
            self.add(path, kind)

    def __str__(self) -> str:
        """``3 .heic files, 2 hidden files``; "" if nothing was skipped."""
        counts = Counter(self._kinds[path] or _kind(path) for path in self)
        return ", ".join(f"{count} {kind}{'s' if count > 1 else ''}" for kind, count in sorted(counts.items()))


def _kind(path: Path) -> str:
    if is_hidden(path.name):
        return "hidden folder" if path.is_dir() else "hidden file"
    return f"{path.suffix.lower()} file" if path.suffix else "file without a suffix" if path.is_file() else "folder"


@dataclass(frozen=True)
class Folder:
    """A folder of a tree."""

    parts: tuple[str, ...]  # names of the folders from the root down to it, itself last; () for the root
    path: Path  # path of the folder
    files: tuple[str, ...]  # names of the files in it, sorted; hidden ones are left out
    folders: tuple[str, ...]  # names of the folders in it, sorted; hidden ones and links back up the tree are left out
    linked: Path | None  # the resolved path, if a link led here; else None
    links: frozenset[str] = frozenset()  # files that are links


def walk(root: Path, passed: PassedOver | None = None, apart: Collection[str] = ()) -> Iterator[Folder]:
    """All folders from the root down, parents first, in sorted order; the root is read whatever its name.

    A folder that several links lead to is visited through each; a link back to a folder above itself, including the
    root's parents, is not followed.
    A broken link counts as a file, so that reading it gives the error.

    Args:
        root: folder to begin with.
        passed: collects what is skipped: hidden files and folders (not entered, since snapshots and caches may hold
            many times the folder's content), links back up the tree, and special files (pipes, sockets, devices).
        apart: folders, with links resolved, that are not entered.

    Raises:
        DataError: a folder cannot be read.
    """
    above = frozenset(map(str, Path(os.path.realpath(root)).parents))
    yield from _walk(root, (), above, None, PassedOver() if passed is None else passed, apart)


def _walk(
    path: Path,
    parts: tuple[str, ...],
    above: frozenset[str],
    linked: Path | None,
    passed: PassedOver,
    apart: Collection[str],
) -> Iterator[Folder]:
    try:
        real = os.path.realpath(path)
        if parts and real in apart:
            return
        with os.scandir(path) as entries:
            found = sorted((entry.name, entry.is_symlink(), _sort(entry)) for entry in entries)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}", "Check its permissions.") from error
    above = above | {real}
    folders = []
    files = []
    for name, is_link, sort in found:
        if is_hidden(name):
            passed.add(path / name)
        elif sort == "file":
            files.append(name)
        elif sort == "special file":
            passed.add(path / name, sort)
        elif is_link and os.path.realpath(path / name) in above:
            passed.add(path / name, "circular link")
        else:
            folders.append((name, is_link))
    links = frozenset(name for name, is_link, sort in found if is_link and sort == "file")
    yield Folder(parts, path, tuple(files), tuple(name for name, _ in folders), linked, links)
    for name, is_link in folders:
        inner = path / name
        target = Path(os.path.realpath(inner)) if is_link or linked is not None else None
        yield from _walk(inner, (*parts, name), above, target, passed, apart)


def _sort(entry: os.DirEntry[str]) -> str:
    """Kind of an entry; special files are never opened, since reading a pipe could block forever."""
    try:
        if entry.is_dir():
            return "folder"
        dangling = entry.is_symlink() and not os.path.exists(entry)  # noqa: PTH110
        return "file" if dangling or entry.is_file() else "special file"
    except OSError:  # such as a loop of links
        return "file"


def below(root: Path, suffixes: Collection[str], passed: PassedOver) -> list[Path]:
    """All files below a folder with one of the suffixes, sorted; all others are skipped.

    A folder that several links lead to is read once.

    Raises:
        DataError: a folder cannot be read.
    """
    files: list[Path] = []
    seen: set[str] = set()
    for folder in walk(root, passed):
        real = os.path.realpath(folder.path)
        if real in seen:
            passed.add(folder.path, "second link to a folder")
            continue
        seen.add(real)
        for name in folder.files:
            if Path(name).suffix.lower() in suffixes:
                files.append(folder.path / name)
            else:
                passed.add(folder.path / name)
    return sorted(files)


def unlisted(root: Path, listed: Collection[Path], passed: PassedOver) -> None:
    """Note as skipped all files below a folder except listed ones and JSON files, which describe the data set."""
    known = set(listed)
    for folder in walk(root, passed):
        for file in (folder.path / name for name in folder.files):
            if file not in known and file.suffix != ".json":
                passed.add(file)


def matches(pattern: Path, passed: PassedOver) -> tuple[Path, list[Path]]:
    """The folder before the first wildcard, and the matching files, sorted; hidden ones only if the pattern names them.

    Args:
        pattern: pattern for `glob.glob`, with ``**`` for any number of folders.
        passed: collects matches that are not files.
    """
    base, text = glob_pattern(pattern)
    named = pattern.parts[len(base.parts) :]
    dotted = any(part.startswith(".") for part in named)
    found = sorted(Path(name) for name in glob(text, recursive=True))  # noqa: PTH207 - a closing ** of Path.glob finds folders only
    files: list[Path] = []
    folders: list[Path] = []
    for path in found:
        inner = path.relative_to(base).parts
        if any(is_hidden(part) and part not in named and not (dotted and part.startswith(".")) for part in inner):
            passed.add(path)
        elif path.is_dir():
            folders.append(path)
        elif path.is_file() or not path.exists():
            files.append(path)
        else:
            passed.add(path, "special file")
    entered = {parent for file in files for parent in file.parents} | {base}
    for folder in folders:
        if folder not in entered and any(os.scandir(folder)):
            passed.add(folder)  # the pattern matches no file in it
    return base, files
