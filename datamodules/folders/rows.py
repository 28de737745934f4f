"""Turns the images of a tree into rows of the manifest."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from datamodules.folders.names import CORPORA, names_from_corpus
from datamodules.folders.read import Found
from datamodules.tables.groups import PARTS, Groups


@dataclass(frozen=True)
class TreeImage:
    """A future row of the manifest; attributes are named like its columns."""

    id: str
    label: int
    generator: str
    split: str
    source: str
    group: str
    where: str


@dataclass(frozen=True)
class TreeRows:
    """Makes rows by one set of rules; see `datamodules.trees.TreeDataModule` for their meaning."""

    labels: Mapping[str, int]  # folder name in lower case → label
    splits: Mapping[str, str]  # folder name in lower case → split
    split: str  # split of images for which no folder names one
    collections: Collection[str]  # names of collections in lower case
    training_generator: str | None  # see `TreeDataModule`
    groups: Groups  # rule for images that belong together
    shared: Collection[str] = ()  # files that are targets of links
    corpus: str | None = None  # see `TreeDataModule`

    def of(self, root: Path, found: Sequence[Found]) -> list[TreeImage]:
        """Rows of a tree, or of a root of generated images."""
        own = (root.name,) if root.name.lower() in self.collections else ()
        naming = self._naming(found)
        rows = []
        for image in found:
            info, split = image.info, self._split(root, image)
            names = own + info.before
            if info.before in naming:
                names += tuple(name for name in info.below[:1] if self._may_name(name))
            generator = info.generator or self._set(names) or root.name
            if info.label == 0:
                generator = ""
            elif split in ("train", "valid") and self.training_generator is not None:
                generator = self.training_generator
            rows.append(self._row(image, generator, split, self._source(root, names)))
        return rows

    def of_reals(self, root: Path, found: Sequence[Found]) -> list[TreeImage]:
        """Rows of a root of real images."""
        own = () if root.name.lower() in self.splits else (root.name,)
        return [
            self._row(image, "", self._split(root, image), "/".join(own + image.info.before) or root.name)
            for image in found
        ]

    def _row(self, image: Found, generator: str, split: str, source: str) -> TreeImage:
        label = image.info.label or 0
        return TreeImage(image.id, label, generator, split, source, self._group(image), image.where)

    def _source(self, root: Path, names: tuple[str, ...]) -> str:
        """The folder names of an image, preceded by those of the corpus at or above the root, or the configured corpus.

        The corpus is thus known even if the root is a folder within it.
        """
        above = tuple(name for name in names_from_corpus(root, CORPORA) if name.lower() not in self.splits)
        if above:
            inner = names[1:] if names[:1] == (root.name,) and root.name.lower() in self.collections else names
            return "/".join(above + inner)
        corpus = (self.corpus,) if self.corpus and not CORPORA & {name.lower() for name in names} else ()
        return "/".join((*corpus, *(names or (root.name,))))

    def _split(self, root: Path, image: Found) -> str:
        """The split of its folders; else, in a root of one class, of the root's name; else of the configuration."""
        if image.info.split is not None:
            return image.info.split[0]
        return self.splits.get(root.name.lower(), self.split) if image.info.path is None else self.split

    def _group(self, image: Found) -> str:
        """The group by the rule; without a rule, all links to a file form a group."""
        if not self.groups:
            return image.real if image.real in self.shared else ""
        info = image.info
        if image.real in self.shared and self.groups.level is not None:
            return str(Path(image.real).parents[self.groups.level - 1])
        before, below = ((), info.before) if info.path is None else (info.before, info.below)
        return self.groups.of(before[:-1] if info.generator else before, below, image.id)

    def _naming(self, found: Sequence[Found]) -> set[tuple[str, ...]]:
        """Positions of class folders with no set above them in which folders of generated images name generators.

        If the class folders of real images contain folders of the same names, these are classes of objects instead.
        """
        names: dict[tuple[str, ...], tuple[set[str], set[str]]] = {}
        for image in found:
            info = image.info
            if info.path is not None and not self._set(info.before) and info.below and self._may_name(info.below[0]):
                names.setdefault(info.before, (set(), set()))[info.label or 0].add(info.below[0].lower())
        return {before for before, (real, generated) in names.items() if generated and not real & generated}

    def _may_name(self, name: str) -> bool:
        """Whether a folder in a class folder may name a generator, which a numbered part of a whole does not."""
        known = {*self.splits, *self.labels, *self.collections}
        return not (name.lower() in known or PARTS.fullmatch(name))

    def _set(self, names: Sequence[str]) -> str:
        """The first name that is not a collection; "" if there is none."""
        return next((name for name in names if name.lower() not in self.collections), "")
