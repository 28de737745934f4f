"""Loose images to score or to train on: one file, a folder, a glob, a text list or a table."""

import os
from collections.abc import Mapping, Sequence
from glob import has_magic
from pathlib import Path, PurePosixPath
from typing import Any, Literal, Unpack

from contracts.errors import ConfigError, DataError, check_known
from contracts.names import as_text
from datamodules.folders.listed import Columns, is_table, read_list, table_columns
from datamodules.folders.walk import SUFFIXES, below, matches
from datamodules.image_datamodule import ImageDataModule
from datamodules.loading.options import Loading
from datamodules.tables.columns import checked_maps
from datamodules.tables.folds import DEALT as FOLDS
from datamodules.tables.folds import fold_splits
from datamodules.tables.groups import Groups
from datamodules.tables.manifest import Manifest


class FolderDataModule(ImageDataModule):
    """Every image that ``path`` names; they are test images of unknown label unless a table gives more.

    * an image: that image, whatever its suffix;
    * a folder: all images below it, following links; ids are paths relative to it;
    * a glob (quote it from the shell; ``**`` crosses folders): all images it matches;
    * a ``.txt`` list: one path per line, which is also the id; empty lines and those starting with ``#`` are skipped;
    * a ``.csv`` or ``.tsv`` table: a column ``path`` (or file, filename, file_name, image, …), and ``id, label,
      generator, source, split, group`` where known, in any case. The generator of a real image is ignored. Rows without
      a split are test images if no row has one.

    Relative paths in a list or table are resolved in its folder, then in the working directory. Lists and tables may be
    UTF-8, UTF-16 or Windows-1252, and separated by commas, semicolons, tabs or bars.

    Hidden files and folders (`datamodules.folders.walk.is_hidden`) are skipped unless ``path`` names them.

    Args:
        path: image, folder, glob, list or table to read.
        columns: our column names → the table's, including ``path``; None uses the column of our name if there is one,
            "" uses none. Further columns are kept in the manifest.
        labels: values of the label column → 0 real, 1 generated, -1 unknown; None accepts 0, 1, -1, booleans
            and the usual names (`datamodules.folders.listed.LABEL_NAMES`).
        splits: the table's split names → ours.
        split: "test", or "folds" to divide labelled images without a split column 70/10/20 into stratified folds,
            keeping groups together.
        group: rule for images that belong together, see `datamodules.trees.TreeDataModule`; None uses a table's column.
        fold_seed: random seed of the folds.
        **loading: as `ImageDataModule`.

    Raises:
        ConfigError: a label or split map has a value that is not a label or split, or an option is out of range.
    """

    def __init__(
        self,
        path: str | Path,
        columns: Mapping[str, str | None] | None = None,
        labels: Mapping[Any, int] | None = None,
        splits: Mapping[str, str] | None = None,
        split: Literal["test", "folds"] = "test",
        group: int | str | None = None,
        fold_seed: int = 0,
        **loading: Unpack[Loading],
    ) -> None:
        super().__init__(path, **loading)
        self.columns = dict(columns or {})
        self.labels, self.splits = checked_maps(labels, splits)
        check_known("datamodule.split", split, ("test", FOLDS))
        self.split = split
        self.groups = Groups(group)
        self.fold_seed = fold_seed
        if reserved := {"where", "row", "format"} & self.columns.keys():
            raise ConfigError(
                f"datamodule.columns.{min(reserved)} is reserved",
                f"Use another name: datamodule.columns.my_{min(reserved)}=…",
            )

    def build_manifest(self) -> Manifest:
        """List the images.

        Raises:
            DataError: the path does not exist, nothing matches, there is no image, a listed file is missing (all are
                named), or a table has no column of paths or an unknown label or split.
        """
        path = self.path
        if has_magic(str(path)) and not os.path.exists(path):  # noqa: PTH110 - False for names no system allows
            return self._images(*matches(path, self.ignored))
        if path.is_dir():
            return self._images(path, below(path, SUFFIXES, self.ignored))
        if not path.is_file():
            raise DataError(
                f"datamodule.path={path}: no such file or folder", "Give an image, folder, glob, .txt or .csv."
            )
        if path.suffix.lower() in (".csv", ".tsv", ".tab", ".txt"):
            return self._made(self._listed())
        return self._made({"id": [as_text(path.name)], "where": [as_text(path)]})

    def _listed(self) -> Columns:
        if is_table(self.path):
            return table_columns(self.path, self.columns, self.labels, self.splits)
        return read_list(self.path)

    def _images(self, base: Path, files: Sequence[Path]) -> Manifest:
        images = []
        for file in files:
            if file.suffix.lower() in SUFFIXES:
                images.append(file)
            else:
                self.ignored.add(file)
        if not images:
            only = f", only {self.ignored}" if self.ignored else ""
            first = f" such as {as_text(self.ignored[0].name)}" if self.ignored else ""
            raise DataError(
                f"datamodule.path={self.path}: no images found{only}{first}",
                f"Images end in {', '.join(sorted(SUFFIXES))}.",
            )
        ids = [as_text(file.relative_to(base).as_posix()) for file in images]
        return self._made({"id": ids, "where": [as_text(file) for file in images]})

    def _made(self, columns: Columns) -> Manifest:
        """The manifest of these columns, with groups and folds."""
        count = len(columns["id"])
        if not count:
            raise DataError(f"datamodule.path={self.path} lists no image", "List at least one.")
        made: dict[str, Any] = {"label": [-1] * count, "split": ["test"] * count, "group": [""] * count} | columns
        ids = [str(name) for name in columns["id"]]
        if self.groups:
            if any(made["group"]):
                raise DataError(
                    f"{self.path} has a group column, and datamodule.group={self.groups.rule!r} defines other groups",
                    "Remove datamodule.group, or ignore the column: datamodule.columns.group=''.",
                )
            made["group"] = [self.groups.of((), PurePosixPath(name).parts[:-1], name) for name in ids]
        labelled = any(label >= 0 for label in made["label"])
        if self.groups or labelled:
            self.groups.check(ids, made["group"])
        if self.split == FOLDS:
            if not labelled or "split" in columns:
                raise DataError(
                    f"datamodule.split=folds needs labelled images without splits, but {self.path} "
                    + ("names splits" if labelled else "has no labels"),
                    "Remove datamodule.split, or ignore the column: datamodule.columns.split=''."
                    if labelled
                    else "Give a table with a column of labels, or datamodule=image_tree for class folders.",
                )
            groups = made["group"] if any(made["group"]) else None
            made["split"] = fold_splits(made["label"], groups, self.fold_seed)
        return Manifest.from_columns(made)
