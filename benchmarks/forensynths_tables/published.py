"""The data files of the tables: sets, folder names, options, and published results."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from contracts.errors import ConfigError, nearest

FOLDER = Path(__file__).parent / "tables"

Figures = tuple[float | None, float | None]  # Accuracy and average precision in percent; None where it is not published


@dataclass(frozen=True)
class Column:
    """Published results of one method on a table."""

    sets: tuple[Figures, ...]  # figures of each set, in the table's order; empty where only the mean is published
    mean: Figures  # as printed


@dataclass(frozen=True)
class PublishedTable:
    """One data file."""

    name: str  # of the file
    title: str  # heading of the table
    folders: tuple[str, ...]  # names of a folder that holds the table's sets
    size_policy: str  # name of the input the figures were measured with (see `protocol.SIZE_POLICIES`)
    source: str  # where the figures are published
    note: str  # which figures cannot be reproduced, and why
    sets: Mapping[str, tuple[str, ...]]  # name of each set to further names its folder has in users' copies
    reals: Mapping[str, tuple[str, ...]]  # for a set (or "*"), folders of its real images if they are in another set
    published: Mapping[str, Column]  # method to its figures
    beside: tuple[str, ...] = ()  # names of further sets of the same corpus, of which nothing is published here

    def set_of(self, folder: str) -> str | None:
        """The set that a folder's name stands for in upper or lower case; None for any other folder."""
        name = folder.lower()
        return next((s for s, more in self.sets.items() if name in {s.lower(), *(m.lower() for m in more)}), None)

    def others(self) -> "PublishedTable":
        """A table for the corpus's sets that this one does not name, seen as this table's sets are."""
        return replace(
            self, name=f"{self.name}_others", title=f"{self.title}: other sets", folders=(), source="", note="",
            sets={}, published={}, beside=(),
        )  # fmt: skip

    def figures(self, method: str, name: str) -> Figures:
        """Published results of a method on a set."""
        column = self.published.get(method)
        return column.sets[list(self.sets).index(name)] if column and column.sets else (None, None)


LOOSE = PublishedTable("other_sets", "Other sets", (), "detector", "", "", {}, {}, {})
"""For sets that no table names and that are in no table's folder; scored through the detector's own view."""


def names() -> list[str]:
    """All tables."""
    return sorted(file.stem for file in FOLDER.glob("*.yaml"))


@cache
def load(name: str) -> PublishedTable:
    """Reads one table.

    Raises:
        ConfigError: no table has that name.
    """
    file = FOLDER / f"{name}.yaml"
    if name not in names():
        raise ConfigError(f"benchmark.tables names {name!r}", nearest(name, names()))
    content: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    sets = {str(key): tuple(map(str, more)) for key, more in content["sets"].items()}
    return PublishedTable(
        name=name,
        title=content["title"],
        folders=tuple(content["folders"]),
        size_policy=content["input"],
        source=content["source"],
        note=" ".join(str(content["note"]).split()),
        sets=sets,
        reals={str(key): tuple(map(str, more)) for key, more in content.get("reals", {}).items()},
        beside=tuple(content.get("beside", ())),
        published={key: _column(str(text), len(sets), f"{name}: {key}") for key, text in content["published"].items()},
    )


def _column(text: str, count: int, place: str) -> Column:
    """``ACC/AP ACC/AP … | ACC/AP``, one per set and their mean; AP may be missing, and so may all but the mean."""
    cells, _, mean = text.partition("|")
    figures = tuple(_figures(cell) for cell in cells.split())
    if len(figures) not in (0, count):
        raise ConfigError(
            f"{place}: {len(figures)} figures for {count} sets", "Correct the table's file: give one figure per set."
        )
    return Column(figures, _figures(mean))


def _figures(cell: str) -> Figures:
    accuracy, _, precision = cell.strip().partition("/")
    return float(accuracy), float(precision) if precision else None
