"""``task=test``: score the test images with the best checkpoint of every stage."""

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.predictions import Predictions
from benchmarks.torch_metrics import check_metrics
from benchmarks.views import joined
from callbacks.collector import Collector
from contracts.errors import CheckpointError
from contracts.screen import display
from datamodules.loading.dataset import Failure
from tasks.experiment.dumps import write_dump
from tasks.experiment.run import Run
from tasks.experiment.splits import refuse_trained
from tasks.experiment.stage_folder import StageFolder
from tasks.scoring.evaluate import load_detector, quiet_trainer, score, with_provenance
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
    trainer = quiet_trainer(run, collector, *beside, logger=False)
    parts: list[tuple[str, Predictions | None]] = []
    failures: dict[str, Failure] = {}
    for view, rows in benchmark.passes(manifest, tested, detector.eval_view):
        datamodule.use(detector.train_view, view, benchmark.degrade, detector.sides)
        precompute(benchmark.features, detector, datamodule, benchmark.degrade, benchmark.copies, trainer)
        same = sum(name.split("#")[0] == view.name for name, _ in parts)
        name = f"{view.name}#{same + 1}" if same else view.name
        with failures_listed(run.folder / "failures.csv", collector):
            parts.append((name, score(trainer, detector, datamodule, rows, collector, "test")))
        failures |= {failure.id: failure for failure in collector.failures}
    whole = [(name, part) for name, part in parts if part is not None]
    if len(whole) < len(parts):
        return False
    scored = np.unique(np.concatenate([part.fused_identifiers for _, part in whole]))
    together = joined(whole, manifest.column("id")[scored].astype(str))
    predictions = with_provenance(together, run, loaded, datamodule, "test")
    predictions = benchmark.annotated(predictions, manifest, folder.index)
    file = write_dump(folder, benchmark, "test", predictions)
    write_failures(run.folder / "failures.csv", list(failures.values()))
    report(folder, "test", predictions, loaded.about.get("threshold"), metrics)
    print(f"{file}\ntask=review review.inputs=[{file}] makes the page")
    return True
