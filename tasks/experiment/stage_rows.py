"""The rows of a stage that a detector may read before testing."""

from dataclasses import replace

from contracts.errors import DataError
from contracts.stage import Rows, Stage
from datamodules.tables.manifest import Manifest


def readable(stage: Stage, manifest: Manifest, trains_on: str) -> Stage:
    """The stage with only those rows that a detector may read before testing.

    Args:
        stage: of the benchmark.
        manifest: its images.
        trains_on: "all", or "real" for a zero-shot detector, whose training and validation use no generated image.

    Raises:
        DataError: no row is left to train or validate on.
    """
    if trains_on == "all":
        return stage
    real = replace(stage, **{n: rows[manifest.labels[rows] == 0] for n, rows in rows_of(stage).items()})
    for name, rows in rows_of(real).items():
        if not len(rows):
            raise DataError(
                f"stage {stage.name!r} has no real image to {name} on, and the detector uses no others",
                "Check the label column and its name map.",
            )
    return real


def rows_of(stage: Stage) -> dict[str, Rows]:
    """Training and validation rows of a stage, by field."""
    return {"train": stage.train, "validate": stage.validate}
