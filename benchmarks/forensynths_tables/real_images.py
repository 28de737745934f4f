"""Which real images a set is measured against, and names for the sets that are in no table."""

from collections.abc import Collection, Sequence

from benchmarks.forensynths_tables.published import PublishedTable
from datamodules.folders.names import COLLECTIONS

UNNAMED = "(unnamed)"  # Last part of the key of generated images whose generator is not known
HOLDERS = {name.lower() for name in COLLECTIONS}


class RealImages:
    """Real images of sets that have none, and the sets that no table names.

    Args:
        keys: folder names of images, then their generator, "" for real ones.
        rest: positions of the keys that are in no table's set.
    """

    def __init__(self, keys: Sequence[tuple[str, ...]], rest: set[int]) -> None:
        self.keys = keys
        self.rest = rest
        self.fakes = {k for k, key in enumerate(keys) if key[-1]}
        self.sources = {keys[k][:-1] for k in self.fakes}
        made = {self._title(k) for k in self.fakes & rest}
        self.alone = {k for k in rest - self.fakes if keys[k][:-1] not in self.sources and self._title(k) not in made}
        """Real images in a set of their own."""
        self.used: set[int] = set()
        """Keys of the rest that are in some set by now."""

    def of(self, chosen: Collection[int], table: PublishedTable, name: str) -> tuple[set[int], str]:
        """Real images for a set without any: those of its own folder, those its table names, or the nearest.

        Returns:
            Keys; and, where they are a set of their own, its name.
        """
        own = set(chosen)
        self.used |= own
        if not own <= self.fakes:
            return set(), ""
        sources = {self.keys[k][:-1] for k in own}
        borrowed = ""
        found = {k for k in self.rest - self.fakes if self.keys[k][:-1] in sources}
        if not found and self.alone:
            named = {folder.lower() for folder in table.reals.get(name, table.reals.get("*", ()))}
            found = {k for k in self.alone if named & {part.lower() for part in self.keys[k]}} or self.alone
            near = {k: max(_common(self.keys[k][:-1], source) for source in sources) for k in found}
            found = {k for k in found if near[k] == max(near.values())}
            borrowed = ", ".join(sorted({"/".join(self.keys[k][:-1]) for k in found}))
        self.used |= found
        return found, borrowed

    def others(self, left: set[int]) -> dict[str, set[int]]:
        """Sets of generated images among some keys of the rest, with the real images in folders of the same name."""
        found: dict[str, set[int]] = {}
        for k in sorted(left & self.fakes):
            found.setdefault(self._title(k), set()).add(k)
        for k in sorted(left - self.fakes):
            if self._title(k) in found:
                found[self._title(k)].add(k)
        return found

    def unused(self, left: set[int]) -> dict[str, set[int]]:
        """Sets of only real images that nothing is measured against."""
        found: dict[str, set[int]] = {}
        for k in sorted(left - self.fakes - self.used):
            found.setdefault(self._title(k), set()).add(k)
        return found

    def _title(self, k: int) -> str:
        *folders, maker = self.keys[k]
        set_of = next((name for name in folders if name and name.lower() not in HOLDERS), "")
        return (maker if maker != UNNAMED else "") or set_of or folders[-1] or "(unnamed)"


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """Leading names that two places share."""
    return next((k for k, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
