"""Which folders of an image tree name a split, and which of them merely look like it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from contracts.errors import DataError

VEHICLES = frozenset([
    "airplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog", "horse",
    "motorbike", "person", "pottedplant", "sheep", "sofa", "tvmonitor",
])  # fmt: skip
"""Classes of objects that ForenSynths's ProGAN images come in, beside which ``train`` is a class too: the vehicle."""

Split = tuple[str, Path]
"""A split and the folder that names it."""


def split_below(above: Split | None, path: Path, beside: Sequence[str], splits: Mapping[str, str]) -> Split | None:
    """The split that a folder's own name says; None where it says none.

    The outermost folder that names a split decides. Below it a name of another split is an ordinary name where it is
    alone: ``test/imagenet/val`` holds test images, and ``test/progan/train`` those of the vehicle.

    Args:
        above: the split named by a folder above.
        path: of the folder.
        beside: names of all folders in the folder above, its own among them.
        splits: folder name in lower case to split.

    Raises:
        DataError: a folder above names another split, and this one is surely a split's.
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
        f"{path} is named for split {meaning} and lies in {above[1]}, of split {above[0]}",
        f"Give one of them as datamodule.path; or say that one name means no split: "
        f"'datamodule.splits={{{path.name.lower()}: null}}'.",
    )
