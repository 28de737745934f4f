"""Image trees whose folder names give labels, splits and generators: ForenSynths and its relatives."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Literal, Unpack

from contracts.errors import ConfigError, DataError, check_known
from contracts.names import as_text, given_path
from datamodules.folders.choose import chosen, in_folds, warn_of_neighbours, warn_of_shared_groups
from datamodules.folders.files import apart, prefixes, refuse_two_labels
from datamodules.folders.names import COLLECTIONS, LABELS, lower_keys, split_names
from datamodules.folders.read import TreeReader
from datamodules.folders.rows import TreeImage, TreeRows
from datamodules.image_datamodule import ImageDataModule
from datamodules.loading.options import Loading
from datamodules.tables.folds import DEALT as FOLDS
from datamodules.tables.groups import Groups
from datamodules.tables.manifest import SPLITS as SPLIT_NAMES
from datamodules.tables.manifest import Manifest

LAYOUTS = ("pairs", "siblings", "generated")


class TreeDataModule(ImageDataModule):
    """Images in a tree of folders, read in place.

    Between the root and a class folder are, in any order, a split, folders that only collect sets, a set, and
    further folders (classes of objects): ``{root}/[collection]/[split]/{set}/[class]/{0_real,1_fake}/…``. A set is the
    first of these that is neither split nor collection; it is named after the generator of its generated images. The
    ``source`` of an image is made of all names between root and class folder except the split, preceded by the names
    from the corpus's folder (`datamodules.folders.names.CORPORA`) down to the root if the root is in one.

    A split may also be below the class folder (``real/train``), and so may generators if no set is named above
    it: ``fake/{midjourney,dalle3}``, unless the real images have folders of the same names (classes of objects) or the
    names are numbers of parts. They are then the sets.

    Args:
        path: root of the tree. Its own name counts as a collection if it is one.
        layout: "pairs": folders of both classes by name (see ``labels``); "siblings": if a folder contains one of real
            images, every other folder in it is a generator's (DiffusionForensics); "generated": all images are
            generated, and the real ones come from ``reals`` (DRCT-2M, a plain folder).
        reals: further roots, with real images only. A root within another is not part of it. Folders below a root of
            one class may name splits; otherwise the root does.
        labels: folder name → label (0 real, 1 generated), in addition to or instead of
            `datamodules.folders.names.LABELS`.
        splits: folder name → split (train, valid, test), or None for none, in addition to or instead of
            `datamodules.folders.names.SPLITS`.
        split: split of images for which no folder names one; "folds" divides them 70/10/20 into stratified folds.
        group: rule for images that belong together and share a split: a number n groups those below one folder n levels
            above the image (1: the folder that contains it); a pattern groups those in whose ids (paths from the root)
            it finds the same text.
        fold_seed: random seed of the folds.
        collections: further names of folders that only collect sets.
        classes: folders to train and validate on (car, cat; or sets, sdv4); None for all. Sets of only real images
            are kept if sets without real images are chosen, here and below.
        sets: sets to test on; None for all.
        training_generator: generator of generated training and validation images, if their folders name classes of
            objects (ForenSynths: progan); None if they name generators.
        corpus: corpus the sets belong to, if no folder in, at or above the root names it; every source begins with it.
        **loading: as `ImageDataModule`.

    Attributes:
        ignored: skipped files: those without an image suffix, hidden files, and images in no class folder.

    Raises:
        ConfigError: a value out of range.
    """

    def __init__(
        self,
        path: str | Path,
        layout: Literal["pairs", "siblings", "generated"] = "pairs",
        reals: Sequence[str] = (),
        labels: Mapping[str, int] | None = None,
        splits: Mapping[str, str | None] | None = None,
        split: str = "test",
        group: int | str | None = None,
        fold_seed: int = 0,
        collections: Sequence[str] = (),
        classes: Sequence[str] | None = None,
        sets: Sequence[str] | None = None,
        training_generator: str | None = None,
        corpus: str | None = None,
        **loading: Unpack[Loading],
    ) -> None:
        super().__init__(path, **loading)
        check_known("datamodule.layout", layout, LAYOUTS)
        if layout == "generated" and not reals:
            raise ConfigError("datamodule.layout=generated without datamodule.reals", "Give the roots of real images.")
        self.layout = layout
        self.reals = [given_path(root) for root in reals]
        self.labels = {**LABELS, **lower_keys(labels or {}, "datamodule.labels")}
        self.splits = split_names(splits or {})
        self.split = split
        check_known("datamodule.split", split, (*SPLIT_NAMES[:3], FOLDS))
        self.groups = Groups(group)
        self.fold_seed = fold_seed
        for name, label in self.labels.items():
            if label not in (0, 1):
                raise ConfigError(f"datamodule.labels.{name}={label!r}", "Give 0 for real or 1 for generated.")
        self.collections = {name.lower() for name in (*COLLECTIONS, *collections)}
        self.classes = classes
        self.sets = sets
        self.training_generator = training_generator
        self.corpus = corpus

    def build_manifest(self) -> Manifest:
        """List the images.

        Raises:
            DataError: a root does not exist, has no class folder or a class folder without images, or a class or set
                that was requested does not exist.
        """
        for root in (self.path, *self.reals):
            if not root.is_dir():
                raise DataError(f"{root} is not a folder", "Give the root of an image tree.")
        if self.layout == "siblings" and (self.path / "images").is_dir() and (self.path / "recons").is_dir():
            raise DataError(
                f"{self.path} contains both images and their reconstructions",
                f"Give datamodule.path={self.path / 'images'}.",
            )
        reader = TreeReader(self.layout, self.labels, self.splits, self.collections, self.ignored)
        roots = (self.path, *self.reals)
        own = reader.read(self.path, apart(self.path, roots))
        first = prefixes(self.path, self.reals)
        further = {root: reader.read_reals(root, first[root], apart(root, roots)) for root in self.reals}
        found = [*own, *(image for images in further.values() for image in images)]
        if not found:
            raise self._nothing()
        refuse_two_labels(found)
        shared = {image.real for image in found if image.linked}
        rows = TreeRows(
            self.labels, self.splits, "" if self.split == FOLDS else self.split, self.collections,
            self.training_generator, self.groups, shared, self.corpus,
        )  # fmt: skip
        images = rows.of(self.path, own)
        for root, real in further.items():
            images += rows.of_reals(root, real)
        self.groups.check([image.id for image in images], [image.group for image in images])
        if self.split == FOLDS:
            images = in_folds(images, self.fold_seed)
        for key, wanted, splits in (("classes", self.classes, ("train", "valid")), ("sets", self.sets, ("test",))):
            if wanted is not None:
                images = chosen(images, f"datamodule.{key}", wanted, splits, self.collections, self.layout != "pairs")
        warn_of_shared_groups(images)
        if reader.beside:
            warn_of_neighbours(self.path, reader.beside)
        names = [field.name for field in fields(TreeImage)]
        return Manifest.from_columns({name: [_value(getattr(image, name)) for image in images] for name in names})

    def _nothing(self) -> DataError:
        top = sorted(entry.name for entry in self.path.iterdir())
        held = f"it contains {', '.join(top[:8])}{', …' if len(top) > 8 else ''}" if top else "it is empty"
        if self.path.name.lower() in self.labels:
            return DataError(
                f"datamodule.path={self.path} is a class folder itself", f"Give the folder above: {self.path.parent}."
            )
        known = ", ".join(sorted(self.labels))
        return DataError(
            f"datamodule.path={self.path}: no image in a class folder; {held}",
            f"Class folders are named {known} (in any case); set others with datamodule.labels={{NAME:0,OTHER:1}}.",
        )


def _value(value: str | int) -> str | int:
    """A cell of the manifest as text, whatever bytes the names of files and folders contain."""
    return as_text(value) if isinstance(value, str) else value
