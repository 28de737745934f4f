"""``task=trace``: attribute each image to a generator."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.metrics import Metric
from benchmarks.predictions import Predictions, write_predictions
from benchmarks.torch_metrics import check_metrics
from contracts.errors import ConfigError
from contracts.files import write_npz
from contracts.stage import Rows
from contracts.words import counted
from datamodules.tables.manifest import Manifest
from detectors.tracer.deciding.evidence import Evidence
from detectors.tracer.models.sizes import OUTLIER
from detectors.tracer.tracer import Tracer
from tasks.experiment.run import Run
from tasks.experiment.stage_folder import StageFolder
from tasks.scoring.evaluate import config_hash, versions
from tasks.scoring.failures import write_failures
from tasks.scoring.report import report_attribution
from tasks.tracing.decide import Decisions
from tasks.tracing.images import Images, look
from tasks.tracing.machine import Machine
from tasks.tracing.outputs import DIAGNOSIS, diagnosis, dump, submit
from tasks.tracing.steps import Steps

SPLITS = ("train", "valid", "test")


def trace(run: Run) -> None:
    """Attributes every image to a generator or to ``outlier``; writes decisions, dumps and a submission.

    Raises:
        ConfigError: the detector is not a tracer, or a split is unknown.
        DataError: images cannot be traced, or there are too few to fit on.
    """
    options, tracer = run.config.trace, run.detector()
    if not isinstance(tracer, Tracer):
        raise ConfigError(f"task=trace needs a tracer, not {type(tracer).__name__}", "Choose detector=tracer.")
    for split in options.fit_on:
        if split not in SPLITS:
            raise ConfigError(f"trace.fit_on: split {split!r} is unknown", f"Choose from {', '.join(SPLITS)}.")
    metrics = run.metrics()
    check_metrics(metrics, len(tracer.sources))
    datamodule = run.datamodule()
    manifest: Manifest = datamodule.manifest()
    out = run.out(options.out)
    machine = Machine(run.composed.resolved["trainer"], options.batch, options.block)
    if machine.first:
        _introduce(tracer, manifest)
    every = np.arange(len(manifest), dtype=np.int64)
    sizes = [tracer.zoo.tokenizer(family).image_size for family in tracer.zoo.tokenizers]
    images = look(datamodule, every, sizes, options.refused)
    cache = Path(options.cache).expanduser() if options.cache else out / "trace_cache"
    evidence = Steps(tracer, machine, datamodule, images, cache, options.positions).evidence()
    if machine.first:
        _conclude(run, tracer, manifest, images, evidence, out, metrics)


def truth_of(manifest: Manifest, rows: Rows, tracer: Tracer) -> NDArray[np.str_]:
    """Class of each image for fitting; empty if unknown, or if the variant's weights are absent."""
    labels, names = manifest.labels[rows], manifest.column("generator")[rows].astype(str)
    truth = np.where(labels == 0, OUTLIER, np.where(labels == 1, names, ""))
    return np.where(np.isin(truth, tracer.classes), truth, "")


def _introduce(tracer: Tracer, manifest: Manifest) -> None:
    print(f"classes: {', '.join(tracer.classes)}")
    if tracer.zoo.absent:
        print(f"left out, since their weights are absent: {', '.join(tracer.zoo.absent)}")
    for family in tracer.zoo.tokenizers:
        if family not in tracer.inverse:
            print(f"no inverse decoder for {family}: its own encoder is used, which recovers fewer tokens")
    unknown = sorted(set(manifest.generator_names) - {""} - set(tracer.classes))
    if unknown:
        print(f"images by {', '.join(unknown)} are not used for fitting, and count as {OUTLIER} in the evaluation")


def _conclude(
    run: Run,
    tracer: Tracer,
    manifest: Manifest,
    images: Images,
    evidence: Evidence,
    out: Path,
    metrics: Mapping[str, Metric],
) -> None:
    """Fits or loads the decisions, scores every image, and writes all results."""
    options, ids = run.config.trace, manifest.column("id")[images.rows]
    write_failures(out / "failures.csv", images.refused)
    decisions = Decisions(tracer, out / "decisions")
    truth = truth_of(manifest, images.rows, tracer)
    split = manifest.column("split")[images.rows].astype(str)
    split[split == ""] = "test"
    fitted = np.isin(split, options.fit_on if options.decision is None else []) & (truth != "")
    inside, outside = np.flatnonzero(fitted), np.flatnonzero(~fitted)
    if options.decision is None:
        decisions.fit(evidence.take(inside), truth[inside])
        about = {
            "seed": run.config.seed,
            "seen_generators": list(tracer.families),
            "versions": versions(),
            "stage": "trace",
        }
        decisions.write_checkpoint(out / "tracer.ckpt", evidence, run.composed.resolved["detector"], about)
        print(f"checkpoint for task=test and task=predict: ckpt={out / 'tracer.ckpt'}")
    else:
        decisions.load(Path(options.decision).expanduser(), evidence)
    folder = StageFolder(out, 0)
    for place, route in enumerate(tracer.routes):
        posterior = np.zeros((len(truth), len(tracer.classes)))
        posterior[outside] = decisions.score(route, evidence.take(outside))
        if len(inside):
            posterior[inside] = decisions.cross_score(route, evidence.take(inside), truth[inside], ids[inside])
        for name in SPLITS:
            rows = np.flatnonzero(split == name)
            if not len(rows):
                continue
            predictions = dump(
                manifest, images.rows[rows], posterior[rows], tracer.classes, experiment=run.experiment_id,
                stage=f"{name} · {route}", route=route, families=tracer.families, prior=tracer.prior,
                cross_fitted=int(fitted[rows].sum()), detector=run.composed.resolved["detector"], seed=run.config.seed,
                config_hash=config_hash(run.composed.resolved), versions=versions(),
                diagnosis=DIAGNOSIS.format(split=name),
            )  # fmt: skip
            write_predictions(folder.predictions(name if place == 0 else f"{name}_{route}"), predictions)
            report_attribution(folder, f"attribution_{name}_{route}", predictions, f"{name}, route {route}", metrics)
            if place == 0 and name == "test":
                _submit(out, manifest, images, predictions, tracer)
    for name in SPLITS:
        rows = np.flatnonzero(split == name)
        if len(rows):
            part = evidence.take(rows)
            curves = {f"curve/{key}": value for key, value in decisions.curves(part).items()}
            arrays = diagnosis(part, ids[rows], decisions.alpha) | curves
            write_npz(folder.path / DIAGNOSIS.format(split=name), arrays, compressed=True)
    print(f"dumps are in {folder.path}; make a page with task=review experiment_id={run.experiment_id}")


def _submit(out: Path, manifest: Manifest, images: Images, predictions: Predictions, tracer: Tracer) -> None:
    """Writes ``submission.csv`` if there are unlabelled test images."""
    rows = manifest.rows("test", "")
    rows = rows[manifest.labels[rows] == -1]
    if len(rows):
        refused = {failure.id for failure in images.refused}
        count = submit(out / "submission.csv", manifest, rows, predictions, tracer.classes)
        left = sum(manifest.image_id(int(row)) in refused for row in rows)
        note = f", {left} of them for rejected images, which count as {OUTLIER}" if left else ""
        print(f"{out / 'submission.csv'}: {counted(count, 'answer')}{note}")
