"""Which images belong to which set of which table, by the names of their folders."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from benchmarks.forensynths_tables.published import LOOSE, PublishedTable, load, names
from benchmarks.forensynths_tables.real_images import UNNAMED, RealImages
from datamodules.folders.names import CORPORA

Positions = NDArray[np.int64]
Key = tuple[str, ...]  # Folder names of an image, then its generator ("" for a real one)


@dataclass(frozen=True)
class Assigned:
    """The images of one table."""

    table: PublishedTable  # its data file
    sets: Mapping[str, Positions]  # the images of each set that the data holds, in the table's order
    borrowed: Mapping[str, str]
    """For each set without real images of its own, the folder of the real images it is compared with."""
    others: tuple[str, ...] = ()  # names of sets of its corpus that it does not name; they have a table of their own
    named: bool = True  # whether a folder has the table's name; else its sets were recognised by their own names

    @property
    def missing(self) -> tuple[str, ...]:
        """Sets of the table that the data lacks."""
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
    others: bool = False,
) -> list[Assigned]:
    """The tables that any of the images belong to, in the order given.

    A folder that is named after a table holds that table's sets; of several such folders the innermost decides. Sets
    in no such folder go to the table that they fill best (number found times fraction found, where further sets of its
    corpus count too), the remaining ones to the next table, and so on: a set counts in one table only.

    Args:
        source: [N] folder names joined by "/".
        generator: [N] "" for real images.
        labels: [N] 0, 1 or -1.
        tables: the candidates.
        others: whether to add tables of the sets that no table names, if there is any table.
    """
    known = np.flatnonzero(np.asarray(labels) >= 0)
    texts = [f"{source[k]}/{(generator[k] or UNNAMED) if labels[k] == 1 else ''}" for k in known.tolist()]
    found, index = np.unique(texts, return_inverse=True)
    keys: list[Key] = [tuple(text.split("/")) for text in found.tolist()]
    owner = _owners(keys, tables)
    named = {k for k, table in owner.items() if table is not None}
    _fill(keys, owner, tables)
    members = {t.name: {k: _set(t, keys[k]) for k, own in owner.items() if own is t} for t in tables}
    of_sets = {k for own in members.values() for k, name in own.items() if name is not None}
    rest = {k for k in range(len(keys)) if k not in of_sets}
    reals = RealImages(keys, rest)

    def measured(groups: Mapping[str, set[int]], table: PublishedTable) -> tuple[dict[str, Positions], dict[str, str]]:
        sets: dict[str, Positions] = {}
        borrowed: dict[str, str] = {}
        for name, chosen in groups.items():
            more, origin = reals.of(chosen, table, name)
            sets[name] = np.asarray(known[np.isin(index, sorted(chosen | more))])
            borrowed |= {name: origin} if origin else {}
        return sets, borrowed

    assigned = []
    for table in tables:
        own = members[table.name]
        groups = {name: chosen for name in table.sets if (chosen := {k for k, has in own.items() if has == name})}
        if groups:
            assigned.append(Assigned(table, *measured(groups, table), (), bool(named & set(own))))
    if not assigned:
        return []
    left = {t.name: {k for k in rest if (owner.get(k) or LOOSE) is t} for t in (*tables, LOOSE)}
    further = {t.name: measured(reals.others(left[t.name]), t) for t in (*tables, LOOSE)}
    for table in (*tables, LOOSE):
        sets, borrowed = further[table.name]
        sets |= measured(reals.unused(left[table.name]), table)[0]
        if sets:
            shown = table if table is LOOSE else table.others()
            assigned.append(Assigned(replace(shown, sets=dict.fromkeys(sets, ())), sets, borrowed))
    described = [replace(a, others=tuple(further[a.table.name][0])) if a.table.name in further else a for a in assigned]
    return described if others else [one for one in described if one.table in tables]


def _owners(keys: Sequence[Key], tables: Sequence[PublishedTable]) -> dict[int, PublishedTable | None]:
    """The table of each key that is in a folder named after one, None for a corpus without a table; innermost first."""
    folders = {folder.lower(): table for table in tables for folder in table.folders}
    owner: dict[int, PublishedTable | None] = {}
    for k, parts in enumerate(keys):
        inner = next((n.lower() for n in reversed(parts) if n.lower() in folders or n.lower() in CORPORA), None)
        if inner in folders:
            owner[k] = folders[inner]
        elif inner is not None and inner not in _all_folders():
            owner[k] = None
    return owner


@cache
def _all_folders() -> frozenset[str]:
    return frozenset(folder.lower() for name in names() for folder in load(name).folders)


def _fill(keys: Sequence[Key], owner: dict[int, PublishedTable | None], tables: Sequence[PublishedTable]) -> None:
    """Assigns the keys that no folder assigns."""
    free = {k for k in range(len(keys)) if k not in owner}
    while free:
        found = {t.name: {k: name for k in free if (name := _set(t, keys[k])) is not None} for t in tables}
        beside = {t.name: {k: name for k in free if (name := _beside(t, keys[k])) is not None} for t in tables}
        filled = {}
        for t in tables:
            there = {*found[t.name].values(), *beside[t.name].values()} if found[t.name] else set()
            filled[t.name] = len(there) ** 2 / (len(t.sets) + len(t.beside))
        name = max(filled, key=filled.__getitem__)
        best = next(t for t in tables if t.name == name)
        if not found[best.name]:
            return
        dealt = set(found[best.name]) | set(beside[best.name])
        owner.update(dict.fromkeys(dealt, best))
        free -= dealt


def _beside(table: PublishedTable, parts: Sequence[str]) -> str | None:
    known = {name.lower() for name in table.beside}
    return next((part.lower() for part in parts if part.lower() in known), None)


def _set(table: PublishedTable, parts: Sequence[str]) -> str | None:
    return next((found for name in parts if (found := table.set_of(name)) is not None), None)
