"""Real photographs to train a density model on: a folder, glob or list, and optionally another for validation."""

from collections.abc import Mapping
from pathlib import Path
from typing import Unpack

import pyarrow as pa

from contracts.errors import DataError
from contracts.names import given_path
from datamodules.folder import FolderDataModule
from datamodules.loading.options import Loading
from datamodules.tables.manifest import Manifest


class PhotographsDataModule(FolderDataModule):
    """All images that ``path`` names (see `FolderDataModule`), as real training images.

    COCO 2017 is ``path=coco/train2017 valid=coco/val2017``; a list file of ZED_Rep is ``path=train_list.txt``. Without
    ``valid``, the benchmark samples validation images from the training images.

    Args:
        path: photographs to train on.
        valid: photographs for validation, which chooses the checkpoint, or None.
        columns: as `FolderDataModule`, if a path is a table.
        group: rule for photographs that belong together, as `FolderDataModule`.
        **loading: as `ImageDataModule`.
    """

    def __init__(
        self,
        path: str | Path,
        valid: str | Path | None = None,
        columns: Mapping[str, str | None] | None = None,
        group: int | str | None = None,
        **loading: Unpack[Loading],
    ) -> None:
        super().__init__(path, columns, group=group, **loading)
        self.valid = None if valid is None else given_path(valid)

    def build_manifest(self) -> Manifest:
        """All images of both places, labelled real; ids begin with the split.

        Raises:
            DataError: as `FolderDataModule.build_manifest`, for either place; or a table labels images as generated.
        """
        places = {"train": self.path} | ({"valid": self.valid} if self.valid is not None else {})
        tables = []
        train = self.path
        for split, place in places.items():
            self.path = place  # what the base class looks at, and names in its errors
            try:
                found = super().build_manifest()
            finally:
                self.path = train
            if (found.labels == 1).any():
                raise DataError(
                    f"{place} labels images as generated, but datamodule=photographs trains on real images only",
                    "Leave those rows out, or use datamodule=folder, which reads labels.",
                )
            count = len(found)
            renamed = found.replaced(
                id=[f"{split}/{name}" for name in found.column("id")],
                label=[0] * count,
                generator=[""] * count,
                split=[split] * count,
            )
            tables.append(renamed.table)
        manifest = Manifest(pa.concat_tables(tables))
        if self.valid is None and not self.groups:
            self.groups.check(manifest.column("id").tolist(), manifest.column("group").tolist())
        return manifest
