"""``task=explain``: show what a tested detector responds to, from its dump, its checkpoint and the images."""

from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from benchmarks.predictions import Predictions, read_predictions
from callbacks.explaining.explain import most_confident, write_explanation
from contracts.errors import ConfigError, DataError, nearest
from contracts.explain import Explainable
from contracts.stage import Rows
from tasks.experiment.run import Run
from tasks.scoring.evaluate import load_detector
from tasks.test import checkpoints


def explain(run: Run) -> None:
    """Writes artefact maps of the most confident images of every tested stage, and attention if the detector has it.

    Raises:
        ConfigError: the detector has no maps, or ``explain.images`` is negative.
        DataError: a stage has not been tested, or a requested image was not tested.
    """
    if run.config.explain.images < 0:
        raise ConfigError(f"explain.images={run.config.explain.images} is negative", "Give 0 or more.")
    datamodule, benchmark = run.datamodule(), run.benchmark()
    manifest = datamodule.manifest()
    rows_of = {name: row for row, name in enumerate(manifest.column("id").tolist())}
    for folder, checkpoint in checkpoints(run):
        dump = folder.predictions("test")
        if not dump.is_file():
            raise DataError(f"{dump} does not exist", f"Run task=test experiment_id={run.experiment_id} first.")
        detector = load_detector(run, checkpoint).detector
        if not isinstance(detector, Explainable):
            raise ConfigError(
                f"{type(detector).__name__} has no artefact maps to show",
                "Use detector=npr or detector=npr_multiscale.",
            )
        predictions = read_predictions(dump)
        names = chosen(predictions, run.config.explain.ids, run.config.explain.images)
        gone = [name for name in names if name not in rows_of]
        if gone:
            raise DataError(f"image {gone[0]!r} of {dump} is not in the data", "Give the data that was tested.")
        rows = np.array([rows_of[name] for name in names], dtype=np.int64)
        found: dict[int, Tensor] = {}
        tested = benchmark.stage_test_rows(manifest, folder.index)
        for view, part in benchmark.passes(manifest, tested, detector.eval_view):
            datamodule.use(detector.train_view, view, benchmark.degrade, detector.sides)
            found = looked_at(datamodule, part[np.isin(part, rows)]) | found  # the first view has the dump's scores
        out = Path(run.config.explain.out).expanduser() if run.config.explain.out else folder.path / "explain"
        images = {name: found[row] for name, row in zip(names, rows.tolist(), strict=True) if row in found}
        files = write_explanation(predictions, detector, images, out, folder.path / "maps")
        print(f"{len(files)} files in {out}, such as {', '.join(file.name for file in files[:2])}")


def chosen(predictions: Predictions, ids: list[str], count: int) -> list[str]:
    """The requested images, else the most confident ones.

    Raises:
        DataError: a requested image was not tested.
    """
    known = set(predictions.fused_ids.tolist())
    for name in ids:
        if name not in known:
            raise DataError(f"explain.ids: image {name!r} was not tested", nearest(name, known))
    return list(ids) or [str(predictions.fused_ids[k]) for k in most_confident(predictions, count)]


def looked_at(datamodule: Any, rows: Rows) -> dict[int, Tensor]:
    """The first crop of each row as the detector sees it; unreadable images are omitted."""
    found: dict[int, Tensor] = {}
    if not len(rows):
        return found
    datamodule.evaluate(rows)
    for batch in datamodule.test_dataloader():
        for crop, image in reversed(list(enumerate(batch.crop_to_image.tolist()))):
            found[int(batch.row[image])] = batch.images[crop]
    return found
