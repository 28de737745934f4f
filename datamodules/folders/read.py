"""Reads the meaning of the folders in an image tree."""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from contracts.errors import DataError
from datamodules.folders.split import Split, split_below
from datamodules.folders.walk import SUFFIXES, Folder, PassedOver, walk


@dataclass(frozen=True)
class FolderInfo:
    """What is known, from a folder and those above it, about the images below."""

    before: tuple[str, ...] = ()  # names above the class folder that are neither split nor class
    below: tuple[str, ...] = ()  # names below the class folder that are not a split
    split: Split | None = None  # the split and the folder that names it, if any
    label: int | None = None  # None above a class folder
    generator: str = ""  # the generator, if the class folder is a generator's
    path: Path | None = None  # path of the class folder; None in a root of one class


@dataclass(frozen=True)
class Found:
    """An image, its path, and what its folders say about it; `real` is the file with links resolved."""

    id: str
    where: str
    real: str
    linked: bool
    info: FolderInfo


@dataclass(frozen=True)
class TreeReader:
    """Reads trees by one set of rules; see `datamodules.trees.TreeDataModule` for their meaning."""

    layout: str  # "pairs", "siblings" or "generated"
    labels: Mapping[str, int]  # folder name in lower case → label
    splits: Mapping[str, str]  # folder name in lower case → split
    collections: Collection[str]  # names of collections in lower case
    ignored: PassedOver = field(default_factory=PassedOver)  # files skipped so far
    beside: list[Path] = field(default_factory=list)  # skipped images in a folder beside one of real images

    def read(self, root: Path, apart: Collection[str] = ()) -> list[Found]:
        """Read the images of a tree.

        Args:
            root: root of the tree.
            apart: folders, with links resolved, that are separate roots and are not entered.

        Raises:
            DataError: a class folder is in one of the other class, or has no image; or a folder of one split is in
                one of another.
        """
        found: list[Found] = []
        held: dict[Path, int] = {}
        start = FolderInfo(label=1) if self.layout == "generated" else FolderInfo()
        for folder, info, among_reals in self._infos(root, start, apart):
            if info.label is None:
                images = self._images_in(folder)
                for name in folder.files:
                    self.ignored.add(folder.path / name, "stray image" if name in images else "")
                self.beside.extend([folder.path / name for name in images if among_reals])
                continue
            kept = self._images(folder, info, root, folder.parts)
            found += kept
            if info.path is not None:
                held[info.path] = held.get(info.path, 0) + len(kept)
        for path, count in held.items():
            if not count:
                raise DataError(f"{path} contains no image", "Fill it, or remove it: a set may have only one class.")
        return found

    def read_reals(self, root: Path, prefix: str, apart: Collection[str] = ()) -> list[Found]:
        """Read the images of a root of real images; their ids begin with the prefix.

        Raises:
            DataError: there are none, or a folder of one split is in one of another.
        """
        found: list[Found] = []
        for folder, info, _ in self._infos(root, FolderInfo(label=0), apart):
            found += self._images(folder, info, root, (prefix, *folder.parts))
        if not found:
            raise DataError(f"datamodule.reals: {root} contains no image", "Give roots that contain real images.")
        return found

    def _infos(
        self, root: Path, start: FolderInfo, apart: Collection[str]
    ) -> Iterator[tuple[Folder, FolderInfo, bool]]:
        """Every folder, what is known about it, and whether it is below a sibling of a folder of real images."""
        info: dict[tuple[str, ...], FolderInfo] = {}
        inner: dict[tuple[str, ...], tuple[str, ...]] = {}
        among: dict[tuple[str, ...], bool] = {}
        for folder in walk(root, self.ignored, apart):
            above = folder.parts[:-1]
            inner[folder.parts] = folder.folders
            if folder.parts:
                info[folder.parts] = self._enter(info[above], folder, inner[above], start)
                among[folder.parts] = among[above] or self._has_reals(inner[above])
            else:
                info[()], among[()] = start, False
            yield folder, info[folder.parts], among[folder.parts]

    def _enter(self, above: FolderInfo, folder: Folder, beside: Sequence[str], start: FolderInfo) -> FolderInfo:
        """Add what a folder's name says to what is known from those above it."""
        name = folder.parts[-1]
        label = self.labels.get(name.lower())
        if above.path is not None and label not in (None, above.label):
            raise DataError(
                f"{folder.path} is named after label {label}, but is in {above.path} of label {above.label}",
                "Move it, or set the meaning of its name with datamodule.labels.",
            )
        if start.label is None and above.path is None and label is not None:
            return replace(above, label=label, path=folder.path)
        split = split_below(above.split, folder.path, beside, self.splits)
        if split is not None:
            return replace(above, split=split)
        if above.path is not None:
            return replace(above, below=(*above.below, name))
        info = replace(above, before=(*above.before, name))
        if start.label is None and self.layout == "siblings" and self._has_reals(beside):
            return replace(info, label=1, generator=name, path=folder.path)
        return info

    def _has_reals(self, names: Sequence[str]) -> bool:
        return any(self.labels.get(name.lower()) == 0 for name in names)

    def _images(self, folder: Folder, info: FolderInfo, root: Path, parts: Sequence[str]) -> list[Found]:
        """A folder's images; its other files are noted as ignored."""
        kept = self._images_in(folder)
        for name in sorted(set(folder.files) - set(kept)):
            self.ignored.add(folder.path / name)
        real, found = _real_path(root, folder), []
        for name in kept:
            where = folder.path / name
            linked = folder.linked is not None or name in folder.links
            behind = os.path.realpath(where) if name in folder.links else f"{real}{os.sep}{name}"
            found.append(Found("/".join((*parts, name)), str(where), behind, linked, info))
        return found

    def _images_in(self, folder: Folder) -> list[str]:
        return [name for name in folder.files if Path(name).suffix.lower() in SUFFIXES]


def _real_path(root: Path, folder: Folder) -> str:
    return str(folder.linked or root.resolve().joinpath(*folder.parts))
