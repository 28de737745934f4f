"""Which images belong to which set of which table, by the names of the folders they lie in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.forensynths_tables.published import PublishedTable

Positions = NDArray[np.int64]


@dataclass(frozen=True)
class Assigned:
    """The images of one table.

    Attributes:
        table: its data file.
        sets: each set that is there to its images, in the table's order.
        others: names of sets below the table's own folder that it does not name; they are left out.
    """

    table: PublishedTable
    sets: Mapping[str, Positions]
    others: tuple[str, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """Sets of the table that are not there."""
        return tuple(name for name in self.table.sets if name not in self.sets)

    @property
    def images(self) -> Positions:
        """All images of the table, each once, ascending."""
        return np.unique(np.concatenate([*self.sets.values(), np.zeros(0, np.int64)]))


def assign(
    source: Sequence[str] | NDArray[np.object_] | NDArray[np.str_],
    generator: Sequence[str] | NDArray[np.object_] | NDArray[np.str_],
    labels: NDArray[np.integer],
    tables: Sequence[PublishedTable],
) -> list[Assigned]:
    """The tables that any of the images belong to, in the order given.

    A folder named for a table holds that table's sets. Where no such folder is above, sets go to the table that they
    fill best (number found times share found), then those left over to the next: a set counts in one table only.

    Args:
        source: [N] folder names joined by "/".
        generator: [N] "" for real images.
        labels: [N] 0, 1 or -1.
        tables: where to look.
    """
    keys, index = np.unique([f"{s}/{g}" for s, g in zip(source, generator, strict=True)], return_inverse=True)
    parts = [tuple(key.split("/")) for key in keys.tolist()]
    rooted: dict[str, dict[int, str | None]] = {table.name: {} for table in tables}
    free: set[int] = set()
    for k, names in enumerate(parts):
        table = next((t for t in tables if {f.lower() for f in t.folders} & {n.lower() for n in names}), None)
        if table is None:
            free.add(k)
        else:
            rooted[table.name][k] = _set(table, names)
    while free:
        found = {t.name: {k: name for k in free if (name := _set(t, parts[k])) is not None} for t in tables}
        best = max(tables, key=lambda t: len(set(found[t.name].values())) ** 2 / len(t.sets))
        if not found[best.name]:
            break
        rooted[best.name] |= found[best.name]
        free -= set(found[best.name])
    assigned = [_assigned(t, rooted[t.name], free, parts, index, labels) for t in tables]
    return [one for one in assigned if one.sets]


def _set(table: PublishedTable, names: Sequence[str]) -> str | None:
    return next((found for name in names if (found := table.set_of(name)) is not None), None)


def _assigned(
    table: PublishedTable,
    own: Mapping[int, str | None],
    free: set[int],
    parts: Sequence[tuple[str, ...]],
    index: NDArray[np.int64],
    labels: NDArray[np.integer],
) -> Assigned:
    left = {k for k, name in own.items() if name is None} | free
    sets = {}
    used: set[int] = set()
    for name in table.sets:
        keys = {k for k, found in own.items() if found == name}
        if not keys:
            continue
        images = np.flatnonzero(np.isin(index, sorted(keys)))
        if not (labels[images] == 0).any():
            shared = _shared_reals(table, name, keys, left, parts)
            used |= shared
            reals = np.flatnonzero(np.isin(index, sorted(shared)) & (labels == 0))
            images = np.sort(np.concatenate([images, reals]))
        sets[name] = images
    folders = {folder.lower() for folder in table.folders}
    others = {
        next((part for part in parts[k] if part and part.lower() not in folders), "")
        for k, name in own.items()
        if name is None and k not in used
    }
    return Assigned(table, sets, tuple(sorted(others - {""})))


def _shared_reals(
    table: PublishedTable, name: str, keys: set[int], left: set[int], parts: Sequence[tuple[str, ...]]
) -> set[int]:
    """Where a set has no real images: those of the folders its table names, else those beside its own folder."""
    named = {folder.lower() for folder in table.reals.get(name, table.reals.get("*", ()))}
    found = {k for k in left if named & {part.lower() for part in parts[k]}}
    if found:
        return found
    # the last two parts are the set's own folder and its generator; a real image's last part is ""
    return {k for k in left for own in keys if parts[k][:-1] == parts[own][:-2]}
