"""Which rows of a stage a detector may read before it is tested."""

from dataclasses import replace

from contracts.errors import DataError
from contracts.stage import Rows, Stage
from datamodules.tables.manifest import Manifest


def readable(stage: Stage, manifest: Manifest, trains_on: str) -> Stage:
    """The stage with those rows alone that a detector may read before it is tested.

    Args:
        stage: of the benchmark.
        manifest: its images.
        trains_on: "all", or "real" for a zero-shot detector, which neither trains on generated images nor has its
            checkpoint chosen by them.

    Raises:
        DataError: nothing is left to train on or to choose by.
    """
    if trains_on == "all":
        return stage
    real = replace(stage, **{n: rows[manifest.labels[rows] == 0] for n, rows in rows_of(stage).items()})
    for name, rows in rows_of(real).items():
        if not len(rows):
            raise DataError(
                f"stage {stage.name!r} has no real image to {name} on, and the detector reads no other",
                "Check the label column and its name map.",
            )
    return real


def rows_of(stage: Stage) -> dict[str, Rows]:
    """What a stage trains on and validates on, by field."""
    return {"train": stage.train, "validate": stage.validate}
