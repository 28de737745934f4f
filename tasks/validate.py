"""``task=validate``: score the validation images again with the best checkpoint of every stage."""

from benchmarks.torch_metrics import check_metrics
from callbacks.collector import Collector
from callbacks.validation_metrics import ValidationMetrics
from tasks.experiment.dumps import write_dump
from tasks.experiment.run import Run
from tasks.experiment.splits import refuse_trained
from tasks.experiment.stage_rows import readable
from tasks.scoring.evaluate import load_detector, quiet_trainer, score, with_provenance
from tasks.scoring.failures import failures_listed, write_failures
from tasks.scoring.report import report
from tasks.test import checkpoints


def validate(run: Run) -> None:
    """Scores each stage's validation images, writes the dump and prints its table."""
    datamodule, benchmark = run.datamodule(), run.benchmark()
    stages = {stage.index: stage for stage in benchmark.stages(datamodule.manifest())}
    for folder, checkpoint in checkpoints(run):
        loaded = load_detector(run, checkpoint)
        stage = readable(stages[folder.index], datamodule.manifest(), loaded.detector.trains_on)
        refuse_trained(
            checkpoint, datamodule.manifest(), stage.validate, run.composed.resolved, roles=("train",), verb="validate"
        )
        detector = loaded.detector
        metrics = run.metrics()
        check_metrics(metrics, len(detector.sources))
        datamodule.use(detector.train_view, detector.eval_view, benchmark.degrade, detector.sides)
        datamodule.enter(stage)
        collector = Collector(benchmark.fusion)
        trainer = quiet_trainer(run, collector, ValidationMetrics(collector), logger=False)
        with failures_listed(run.folder / "failures.csv", collector):
            predictions = score(trainer, detector, datamodule, stage.validate, collector, "validate")
        if predictions is not None:
            predictions = with_provenance(predictions, run, loaded, datamodule, "validate")
            if collector.failures:
                write_failures(run.folder / "failures.csv", collector.failures)
            write_dump(folder, benchmark, "validate", predictions)
            report(folder, "validate", predictions, loaded.about.get("threshold"), metrics)
