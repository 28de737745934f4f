"""Loose images to be scored: one file, a folder, a glob, a text list or a CSV table."""

import csv
import os
from glob import glob, has_magic
from pathlib import Path

from contracts.errors import DataError, nearest
from datamodules.image_datamodule import ImageDataModule
from datamodules.manifest import Manifest
from datamodules.stores import FileStore

SUFFIXES = frozenset([".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"])
"""Which files of a folder or glob are images, in any case."""

PATH_COLUMNS = ("path", "file", "filename", "image")
OTHER_COLUMNS = ("id", "label", "generator", "source")
LABEL_NAMES = {"": -1, "-1": -1, "0": 0, "1": 1, "real": 0, "generated": 1}


class FolderDataModule(ImageDataModule):
    """Every image that ``path`` names, as test images of unknown label.

    * an image: that one, whatever its suffix;
    * a folder: all images below it, links followed; ids are paths relative to it;
    * a glob (quote it from the shell; ``**`` crosses folders): all images it matches;
    * a ``.txt`` list: a path a line, ids as written; empty lines and those starting with ``#`` are passed over;
    * a ``.csv`` table: a column ``path`` (or file, filename, image), and ``id, label, generator, source`` where known.

    Relative paths in a list or table are looked for beside it, then in the working folder.

    Attributes:
        ignored: files of a folder or glob that are no images by their suffix, or hidden.
    """

    ignored: list[Path]

    def build_manifest(self) -> Manifest:
        """Look what there is.

        Raises:
            DataError: if nothing is there, nothing matches, no image is among it, a listed file is missing (all are
                named), or a table has no column of paths or an unknown label.
        """
        self.ignored = []
        if has_magic(str(self.path)) and not self.path.exists():
            return self._images(*_matches(self.path))
        if self.path.is_dir():
            return self._images(self.path, _below(self.path))
        if not self.path.is_file():
            raise DataError(
                f"datamodule.path={self.path}: no such file or folder", "Give an image, folder, glob, .txt or .csv."
            )
        if self.path.suffix.lower() == ".csv":
            return _table(self.path)
        if self.path.suffix.lower() == ".txt":
            lines = self.path.read_text(encoding="utf-8-sig").splitlines()
            names = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
            return _test_images(self.path, {"id": names, "where": _found(self.path, names)})
        return _test_images(self.path, {"id": [self.path.name], "where": [str(self.path)]})

    def build_store(self, manifest: Manifest) -> FileStore:
        """Reads the files."""
        return FileStore(manifest)

    def _images(self, base: Path, files: list[Path]) -> Manifest:
        images = [file for file in files if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")]
        kept = set(images)
        self.ignored = [file for file in files if file not in kept]
        if not images:
            others = f", only {len(files)} other files such as {files[0].name}" if files else ""
            raise DataError(
                f"datamodule.path={self.path}: no images{others}", f"Images end in {', '.join(sorted(SUFFIXES))}."
            )
        ids = [file.relative_to(base).as_posix() for file in images]
        return _test_images(self.path, {"id": ids, "where": [str(file) for file in images]})


def _below(folder: Path) -> list[Path]:
    files: list[Path] = []
    seen: set[Path] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        here = Path(place)
        if here.resolve() in seen:  # a link back up the tree
            folders.clear()
            continue
        seen.add(here.resolve())
        files += [here / name for name in names]
    return sorted(files)


def _matches(pattern: Path) -> tuple[Path, list[Path]]:
    """The folder before the first wildcard, and the files that match."""
    fixed = Path(*[part for k, part in enumerate(pattern.parts) if not any(map(has_magic, pattern.parts[: k + 1]))])
    found = glob(str(pattern), recursive=True)  # noqa: PTH207 - a closing ** of Path.glob finds folders only
    return fixed, sorted(path for path in map(Path, found) if path.is_file())


def _table(path: Path) -> Manifest:
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        header = list(reader.fieldnames or [])
        rows = list(reader)
    paths = [name for name in PATH_COLUMNS if name in header]
    if len(paths) != 1:
        raise DataError(
            f"{path} has {'several columns' if paths else 'no column'} of paths among {', '.join(header) or 'nothing'}",
            f"Name one column {' or '.join(PATH_COLUMNS)}.",
        )
    for line, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise DataError(f"{path}: row {line} has not {len(header)} cells", "Quote cells that hold commas.")
        label = row.get("label", "").strip().lower()
        if label not in LABEL_NAMES:
            raise DataError(f"{path}: row {line} has label {row['label']!r}", nearest(label, LABEL_NAMES.keys() - {""}))
    names = [row[paths[0]].strip() for row in rows]
    columns: dict[str, list[str] | list[int]] = {"id": names, "where": _found(path, names)}
    columns |= {name: [row[name].strip() for row in rows] for name in OTHER_COLUMNS if name in header}
    if "label" in header:
        columns["label"] = [LABEL_NAMES[row["label"].strip().lower()] for row in rows]
    return _test_images(path, columns)


def _found(listing: Path, names: list[str]) -> list[str]:
    """Where listed files are."""
    found: list[str] = []
    missing: list[str] = []
    for name in names:
        places = [place for place in (listing.parent / name, Path(name)) if place.is_file()]
        if places:
            found.append(str(places[0]))
        else:
            missing.append(name)
    if missing:
        raise DataError(
            f"{listing} names {len(missing)} files that are missing:\n    " + "\n    ".join(missing),
            f"Paths are relative to {listing.parent} or to the working folder, or absolute.",
        )
    return found


def _test_images(path: Path, columns: dict[str, list[str] | list[int]]) -> Manifest:
    count = len(columns["id"])
    if not count:
        raise DataError(f"datamodule.path={path}: it names no image", "List at least one.")
    return Manifest.from_columns({"label": [-1] * count, "split": ["test"] * count} | columns)
