"""Selects a tree's images and their splits, and warns of neighbouring images and of shared groups."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from contracts.errors import DataError, nearest
from contracts.words import counted
from datamodules.folders.rows import TreeImage
from datamodules.tables.folds import fold_splits
from datamodules.tables.groups import warn


def in_folds(images: Sequence[TreeImage], seed: int) -> list[TreeImage]:
    """The images divided into splits, keeping groups together.

    Raises:
        DataError: folders name splits, or there are too few images or groups.
    """
    if named := [image for image in images if image.split]:
        raise DataError(
            f"datamodule.split=folds divides images into splits, but folders name the splits of {len(named)} of "
            f"{len(images)} images, such as {named[0].where} ({named[0].split})",
            "Remove datamodule.split, or set that the folder's name is not a split: 'datamodule.splits={NAME: null}'.",
        )
    groups = [image.group for image in images]
    dealt = fold_splits([image.label for image in images], groups if any(groups) else None, seed)
    return [replace(image, split=split) for image, split in zip(images, dealt, strict=True)]


def chosen(
    images: Sequence[TreeImage],
    key: str,
    wanted: Sequence[str],
    splits: Sequence[str],
    collections: Collection[str],
    all_reals: bool,
) -> list[TreeImage]:
    """The images, except those of the given splits that are below none of the wanted folders.

    Real images in a separate set are kept if a wanted set has none, unless such sets are wanted by name; all
    real images are kept if none are in a separate set.

    Args:
        images: images of a tree.
        key: configuration key that lists the folders.
        wanted: folder names, in any case.
        splits: splits that the selection applies to.
        collections: names, in lower case, of folders that are not sets.
        all_reals: whether real images belong to all sets.

    Raises:
        DataError: there is no folder of this name.
    """
    known = {name for image in images if image.split in splits for name in image.source.split("/")} - {""}
    for name in wanted:
        if name.lower() not in {one.lower() for one in known}:
            side = "the test" if "test" in splits else "the training or validation"
            raise DataError(f"{key} lists {name!r}, which is not a folder of {side} images", nearest(name, known))
    names = {name.lower() for name in wanted}
    kept: set[str] = set()
    for split in splits:
        here = [image for image in images if image.split == split]
        mine = [image for image in here if names & set(image.source.lower().split("/"))]
        kept |= {image.id for image in mine}
        if all_reals:
            kept |= {image.id for image in here if image.label == 0}
            continue
        titles = {image.id: _title(image, collections) for image in here}
        made = {titles[image.id] for image in here if image.label == 1}
        reals = {image.id for image in here if image.label == 0}
        alone = {name for name in reals if titles[name] not in made} or reals
        without = {titles[i.id] for i in mine if i.label == 1} - {titles[i.id] for i in mine if i.label == 0}
        if without and not alone & kept:
            kept |= alone
    return [image for image in images if image.split not in splits or image.id in kept]


def _title(image: TreeImage, collections: Collection[str]) -> str:
    """The set of an image: the first name that is not a collection."""
    return next((name for name in image.source.lower().split("/") if name not in collections), "")


def warn_of_neighbours(root: Path, beside: Sequence[Path]) -> None:
    """Warn of skipped images beside folders of real images, and say how to read them."""
    warn(
        f"{root} has {counted(len(beside), 'image')} in no class folder but beside one of real images, such as "
        f"{beside[0]}\n  → To read such folders as generators, set datamodule.layout=siblings; or set their class: "
        f"'datamodule.labels={{{beside[0].parent.name.lower()}: 1}}'."
    )


def warn_of_shared_groups(images: Sequence[TreeImage]) -> None:
    """Warn of groups, or linked files, that are both trained and tested on."""
    splits: dict[str, set[str]] = {}
    for image in images:
        if image.group:
            splits.setdefault(image.group, set()).add(image.split)
    shared = [group for group, found in splits.items() if "test" in found and len(found) > 1]
    if shared:
        warn(
            f"training or validation shares {counted(len(shared), 'group')} with testing, such as {shared[0]}: "
            "test images are partly known from training\n  → Move them into one split, or divide all images anew: "
            "datamodule.split=folds."
        )
