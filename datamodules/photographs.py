"""Real photographs to train a density model on: a folder, a glob or a list file, and perhaps another to validate on."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from contracts.errors import DataError
from contracts.names import given_path
from datamodules.folder import FolderDataModule
from datamodules.image_datamodule import StartMethod
from datamodules.loading.decode import MAX_PIXELS, Backend
from datamodules.tables.manifest import Manifest


class PhotographsDataModule(FolderDataModule):
    """All images that ``path`` names (see `FolderDataModule`), as real training images.

    COCO 2017 is ``path=coco/train2017 valid=coco/val2017``; a list file of ZED_Rep is ``path=train_list.txt``. Without
    ``valid`` the benchmark draws validation images from the training ones.

    Args:
        path: photographs to train on.
        valid: photographs to choose the checkpoint by, or None.
        columns: as `FolderDataModule`, where a place is a table.
        group: photographs that belong together, as `FolderDataModule`.
        batch_size: as `ImageDataModule`, as are all that follow.
        eval_batch_size: as above.
        num_workers: as above.
        seed: as above.
        decoder: as above.
        max_pixels: as above.
        max_failures: as above.
        prefetch: as above.
        start_method: as above.
    """

    def __init__(
        self,
        path: str | Path,
        valid: str | Path | None = None,
        columns: Mapping[str, str | None] | None = None,
        group: int | str | None = None,
        batch_size: int = 32,
        eval_batch_size: int | None = None,
        num_workers: int = 0,
        seed: int = 0,
        decoder: Backend = "torchvision",
        max_pixels: int = MAX_PIXELS,
        max_failures: float = 0.0,
        prefetch: int = 2,
        start_method: StartMethod | None = None,
    ) -> None:
        super().__init__(
            path,
            columns,
            group=group,
            batch_size=batch_size,
            eval_batch_size=eval_batch_size,
            num_workers=num_workers,
            seed=seed,
            decoder=decoder,
            max_pixels=max_pixels,
            max_failures=max_failures,
            prefetch=prefetch,
            start_method=start_method,
        )
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
                table = super().build_manifest().table
            finally:
                self.path = train
            if pc.any(pc.equal(table["label"], 1)).as_py():
                raise DataError(
                    f"{place} labels images as generated, and these are photographs to train on",
                    "Leave those rows out, or use datamodule=folder, which reads labels.",
                )
            count = table.num_rows
            columns = {
                "id": pa.array([f"{split}/{name}" for name in table["id"].to_pylist()]),
                "label": pa.array([0] * count, pa.int8()),
                "generator": pa.array([""] * count),
                "split": pa.array([split] * count),
            }
            for name, values in columns.items():
                table = table.set_column(table.column_names.index(name), name, values)
            tables.append(table)
        manifest = Manifest(pa.concat_tables(tables))
        if self.valid is None and not self.groups:
            self.groups.check(manifest.column("id").tolist(), manifest.column("group").tolist())
        return manifest
