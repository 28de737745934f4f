"""``task=fit``: train the stages of the benchmark that are not complete."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytorch_lightning as L
import yaml
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.utilities import rank_zero_only

from benchmarks.torch_metrics import check_metrics
from callbacks.averaged import averaging_first
from callbacks.checkpoints import Checkpoints, newest_resumable
from callbacks.collector import Collector
from callbacks.keyed_seed import KeyedSeed
from callbacks.passport import Passport
from callbacks.reporting.continued_axis import ContinuedAxis
from callbacks.reporting.score_histogram import ScoreHistogram
from callbacks.reporting.wandb_logger import StageLogger
from callbacks.validation_metrics import ValidationMetrics
from conf.training import debugging
from contracts.errors import ConfigError, DataError
from contracts.files import write_atomically
from contracts.stage import Stage
from contracts.words import counted
from datamodules.tables.manifest import Manifest
from detectors.parts.weights import load_weights
from tasks.checking.before_fit import check_averaging, check_monitors, fit_to_epoch
from tasks.checking.debugging import DebuggingRun
from tasks.experiment.dumps import write_dump
from tasks.experiment.lock import configuration_locked
from tasks.experiment.run import Run
from tasks.experiment.splits import record, refuse_changed_training
from tasks.experiment.stage_folder import StageFolder
from tasks.experiment.stage_rows import readable, rows_of
from tasks.experiment.tuned import apply_tuned
from tasks.scoring.evaluate import load_detector, quiet_trainer, score, versions, with_provenance
from tasks.scoring.failures import write_failures
from tasks.scoring.features import precompute
from tasks.scoring.report import report


def fit(run: Run) -> None:
    """Trains the stages that are not complete, each from the previous stage's weights; resumes an interrupted one."""
    if debugging(run.config.trainer):
        with TemporaryDirectory(prefix="pixelproof-") as temporary:
            _fit(DebuggingRun(run.composed, Path(temporary)))
        return
    with configuration_locked(run.folder, run.composed.resolved, run.composed.overrides):
        _fit(run)


def _fit(run: Run) -> None:
    datamodule, benchmark = run.datamodule(), run.benchmark()
    manifest = datamodule.manifest()
    start, steps = run.ckpt, 0
    stages = benchmark.stages(manifest)
    for stage in stages:
        refuse_test_rows(stage, manifest)
    if isinstance(run, DebuggingRun):
        _fit_stage(run, datamodule, benchmark, stages[0], StageFolder(run.folder, 0), start, steps)
        return
    refuse_changed_training(run.folder, manifest, stages)
    record(run.folder, manifest, stages)
    for stage in stages:
        folder = StageFolder(run.folder, stage.index)
        if folder.done:
            _say(f"{folder.path} is complete")
        else:
            _fit_stage(run, datamodule, benchmark, stage, folder, start, steps)
        start = folder.best()
        steps += int(folder.read_json("steps.json").get("steps", 0))
    _say(f"{run.folder}: every stage is trained; task=test experiment_id={run.experiment_id} scores the test images")


@rank_zero_only
def _say(text: str) -> None:
    print(text)


def refuse_test_rows(stage: Stage, manifest: Manifest) -> None:
    """Rejects a benchmark that trains or validates on test images.

    Raises:
        DataError: a stage trains or validates on a test image.
    """
    splits = manifest.column("split")
    for name, rows in rows_of(stage).items():
        leaked = rows[splits[rows] == "test"]
        if len(leaked):
            raise DataError(
                f"stage {stage.name!r} would {name} on {counted(len(leaked), 'test image')}, the first is "
                f"{manifest.image_id(leaked[0])!r}",
                "Fix the benchmark's stages: only task=test may use test images.",
            )


def accumulation(global_batch: int, batch_size: int, devices: int, given: int = 1) -> int:
    """Number of batches whose gradients are accumulated to reach the protocol's batch size.

    Args:
        global_batch: images per optimiser step in the protocol.
        batch_size: images per batch on one device.
        devices: on all machines together.
        given: ``trainer.accumulate_grad_batches``, which must be 1.

    Raises:
        ConfigError: the batch sizes do not divide, or ``given`` is not 1.
    """
    if given != 1:
        raise ConfigError(
            f"trainer.accumulate_grad_batches={given} together with benchmark.global_batch={global_batch}",
            "Remove it, since it is computed; or set benchmark.global_batch=null.",
        )
    steps, rest = divmod(global_batch, batch_size * devices)
    if rest or not steps:
        share = global_batch // devices
        fitting = [size for size in range(1, share + 1) if global_batch % (size * devices) == 0]
        near = sorted(fitting, key=lambda size: abs(size - batch_size))[:3]
        raise ConfigError(
            f"benchmark.global_batch={global_batch} is not a multiple of datamodule.batch_size={batch_size} "
            f"on {counted(devices, 'device')}",
            f"Set datamodule.batch_size to {', '.join(map(str, sorted(near)))}." if near else "Use fewer devices.",
        )
    return steps


def _fit_stage(
    run: Run, datamodule: Any, benchmark: Any, stage: Stage, folder: StageFolder, start: Path | None, steps: int
) -> None:
    L.seed_everything(run.config.seed, verbose=False)  # for the initial weights
    detector = run.detector()
    if start is not None:
        load_weights(detector, start)
    manifest = datamodule.manifest()
    stage = datamodule.paired(readable(stage, manifest, detector.trains_on))
    if isinstance(run, DebuggingRun):
        stage = run.few(stage, datamodule.batch_size)
    datamodule.use(detector.train_view, detector.eval_view, benchmark.degrade, detector.sides)
    datamodule.enter(stage)
    seen = sorted({manifest.generator_names[i] for i in manifest.generator_index[stage.train].tolist()} - {""})
    collector = Collector(benchmark.fusion)
    own = run.metrics()
    check_metrics(own, len(detector.sources))
    metrics = ValidationMetrics(collector, own)
    about = {"seed": run.config.seed, "seen_generators": seen, "versions": versions(), "stage": stage.name}
    beside = dict(
        zip(
            run.composed.resolved["callbacks"],
            run.callbacks(folder=folder.checkpoints, monitor=detector.monitor, mode=detector.monitor_mode),
            strict=True,
        )
    )
    check_averaging(beside, detector)
    check_monitors(beside, detector, manifest.labels[stage.validate], own)
    trainer = quiet_trainer(
        run,
        KeyedSeed(run.config.seed),
        collector,
        metrics,
        ScoreHistogram(collector),
        ContinuedAxis(steps),
        Passport(run.composed.resolved["detector"], metrics, about),
        *averaging_first(beside.values()),
        logger=_loggers(run, folder),
    )
    if trainer.is_global_zero:
        counts = f"{counted(len(stage.train), 'training image')}, {len(stage.validate):,} for validation"
        print(f"{folder.path}: {size(detector)}, {counts}")
        folder.path.mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump(run.composed.resolved, sort_keys=False, allow_unicode=True)
        write_atomically(folder.path / "config.yaml", text.encode())
    if benchmark.global_batch is not None:
        trainer.accumulate_grad_batches = accumulation(
            benchmark.global_batch, datamodule.batch_size, trainer.world_size, trainer.accumulate_grad_batches
        )
    if not isinstance(run, DebuggingRun):
        precompute(benchmark.features, detector, datamodule, benchmark.degrade, benchmark.copies, trainer)
    resume = newest_resumable(folder.checkpoints)
    if trainer.is_global_zero and (changed := folder.other_versions(versions(), resume is not None)):
        print(
            f"{folder.path} was started with other versions: {', '.join(changed)}. It continues, but its final weights "
            "may differ; install the old versions to reproduce them."
        )
    apply_tuned(run, trainer, detector, datamodule, folder)
    batches = len(stage.train) * stage.copies // (datamodule.batch_size * trainer.world_size)
    fit_to_epoch(trainer, batches, run.composed.resolved["trainer"].get("log_every_n_steps"))
    for logger in trainer.loggers:
        logger.log_hyperparams(run.composed.resolved)
        if isinstance(logger, StageLogger):
            logger.log_hyperparams({"command": list(run.composed.overrides)})  # task=candidates reads it
    try:
        trainer.fit(detector, datamodule=datamodule, ckpt_path=resume, weights_only=True)
    except MisconfigurationException as error:
        raise ConfigError(
            f"Lightning cannot train: {' '.join(str(error).split())}",
            "Change or remove the key or callback it names; task=doctor shows all of them.",
        ) from error
    _end_validated(trainer, detector, datamodule, metrics)
    if isinstance(run, DebuggingRun):
        _say(run.outcome(trainer.global_step, len(stage.validate), metrics.values))
        return
    if trainer.is_global_zero:
        folder.write_json("steps.json", {"before": steps, "steps": trainer.global_step})
    _validate_best(run, trainer, datamodule, benchmark, stage, folder, collector)


def _end_validated(trainer: L.Trainer, detector: Any, datamodule: Any, metrics: ValidationMetrics) -> None:
    """Validates the final weights if training ended between two validations, since they may be the best.

    Raises:
        ConfigError: training made no step.
    """
    if not trainer.global_step:
        raise ConfigError(
            "training ended before its first step",
            "Check trainer.max_epochs, max_steps and max_time (the time of an earlier start counts).",
        )
    for keeper in [one for one in trainer.callbacks if isinstance(one, Checkpoints)]:  # type: ignore[attr-defined]
        if keeper.validated != trainer.global_step:
            trainer.validate(detector, datamodule=datamodule, verbose=False)
            keeper.keep_if_best(trainer, {**trainer.callback_metrics, **metrics.values})


def size(detector: L.LightningModule) -> str:
    """A detector's name and number of parameters."""
    counts = [(parameter.numel(), parameter.requires_grad) for parameter in detector.parameters()]
    trained = sum(count for count, requires_grad in counts if requires_grad)
    return f"{type(detector).__name__} of {sum(count for count, _ in counts):,} parameters ({trained:,} trained)"


def _loggers(run: Run, folder: StageFolder) -> list[Any]:
    """The configured loggers, and always a CSV logger as a local copy."""
    name = f"{run.experiment_id}/{folder.path.name}"
    made = run.loggers(name=name, group=run.experiment_id)
    return made if any(isinstance(logger, CSVLogger) for logger in made) else [*made, CSVLogger(run.logs, name=name)]


def _validate_best(
    run: Run,
    trainer: L.Trainer,
    datamodule: Any,
    benchmark: Any,
    stage: Stage,
    folder: StageFolder,
    collector: Collector,
) -> None:
    """Scores the validation images with the best checkpoint and marks the stage as complete."""
    loaded = load_detector(run, folder.best())
    detector = loaded.detector
    datamodule.use(detector.train_view, detector.eval_view, benchmark.degrade, detector.sides)
    predictions = score(trainer, loaded.detector, datamodule, stage.validate, collector, "validate")
    if predictions is None:
        return
    predictions = with_provenance(predictions, run, loaded, datamodule, "validate")
    write_dump(folder, benchmark, "validate", predictions)
    if collector.failures:
        write_failures(run.folder / "failures.csv", collector.failures)
    report(folder, "validate", predictions, loaded.about.get("threshold"), run.metrics())
    for logger in trainer.loggers:
        if isinstance(logger, StageLogger):
            logger.end_stage(loaded.path, loaded.sha256)
    folder.finish()
