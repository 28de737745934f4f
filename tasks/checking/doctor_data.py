"""The part of ``task=doctor doctor.data=true`` that reads the data: images by split and label, and problems."""

from typing import Any

import pandas as pd

from benchmarks.plain import Plain
from contracts.errors import PixelProofError
from datamodules.tables.manifest import Manifest
from tasks.experiment.run import Run
from tasks.experiment.splits import refuse_changed_training

LABELS = {0: "real", 1: "generated", -1: "unknown"}
Rows = list[tuple[str, str, str, str]]


def look(run: Run) -> tuple[Rows, list[PixelProofError]]:
    """Builds the data module and the benchmark without reading an image.

    Returns:
        Rows of split, label, number of images and names of generators; and the errors that ``task=fit`` or
        ``task=test`` would raise.
    """
    try:
        datamodule, benchmark = run.datamodule(), run.benchmark()
        manifest = datamodule.manifest()
    except PixelProofError as error:
        return [], [error]
    return _rows(manifest), _problems(run, benchmark, manifest)


def _rows(manifest: Manifest) -> Rows:
    frame = pd.DataFrame({name: manifest.column(name) for name in ("split", "label", "generator")})
    frame["split"] = pd.Categorical(frame["split"], ("train", "valid", "test", ""))  # in this order
    found = frame.groupby(["split", "label"], observed=True)["generator"].agg(["size", "unique"])
    return [
        (split or "none", LABELS[label], f"{size:,}", ", ".join(sorted({*generators} - {""})))
        for (split, label), size, generators in found.itertuples()
    ]


def _problems(run: Run, benchmark: Any, manifest: Manifest) -> list[PixelProofError]:
    found: list[PixelProofError] = []
    try:
        stages = benchmark.stages(manifest)
        if run.config.experiment_id:
            refuse_changed_training(run.folder, manifest, stages)
    except PixelProofError as error:
        found.append(error)
    if isinstance(benchmark, Plain):
        try:
            benchmark.test_rows(manifest)
        except PixelProofError as error:
            found.append(error)
    return found
