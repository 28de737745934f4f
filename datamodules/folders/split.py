"""Decides which folders of an image tree name a split, and which only look like it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from contracts.errors import DataError

VEHICLES = frozenset([
    "airplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog", "horse",
    "motorbike", "person", "pottedplant", "sheep", "sofa", "tvmonitor",
])  # fmt: skip
"""Object classes of ForenSynths's ProGAN images; beside these, ``train`` is also a class (the vehicle)."""

Split = tuple[str, Path]  # A split and the folder that names it


def split_below(above: Split | None, path: Path, beside: Sequence[str], splits: Mapping[str, str]) -> Split | None:
    """The split that a folder's name gives; None if it gives none.

    The outermost folder that names a split decides. Below it, the name of another split is an ordinary name if it is
    alone: ``test/imagenet/val`` contains test images, and ``test/progan/train`` those of the vehicle.

    Args:
        above: the split named by a folder above.
        path: path of the folder.
        beside: names of all folders in the folder above, including its own.
        splits: folder name in lower case → split.

    Raises:
        DataError: a folder above names another split, and this one certainly names a split.
    """
    name = path.name.lower()
    meaning = splits.get(name)
    if meaning is None:
        return None
    others = {other.lower() for other in beside} - {name}
    among_splits = any(other in splits for other in others)
    if name == "train" and not among_splits and others & VEHICLES:
        return None
    if above is None:
        return meaning, path
    if meaning == above[0] or (not among_splits and (above[0] == "test" or name == "train")):
        return None
    raise DataError(
        f"{path} is named after split {meaning}, but is in {above[1]} of split {above[0]}",
        f"Give one of them as datamodule.path, or set that one name is not a split: "
        f"'datamodule.splits={{{path.name.lower()}: null}}'.",
    )
