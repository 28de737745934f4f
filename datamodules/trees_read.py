"""What the folders of an image tree say of the images in them."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from contracts.errors import DataError
from datamodules.folder import SUFFIXES
from datamodules.trees_names import CORPORA, names_from_corpus
from datamodules.walk import Folder, PassedOver, walk


@dataclass(frozen=True)
class TreeImage:
    """One row of the manifest, before it is one; attributes as its columns."""

    id: str
    label: int
    generator: str
    split: str
    source: str
    group: str
    where: str


@dataclass(frozen=True)
class _Class:
    """What a folder says of all images below it: label, names before it, generator where it names one."""

    label: int
    before: tuple[str, ...]
    generator: str
    path: Path


@dataclass(frozen=True)
class TreeReader:
    """Reads trees by one set of rules; see `datamodules.trees.TreeDataModule` for their meaning.

    Attributes:
        layout: "pairs", "siblings" or "generated".
        labels: folder name in lower case to label.
        splits: folder name in lower case to split.
        split: split of images above which no folder names one.
        collections: names in lower case.
        training_generator: see there.
        corpus: see there.
        ignored: files passed over so far.
    """

    layout: str
    labels: Mapping[str, int]
    splits: Mapping[str, str]
    split: str
    collections: Collection[str]
    training_generator: str | None
    corpus: str | None = None
    ignored: PassedOver = field(default_factory=PassedOver)

    def read(self, root: Path) -> Iterator[TreeImage]:
        """Images of a tree.

        Raises:
            DataError: a class folder lies in one of the other class, or holds no image.
        """
        own = (root.name,) if root.name.lower() in self.collections else ()
        judged: dict[tuple[str, ...], _Class | None] = {}
        siblings: set[tuple[str, ...]] = set()
        held: dict[Path, int] = {}
        for folder in walk(root, self.ignored):
            if self.layout == "siblings" and any(self.labels.get(name.lower()) == 0 for name in folder.folders):
                siblings.add(folder.parts)
            above = judged[folder.parts[:-1]] if folder.parts and self.layout != "generated" else None
            self._refuse_other_class(folder, above)
            judged[folder.parts] = found = above or self._judge(folder, siblings)
            if found is None:
                for name in folder.files:
                    image = Path(name).suffix.lower() in SUFFIXES
                    self.ignored.add(folder.path / name, "stray image" if image else "")
                continue
            split, names = self._split(found.before)
            names = own + names
            generator = found.generator or self._set(names) or root.name
            if found.label == 0:
                generator = ""
            elif split != "test" and self.training_generator is not None:
                generator = self.training_generator
            source = self._source(root, names)
            kept = self._kept(folder)
            held[found.path] = held.get(found.path, 0) + len(kept)
            for name in kept:
                identity = "/".join((*folder.parts, name))
                yield TreeImage(identity, found.label, generator, split, source, *_places(folder, name))
        for path, count in held.items():
            if not count:
                raise DataError(f"{path} holds no image", "Fill it, or remove it: a set may have one class alone.")

    def _judge(self, folder: Folder, siblings: set[tuple[str, ...]]) -> _Class | None:
        """What a folder says of all images below it; None where it says nothing."""
        if self.layout == "generated":
            return _Class(1, folder.parts, "", folder.path) if self._images_in(folder) else None
        if not folder.parts:
            return None
        name, before = folder.parts[-1], folder.parts[:-1]
        label = self.labels.get(name.lower())
        if label is not None:
            return _Class(label, before, "", folder.path)
        if before in siblings and name.lower() not in self.splits:
            return _Class(1, folder.parts, name, folder.path)
        return None

    def _refuse_other_class(self, folder: Folder, above: _Class | None) -> None:
        other = self.labels.get(folder.parts[-1].lower()) if above else None
        if above is not None and other is not None and other != above.label:
            raise DataError(
                f"{folder.path} is named for label {other} and lies in {above.path}, of label {above.label}",
                "Move it, or say what its name means with datamodule.labels.",
            )

    def read_reals(self, root: Path, prefix: str) -> Iterator[TreeImage]:
        """Images of a root of real ones; their ids begin with the prefix.

        Raises:
            DataError: there are none.
        """
        count = 0
        for folder in walk(root, self.ignored):
            split, names = self._split((root.name, *folder.parts))
            source = "/".join(names) or root.name
            for name in self._kept(folder):
                count += 1
                identity = "/".join((prefix, *folder.parts, name))
                yield TreeImage(identity, 0, "", split, source, *_places(folder, name))
        if not count:
            raise DataError(f"datamodule.reals: {root} holds no image", "Give roots that hold real images.")

    def _images_in(self, folder: Folder) -> list[str]:
        return [name for name in folder.files if Path(name).suffix.lower() in SUFFIXES]

    def _kept(self, folder: Folder) -> list[str]:
        """A folder's images; its other files are noted."""
        kept = self._images_in(folder)
        for name in sorted(set(folder.files) - set(kept)):
            self.ignored.add(folder.path / name)
        return kept

    def _split(self, names: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
        """The split that the first of some folder names says, and the other names."""
        for place, name in enumerate(names):
            if name.lower() in self.splits:
                return self.splits[name.lower()], names[:place] + names[place + 1 :]
        return self.split, names

    def _source(self, root: Path, names: tuple[str, ...]) -> str:
        """The folder names of an image, with those of the corpus at or above the root, or the corpus it is said to be.

        A path may begin anywhere within a corpus; whose sets these are is to be seen nonetheless.
        """
        above = tuple(name for name in names_from_corpus(root, CORPORA) if name.lower() not in self.splits)
        if above:
            inner = names[1:] if names[:1] == (root.name,) and root.name.lower() in self.collections else names
            return "/".join(above + inner)
        said = (self.corpus,) if self.corpus and not CORPORA & {name.lower() for name in names} else ()
        return "/".join((*said, *(names or (root.name,))))

    def _set(self, names: tuple[str, ...]) -> str:
        """The first name that is no collection; "" where there is none."""
        return next((name for name in names if name.lower() not in self.collections), "")


def _places(folder: Folder, name: str) -> tuple[str, str]:
    """Group and place of a file: what is linked into several sets is one photograph."""
    return "" if folder.linked is None else str(folder.linked / name), str(folder.path / name)
