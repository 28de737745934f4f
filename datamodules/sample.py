"""The sample corpus that comes with the package: 354 small pictures, enough to see everything work."""

from pathlib import Path
from typing import Unpack

from datamodules.loading.options import Loading
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
        **loading: as `ImageDataModule`.
    """

    def __init__(
        self,
        **loading: Unpack[Loading],
    ) -> None:
        super().__init__(
            CORPUS,
            COLUMNS,
            **loading,
        )

    def files(self) -> list[Path]:
        """The corpus's Parquet files; its documentation beside them is not counted as passed over."""
        return sorted(CORPUS.glob("*.parquet"))
