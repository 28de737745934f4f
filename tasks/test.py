"""``task=test``: score the test images with the best checkpoint of every stage."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.predictions import Predictions
from benchmarks.torch_metrics import check_metrics
from benchmarks.views import joined
from callbacks.collector import Collector
from contracts.errors import CheckpointError
from contracts.screen import display
from contracts.stage import Rows
from contracts.view import Chain, SampleFunction
from datamodules.loading.dataset import Failure
from tasks.experiment.dumps import write_dump
from tasks.experiment.run import Run
from tasks.experiment.splits import refuse_trained
from tasks.experiment.stage_folder import StageFolder
from tasks.scoring.cost import Meter
from tasks.scoring.delivered_dumps import Pass, Tested, delivery_keys, write_deliveries
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
    trainer = quiet_trainer(run, collector, *beside, scored=(detector, datamodule), logger=False)

    def scored(degrade: SampleFunction | Chain | None, rows: Rows, failures: Path | None = None) -> Pass:
        """Scores rows after a degradation; no predictions on ranks other than 0."""
        parts: list[tuple[str, Predictions | None]] = []
        failed: dict[str, Failure] = {}
        for view, seen in benchmark.passes(manifest, rows, detector.eval_view):
            datamodule.use(detector.train_view, view, degrade, detector.sides)
            precompute(benchmark.features, detector, datamodule, degrade, benchmark.copies, trainer)
            same = sum(name.split("#")[0] == view.name for name, _ in parts)
            name = f"{view.name}#{same + 1}" if same else view.name
            with failures_listed(failures, collector) if failures else nullcontext():
                parts.append((name, score(trainer, detector, datamodule, seen, collector, "test")))
            failed |= {failure.id: failure for failure in collector.failures}
        whole = [(name, part) for name, part in parts if part is not None]
        if len(whole) < len(parts):
            return None, []
        found = np.unique(np.concatenate([part.fused_identifiers for _, part in whole]))
        together = joined(whole, manifest.column("id")[found].astype(str))
        return with_provenance(together, run, loaded, datamodule, "test"), list(failed.values())

    file = run.folder / "failures.csv"
    with Meter(detector, trainer) as meter:
        clean = scored(benchmark.degrade, tested, file)
    if clean[0] is not None:
        write_failures(file, clean[1])
        predictions = benchmark.annotated(clean[0], manifest, folder.index)
        dump = write_dump(folder, benchmark, "test", predictions)
        if benchmark.features is None:  # cached features hide the cost of the network
            meter.write(folder.path, len(predictions))
        report(folder, "test", predictions, loaded.about.get("threshold"), metrics)
        print(f"{dump}\ntask=review review.inputs=[{dump}] writes the page")
    ids = manifest.column("id")[tested].astype(str)
    keys = delivery_keys(run, loaded, ids, benchmark.deliveries)
    images = Tested(tested, ids, clean)
    with datamodule.decoding_once():
        write_deliveries(folder, benchmark.deliveries, keys, images, datamodule, collector, scored)
    return clean[0] is not None
