"""The files of several roots: each root has its own files, and no file has two labels."""

import os
from collections.abc import Sequence
from pathlib import Path

from contracts.errors import DataError
from datamodules.folders.read import Found


def apart(root: Path, roots: Sequence[Path]) -> set[str]:
    """The other roots, with links resolved: their files are not read as part of ``root``.

    Raises:
        DataError: two roots are the same folder.
    """
    real: dict[str, Path] = {}
    for one in roots:
        behind = os.path.realpath(one)
        if behind in real:
            raise DataError(
                f"{real[behind]} and {one} are the same folder", "Name each folder once in datamodule.path and reals."
            )
        real[behind] = one
    return real.keys() - {os.path.realpath(root)}


def prefixes(path: Path, roots: Sequence[Path]) -> dict[Path, str]:
    """First part of the ids of each further root: its name, and enough of the path above to distinguish it from others.

    Others are the other roots and folders of the same name in ``path``.
    """
    found: dict[Path, str] = {}
    for root in roots:
        length, parts = 1, root.parts
        others = [other.parts for other in roots if other != root]

        def ambiguous(end: Sequence[str], length: int, others: Sequence[Sequence[str]] = others) -> bool:
            inside = path.joinpath(*end)
            mine = inside.exists() and not any(inside.samefile(one) for one in roots)
            return mine or any(tuple(other[-length:]) == tuple(end) for other in others)

        if ambiguous(parts[-1:], 1) and not root.is_absolute():
            parts = root.absolute().parts
            others[:] = [tuple(Path(*other).absolute().parts) for other in others]
        while length < len(parts) and ambiguous(parts[-length:], length):
            length += 1
        found[root] = "/".join(parts[-length:])
    return found


def refuse_two_labels(images: Sequence[Found]) -> None:
    """Raise a DataError if links make the same file both real and generated."""
    if not any(image.linked for image in images):
        return
    seen: dict[str, Found] = {}
    for image in images:
        first = seen.setdefault(image.real, image)
        if first.info.label != image.info.label:
            names = {0: "real", 1: "generated"}
            raise DataError(
                f"{first.where} ({names[first.info.label or 0]}) and {image.where} ({names[image.info.label or 0]}) "
                f"are the same file: {image.real}",
                "Remove one of the links, or the root that leads to it.",
            )
