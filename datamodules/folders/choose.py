"""Which of a tree's images are used, in which split, and what is said of names that look as if they meant more."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from contracts.errors import DataError, nearest
from datamodules.folders.rows import TreeImage
from datamodules.tables.folds import fold_splits
from datamodules.tables.groups import warn


def in_folds(images: Sequence[TreeImage], seed: int) -> list[TreeImage]:
    """The images dealt into splits, whole groups where there are any.

    Raises:
        DataError: folders name splits, or there are too few images or groups.
    """
    if named := [image for image in images if image.split]:
        raise DataError(
            f"datamodule.split=folds deals images into splits, but folders name those of {len(named)} of "
            f"{len(images)} images, such as {named[0].where} ({named[0].split})",
            "Leave datamodule.split out; or say that the folder's name means no split: "
            "'datamodule.splits={NAME: null}'.",
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
    """The images without those of some splits that lie below no wanted folder.

    Real images in a set of their own stay where a wanted set has none, unless some of these are wanted by name; all
    real images do where none are in a set of their own.

    Args:
        images: of a tree.
        key: that names the folders.
        wanted: names of folders, in any case.
        splits: where they count.
        collections: names, in lower case, of folders that are no sets.
        all_reals: real images are for all sets alike.

    Raises:
        DataError: there is no folder of such a name.
    """
    known = {name for image in images if image.split in splits for name in image.source.split("/")} - {""}
    for name in wanted:
        if name.lower() not in {one.lower() for one in known}:
            side = "the test" if "test" in splits else "the training or validation"
            raise DataError(f"{key} names {name!r}, which is no folder of {side} images", nearest(name, known))
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
    """The set of an image: the first name that is no collection."""
    return next((name for name in image.source.lower().split("/") if name not in collections), "")


def warn_of_neighbours(root: Path, beside: Sequence[Path]) -> None:
    """Says how images would be read that were passed over beside folders of real images."""
    warn(
        f"{root}: {len(beside)} images lie in no class folder, but beside one of real images, such as {beside[0]}\n"
        "  → To read such folders as generators: datamodule.layout=siblings; or name their class: "
        f"'datamodule.labels={{{beside[0].parent.name.lower()}: 1}}'."
    )


def warn_of_shared_groups(images: Sequence[TreeImage]) -> None:
    """Says which groups, or files that links lead to, are trained and tested on."""
    splits: dict[str, set[str]] = {}
    for image in images:
        if image.group:
            splits.setdefault(image.group, set()).add(image.split)
    shared = [group for group, found in splits.items() if "test" in found and len(found) > 1]
    if shared:
        warn(
            f"{len(shared)} groups have images both for training or validation and for testing, such as {shared[0]}: "
            "the test is of images that are partly known\n  → Move them into one split, or have the images dealt: "
            "datamodule.split=folds."
        )
