"""The part of ``task=doctor doctor.data=true`` that reads the data: images by split and label, and problems."""

from collections import Counter
from typing import Any

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
    splits, labels = manifest.column("split").tolist(), manifest.labels.tolist()
    counts = Counter(zip(splits, labels, strict=True))
    makers: dict[tuple[str, int], set[str]] = {}
    for split, label, generator in zip(splits, labels, manifest.column("generator").tolist(), strict=True):
        makers.setdefault((split, label), set()).add(generator)
    order = ("train", "valid", "test", "")
    return [
        (split or "none", LABELS[label], f"{counts[split, label]:,}", ", ".join(sorted(makers[split, label] - {""})))
        for split, label in sorted(counts, key=lambda key: (order.index(key[0]), key[1]))
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
