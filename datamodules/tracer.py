"""Images whose generator is to be identified: a folder per label, a flat test folder, or a table; tokens if known."""

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from contracts.errors import ConfigError, DataError, nearest
from contracts.names import as_text
from contracts.stage import Rows
from contracts.words import counted
from datamodules.folders.tracer_table import read_table
from datamodules.folders.walk import SUFFIXES, walk
from datamodules.image_datamodule import ImageDataModule
from datamodules.loading.options import FurtherLoading
from datamodules.tables.manifest import Manifest

SPLIT_FOLDERS = {"train": "train", "val": "valid", "valid": "valid", "validation": "valid", "test": "test"}
TOKENS = "tokens_{family}.npz"


class TracerDataModule(ImageDataModule):
    """Every image below ``path``, labelled with the generator that made it.

    * a folder with any of ``train``, ``val`` (or ``valid``, ``validation``) and ``test``: in each, one folder per
      label, or the images themselves, which are then unlabelled; ids are paths relative to ``path``;
    * any other folder: the same, with test images only;
    * a ``.csv`` table: a column ``path``, and ``id, label, split, class`` where known (``class`` is the number of the
      class given to a conditional generator).

    ``tokens_<family>.npz`` beside the images (arrays ``id`` and ``tokens``) holds the tokens they were decoded from.

    Args:
        path: the folder or table.
        classes: labels allowed in addition to ``outlier``; any by default.
        outlier: label of images that come from none of the generators.
        batch_size: as `ImageDataModule`.
        **loading: as `ImageDataModule`.

    Raises:
        ConfigError: ``align`` is set, which would remove what a tracer looks for.
    """

    def __init__(
        self,
        path: str | Path,
        classes: Sequence[str] | None = None,
        outlier: str = "outlier",
        batch_size: int = 16,
        **loading: Unpack[FurtherLoading],
    ) -> None:
        if loading.get("align") is not None:
            raise ConfigError(
                f"datamodule.align={loading['align']}: a tracer needs images as their generator saved them",
                "Remove datamodule.align.",
            )
        super().__init__(path, batch_size, **loading)
        self.classes = None if classes is None else tuple(classes)
        self.outlier = outlier
        self._tokens: dict[str, tuple[dict[str, int], NDArray[np.uint16]]] = {}

    @property
    def root(self) -> Path:
        """The folder that ids are relative to."""
        return self.path if self.path.is_dir() else self.path.parent

    def build_manifest(self) -> Manifest:
        """List the images.

        Raises:
            DataError: there are no images, a label is not in ``classes``, or a table cannot be read.
        """
        if self.path.suffix.lower() in (".csv", ".tsv", ".tab", ".txt"):
            columns = read_table(self.path)
        elif self.path.is_dir():
            columns = self._walk()
        else:
            raise DataError(f"datamodule.path={self.path}: no such folder or .csv", "Give a folder or a table.")
        names = columns.pop("name")
        if not names:
            raise DataError(f"datamodule.path={self.path}: no images", f"Images end in {', '.join(sorted(SUFFIXES))}.")
        for place, name in zip(columns["where"], names, strict=True):
            if name and name != self.outlier and self.classes is not None and name not in self.classes:
                raise DataError(f"{place}: label {name!r} is unknown", nearest(name, (*self.classes, self.outlier)))
        labels = [-1 if not name else 0 if name == self.outlier else 1 for name in names]
        generators = [name if label == 1 else "" for name, label in zip(names, labels, strict=True)]
        return Manifest.from_columns({**columns, "label": labels, "generator": generators})

    def tokens(self, rows: Rows, family: str) -> NDArray[np.int64]:
        """The tokens [B, L] from which these images were decoded.

        Raises:
            DataError: they are not known.
        """
        file = self.root / TOKENS.format(family=family)
        if not file.is_file():
            raise DataError(
                f"{file} does not exist, so the tokens of the images are unknown",
                "Write it with task=generate, or use detector.target=roundtrip.",
            )
        if family not in self._tokens:
            with np.load(file, allow_pickle=False) as stored:
                self._tokens[family] = {str(i): k for k, i in enumerate(stored["id"])}, stored["tokens"]
        place, tokens = self._tokens[family]
        ids = [self.manifest().image_id(int(row)) for row in rows]
        if absent := [i for i in ids if i not in place]:
            raise DataError(
                f"{file} lacks {counted(len(absent), 'image')}, first {absent[0]!r}", "Keep images and tokens together."
            )
        return tokens[[place[i] for i in ids]].astype(np.int64)

    def _walk(self) -> dict[str, list[str]]:
        columns: dict[str, list[str]] = {"id": [], "where": [], "split": [], "name": []}
        splits = {name: split for name, split in SPLIT_FOLDERS.items() if (self.path / name).is_dir()}
        if twice := [s for s in set(splits.values()) if list(splits.values()).count(s) > 1]:
            raise DataError(f"{self.path} has several folders of split {twice[0]!r}", "Keep one of them.")
        if splits:
            beside = next(walk(self.path, self.ignored))
            for name in (*beside.folders, *beside.files):
                if name not in splits:
                    self.ignored.add(self.path / name)
        for folder, split in [(self.path / name, split) for name, split in splits.items()] or [(self.path, "test")]:
            for inner in walk(folder, self.ignored):
                for name in inner.files:
                    file = inner.path / name
                    if file.suffix.lower() not in SUFFIXES:
                        if not file.match(TOKENS.format(family="*")):  # read by `tokens`
                            self.ignored.add(file)
                        continue
                    if len(inner.parts) > 1:
                        raise DataError(
                            f"{file} is nested too deeply", f"Move it to {folder}/<label>/<image> or {folder}/<image>."
                        )
                    columns["id"].append(as_text(file.relative_to(self.path).as_posix()))
                    columns["where"].append(as_text(file))
                    columns["split"].append(split)
                    columns["name"].append(as_text(inner.parts[0]) if inner.parts else "")
        return columns
