"""``task=test``: score the test images with every stage's chosen checkpoint."""

from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.evaluation import evaluate
from benchmarks.predictions import read_predictions, write_predictions
from benchmarks.tables import table
from callbacks.collector import Collector
from contracts.errors import CheckpointError
from tasks.evaluate import load_detector, quiet_trainer, score, with_provenance
from tasks.failures import write_failures
from tasks.run import Run
from tasks.stage_folder import StageFolder


def test(run: Run) -> None:
    """Scores the test images once for every stage, writes the dumps, and prints the table of each."""
    datamodule, benchmark = run.datamodule(), run.benchmark()
    for folder, checkpoint in checkpoints(run):
        predictions = _test_stage(run, datamodule, benchmark, folder, checkpoint)
        if predictions is not None:
            Console().print(table(read_predictions(predictions)))
            print(f"{predictions}\ntask=review review.inputs=[{predictions}] makes the page")


def checkpoints(run: Run) -> list[tuple[StageFolder, Path]]:
    """The stages to score and the checkpoint of each: ``ckpt=`` alone, or those of the experiment.

    Raises:
        CheckpointError: neither is there.
    """
    if run.ckpt is not None:
        return [(StageFolder(run.folder, 0), run.ckpt)]
    found = sorted(int(path.name.removeprefix("window_")) for path in run.folder.glob("window_*"))
    folders = [StageFolder(run.folder, index) for index in found]
    if not folders:
        raise CheckpointError(
            f"{run.folder} holds no trained stage", "Give experiment_id= of a trained experiment, or ckpt=FILE."
        )
    return [(folder, folder.best()) for folder in folders]


def _test_stage(run: Run, datamodule: Any, benchmark: Any, folder: StageFolder, checkpoint: Path) -> Path | None:
    loaded = load_detector(run, checkpoint)
    datamodule.use(loaded.detector.train_view, loaded.detector.eval_view, benchmark.degrade)
    rows = benchmark.test_rows(datamodule.manifest())
    collector = Collector(run.resolved["benchmark"].get("fusion", "mean_probability"))
    trainer = quiet_trainer(run, collector, logger=False)
    predictions = score(trainer, loaded.detector, datamodule, rows, collector, "test")
    if predictions is None:
        return None
    predictions = with_provenance(predictions, run, loaded, datamodule, "test")
    write_predictions(folder.predictions("test"), predictions)
    write_failures(run.folder / "failures.csv", collector.failures)
    results = [result.as_json() for result in evaluate(predictions)]
    content = folder.read_json("metrics.json") | {"threshold": loaded.about.get("threshold"), "test": results}
    folder.write_json("metrics.json", content)
    return folder.predictions("test")
