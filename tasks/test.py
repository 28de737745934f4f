"""``task=test``: score the test images with the best checkpoint of every stage."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.predictions import Predictions, read_predictions, write_predictions
from benchmarks.robustness.benchmark import delivery_dump
from benchmarks.torch_metrics import check_metrics
from benchmarks.views import joined
from callbacks.collector import Collector
from contracts.errors import CheckpointError, DataError
from contracts.screen import display
from contracts.stage import Rows
from contracts.view import Chain, SampleFunction
from datamodules.loading.dataset import Failure
from datamodules.tables.manifest import Manifest
from tasks.experiment.dumps import write_dump
from tasks.experiment.run import Run
from tasks.experiment.splits import refuse_trained
from tasks.experiment.stage_folder import StageFolder
from tasks.scoring.cost import Meter
from tasks.scoring.evaluate import (
    Loaded,
    config_hash,
    load_detector,
    quiet_trainer,
    score,
    versions,
    with_provenance,
)
from tasks.scoring.failures import failures_listed, write_failures
from tasks.scoring.features import precompute
from tasks.scoring.report import report


def test(run: Run) -> None:
    """Scores the test images once per stage, writes dumps and tables, and prints the benchmark's summary."""
    datamodule, benchmark = run.datamodule(), run.benchmark()
    scored = [_test_stage(run, datamodule, benchmark, folder, checkpoint) for folder, checkpoint in checkpoints(run)]
    if all(scored):
        for part in benchmark.summarise(run.folder):
            display(part)


def checkpoints(run: Run) -> list[tuple[StageFolder, Path]]:
    """The stages to score and the checkpoint of each: only ``ckpt=`` if given, else those of the experiment.

    Raises:
        CheckpointError: there is no checkpoint, or training of a stage is not complete.
    """
    if run.ckpt is not None:
        return [(StageFolder(run.folder, 0), run.ckpt)]
    found = sorted(int(path.name.removeprefix("window_")) for path in run.folder.glob("window_*"))
    folders = [StageFolder(run.folder, index) for index in found]
    if not folders:
        raise CheckpointError(
            f"{run.folder} contains no trained stage", "Give experiment_id= of a trained experiment, or ckpt=FILE."
        )
    for folder in folders:
        if not folder.done:
            raise CheckpointError(
                f"{folder.path} is not completely trained",
                f"Run task=fit experiment_id={run.experiment_id} again to continue it; or give ckpt=FILE.",
            )
    return [(folder, folder.best()) for folder in folders]


def _test_stage(run: Run, datamodule: Any, benchmark: Any, folder: StageFolder, checkpoint: Path) -> bool:
    """Scores one stage; True on rank 0, which has the results, False on other ranks."""
    loaded = load_detector(run, checkpoint)
    manifest, detector = datamodule.manifest(), loaded.detector
    metrics = run.metrics()
    check_metrics(metrics, len(detector.sources))
    tested = benchmark.stage_test_rows(manifest, folder.index)
    refuse_trained(checkpoint, manifest, tested, run.composed.resolved, roles=("train", "valid"), verb="test")
    collector = Collector(benchmark.fusion)
    beside = [one for one in run.callbacks(folder=folder.checkpoints) if "test" in getattr(one, "serves", ())]
    trainer = quiet_trainer(run, collector, *beside, scored=(detector, datamodule), logger=False)

    def scored(degrade: SampleFunction | Chain | None, failures: Path) -> Predictions | None:
        """All tested rows after a degradation; None on ranks other than 0."""
        parts: list[tuple[str, Predictions | None]] = []
        failed: dict[str, Failure] = {}
        for view, rows in benchmark.passes(manifest, tested, detector.eval_view):
            datamodule.use(detector.train_view, view, degrade, detector.sides)
            precompute(benchmark.features, detector, datamodule, degrade, benchmark.copies, trainer)
            same = sum(name.split("#")[0] == view.name for name, _ in parts)
            name = f"{view.name}#{same + 1}" if same else view.name
            with failures_listed(failures, collector):
                parts.append((name, score(trainer, detector, datamodule, rows, collector, "test")))
            failed |= {failure.id: failure for failure in collector.failures}
        whole = [(name, part) for name, part in parts if part is not None]
        if len(whole) < len(parts):
            return None
        rows = np.unique(np.concatenate([part.fused_identifiers for _, part in whole]))
        write_failures(failures, list(failed.values()))
        together = joined(whole, manifest.column("id")[rows].astype(str))
        return with_provenance(together, run, loaded, datamodule, "test")

    keys = _delivery_keys(run, loaded, manifest, tested, benchmark)
    missing = [name for name in keys if _key_of(delivery_dump(folder.path, name)) != keys[name]]
    with Meter(detector, trainer) as meter:
        predictions = scored(benchmark.degrade, run.folder / "failures.csv")
    if predictions is not None:
        predictions = benchmark.annotated(predictions, manifest, folder.index)
        file = write_dump(folder, benchmark, "test", predictions)
        if benchmark.features is None:  # kept features cost nothing more
            meter.write(folder.path, len(predictions))
        report(folder, "test", predictions, loaded.about.get("threshold"), metrics)
        print(f"{file}\ntask=review review.inputs=[{file}] makes the page")
    for number, name in enumerate(missing, 1):
        if predictions is not None:
            print(f"delivery {number} of {len(missing)}: {name}", flush=True)
        dump = delivery_dump(folder.path, name)
        found = scored(benchmark.deliveries[name], dump.with_name(f"failures_{name}.csv"))
        if found is not None:
            about = found.about | {"delivery": name, "delivery_key": keys[name]}
            write_predictions(dump, replace(found, provenance=json.dumps(about, sort_keys=True)))
    return predictions is not None


def _delivery_keys(run: Run, loaded: Loaded, manifest: Manifest, rows: Rows, benchmark: Any) -> dict[str, str]:
    """What the dump of each delivery depends on: if a dump has the same key, an interrupted test continues after it."""
    shared = {
        "weights": loaded.sha256,
        "config": {key: node for key, node in run.composed.resolved.items() if key not in ("benchmark", "ckpt")},
        "images": manifest.column("id")[rows].tolist(),
        "versions": versions(),
    }
    return {name: config_hash(shared | {"delivery": str(one)}) for name, one in benchmark.deliveries.items()}


def _key_of(dump: Path) -> str | None:
    """The key of a delivery's dump; None if there is no dump or it cannot be read."""
    try:
        return str(read_predictions(dump).about.get("delivery_key")) if dump.is_file() else None
    except DataError:
        return None
