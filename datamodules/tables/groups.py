"""Groups of images that belong together, such as the frames of a video, and a warning if names suggest groups."""

import logging
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import PurePath

from contracts.errors import ConfigError, DataError
from contracts.process.ranks import rank_zero_only

logger = logging.getLogger(__name__)

NUMBERED = re.compile(r"(.*?)(\d+)(\D*)")  # The text before and after a name's last number
FRAME = re.compile(r"(.*?)(?:[ _.-]*(?:frames?|frm)|[ _.-]+(?:fr|f))[ _.-]*(\d+)", re.IGNORECASE)
CLIP = re.compile(r"((?:video|vid|clip|sequence|seq|scene|shot)[ _.-]*\d+)\D+(\d+)", re.IGNORECASE)
PARTS = re.compile(
    r"(?:video|vid|clip|sequence|seq|scene|shot|frames?|subject|person|id|batch|shard|part|chunk|folder|dir|set)?"
    r"[ _.-]*\d+(?:[ _.-]+\d+)*",
    re.IGNORECASE,
)
"""Names of numbered parts of a whole, such as `video_03` and `0012`, but not `dalle3`."""


class Groups:
    """The rule for images that belong together.

    Args:
        rule: a number n groups images below one folder n levels above the file (1: the folder that contains it), both
            classes together if both have a folder of that name; a pattern groups images in whose ids it finds the same
            text (that of its parentheses, if it has any); None for no groups.

    Raises:
        ConfigError: the number is below 1, or the pattern is invalid.
    """

    def __init__(self, rule: int | str | None) -> None:
        self.rule = rule
        self.level: int | None = None
        self.pattern: re.Pattern[str] | None = None
        if isinstance(rule, bool):
            raise ConfigError(f"datamodule.group={rule}", "Give a number of folder levels, or a pattern.")
        if isinstance(rule, int) or (rule is not None and re.fullmatch(r"-?\d+", rule)):
            self.level = int(rule)
            if self.level < 1:
                raise ConfigError(f"datamodule.group={rule}", "Give 1 for the folder that contains an image, or more.")
        elif rule is not None:
            try:
                self.pattern = re.compile(rule)
            except re.error as error:
                raise ConfigError(
                    f"datamodule.group={rule!r} is not a pattern: {error}", "See Python's re module, or give a number."
                ) from error

    def __bool__(self) -> bool:
        return self.level is not None or self.pattern is not None

    def of(self, before: Sequence[str], below: Sequence[str], identity: str) -> str:
        """The group of an image; "" if it has none.

        Args:
            before: names of folders between root and class folder.
            below: names of folders between class folder and file.
            identity: the image's id.
        """
        if self.level is not None:
            kept = len(below) - self.level + 1
            return "/".join((*before, *below[:kept])) if kept > 0 else ""
        found = self.pattern.search(identity) if self.pattern is not None else None
        if found is None:
            return ""
        return "/".join(part or "" for part in found.groups()) if found.groups() else found[0]

    def check(self, ids: Sequence[str], found: Sequence[str]) -> None:
        """Warn where groups seem to be missing.

        Raises:
            DataError: there is a rule, but it groups no image.
        """
        if not self:
            if not any(found) and (example := series(ids)):
                warn(
                    f"names look like frames of a series, such as {example}, but each image is treated as independent"
                    "\n  → To keep a series in one split: datamodule.group=1 for one folder per series, or a pattern "
                    "found in paths, such as 'datamodule.group=\"video_[0-9]+\"'."
                )
            return
        alone = [name for name, group in zip(ids, found, strict=True) if not group]
        if alone and len(alone) == len(ids):
            raise DataError(
                f"datamodule.group={self.rule!r} groups none of the {len(ids)} images, such as {alone[0]}",
                "Give the number of folder levels between class folder and image, or a pattern found in paths like "
                "this.",
            )
        if alone:
            warn(
                f"datamodule.group={self.rule!r}: {len(alone)} of {len(ids)} images are in no group, such as "
                f"{alone[0]}; each is a group of its own"
            )


@rank_zero_only
def warn(text: str) -> None:
    """Log a warning once, on rank zero only."""
    logger.warning("%s", text)


def series(ids: Sequence[str]) -> str:
    """A folder or name that looks like the frames of a series, for a warning; "" if there is none.

    These are sibling folders whose names differ only by a number and that contain consecutively numbered images, or
    explicit names (``video_01_0007``, ``a_frame12``), of at least two series.
    """
    folders: dict[tuple[str, str], list[str]] = defaultdict(list)
    files: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for identity in ids:
        path = PurePath(identity)
        number = NUMBERED.fullmatch(path.stem)
        folder = str(path.parent)
        if number is not None:
            files[folder]["" if not number[1] else number[1]].append(int(number[2]))
        named = CLIP.search(path.stem) or FRAME.fullmatch(path.stem)
        if named is not None and named[1]:
            folders[folder, "named"].append(named[1])
    for (folder, _), names in folders.items():
        repeated = [name for name in dict.fromkeys(names) if names.count(name) > 1]
        if len(repeated) > 1:
            return f"{folder}/{repeated[0]}…" if folder != "." else f"{repeated[0]}…"
    alike: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for folder, found in files.items():
        path = PurePath(folder)
        number = NUMBERED.fullmatch(path.name)
        if number is not None and any(_consecutive(numbers) for numbers in found.values()):
            alike[str(path.parent), number[1], number[3]].append(folder)
    return next((together[0] for together in alike.values() if len(together) > 1), "")


def _consecutive(numbers: Sequence[int]) -> bool:
    ordered = sorted(set(numbers))
    return len(ordered) > 1 and len(ordered) == ordered[-1] - ordered[0] + 1
