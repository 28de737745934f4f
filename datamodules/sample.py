"""The sample corpus that comes with the package: 354 small pictures, enough to see everything work."""

from pathlib import Path

from datamodules.image_datamodule import StartMethod
from datamodules.loading.decode import MAX_PIXELS, Backend
from datamodules.parquet import ParquetDataModule

CORPUS = Path(__file__).resolve().parent / "sample_corpus"

COLUMNS = {
    "id": "id",
    "image": "image",
    "label": "label",
    "generator": "generator",
    "source": "source",
    "split": "split",
    "group": "photo",
    "control": "control",
    "licence": "licence",
    "author": "author",
}


class SampleDataModule(ParquetDataModule):
    """Photographs against the output of small networks; see ``sample_corpus/README.md`` for what it proves.

    The group is the photograph, the source the package it came from. Control images (bicubic enlargements, labelled
    real) carry their kind in the column ``control``, and every row its ``licence`` and ``author``.

    Args:
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
            CORPUS,
            COLUMNS,
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
