"""``task=predict``: score any images with any checkpoint."""

import json
from collections.abc import Callable
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.table import Table

from benchmarks.calibration.stored import RAW, Stored
from benchmarks.calibration.stored import load as load_calibration
from benchmarks.predictions import Predictions, write_predictions
from benchmarks.thresholds.columns import ColumnThreshold, load
from benchmarks.thresholds.conformal import expected_precision, posterior
from callbacks.collector import Collector
from contracts.errors import ConfigError
from contracts.files import write_atomically
from contracts.screen import display
from contracts.stage import Rows
from contracts.words import counted
from tasks.experiment.run import Run
from tasks.scoring.cost import Meter
from tasks.scoring.evaluate import Loaded, config_hash, load_detector, quiet_trainer, score, with_provenance
from tasks.scoring.failures import failures_listed, write_failures
from tasks.scoring.map_files import draw_maps
from tasks.scoring.redelivered import Again, again, asked, counted_verdicts, curves, verdict, verdicts, write_dumps
from tasks.scoring.score_frame import called, csv_text, scores_frame, summary
from tasks.scoring.shards import Scored, Shards, shard_number
from tasks.threshold import FILE

SHOWN = 20


def predict(run: Run) -> None:
    """Scores every image of the data module, writes a dump and a CSV file, and prints the highest scores.

    Raises:
        ConfigError: no checkpoint is given.
    """
    if run.ckpt is None:
        raise ConfigError("task=predict needs weights to score with", "Give ckpt=FILE.")
    options = run.config.predict
    if options.prevalence is not None:
        posterior(np.zeros(1), options.prevalence)  # rejects a value out of range before anything is scored
    if options.calibration and run.config.calibrated:
        raise ConfigError("predict.calibration with calibrated=true", "Choose one: a file, or the checkpoint's own.")
    ways = asked(options)
    out = run.out(options.out)
    stored = Path(options.threshold).expanduser() if options.threshold else out / FILE
    loaded = load_detector(run, run.ckpt)
    scored_by = {"weights_sha256": loaded.weights, "detector_hash": loaded.options}
    chosen = load(stored, scored_by) if options.threshold or stored.is_file() else None
    calibration = loaded.calibration
    if options.calibration:
        calibration = load_calibration(Path(options.calibration).expanduser())
        calibration.refuse_other(loaded.weights, loaded.options, options.calibration)
    if loaded.calibration and chosen is not None and chosen.column in ("score", "logit"):
        raise ConfigError(
            f"calibrated=true, and {stored} has a threshold on the {chosen.column} before calibration",
            f"Run task=threshold threshold.column={RAW} on a calibrated dump, or leave one of them out.",
        )
    datamodule = run.datamodule()
    datamodule.use(loaded.detector.train_view, loaded.detector.eval_view, sides=loaded.detector.sides)
    rows = datamodule.manifest().rows("train", "valid", "test", "")
    collector = Collector(run.benchmark().fusion)
    trainer = quiet_trainer(run, collector, scored=(loaded.detector, datamodule), logger=False)

    def scored(part: Rows) -> Scored:
        with failures_listed(out / "failures.csv", collector):
            found = score(trainer, loaded.detector, datamodule, part, collector, "predict")
        return Scored(found, collector.failures, collector.notes)

    meter = Meter(loaded.detector, trainer)
    if options.shards == 1:
        with meter:
            predictions, failures, notes = scored(rows)
    else:
        predictions, failures, notes = _in_shards(run, out, loaded, datamodule, rows, scored)
        predictions = predictions if trainer.is_global_zero else None
    passes: dict[str, Again] = {}
    with datamodule.decoding_once():
        for number, (name, delivery) in enumerate(ways.items(), 1):
            if trainer.is_global_zero:
                print(f"delivery {number} of {len(ways)}: {name}", flush=True)
            datamodule.use(loaded.detector.train_view, loaded.detector.eval_view, delivery, loaded.detector.sides)
            passes[name] = again(trainer, loaded.detector, datamodule, rows, collector)
    if ways:
        datamodule.use(loaded.detector.train_view, loaded.detector.eval_view, sides=loaded.detector.sides)  # for maps
    if predictions is None:
        return

    def described(found: Predictions) -> Predictions:
        return with_provenance(found, run, loaded, datamodule, "predict")

    predictions = described(predictions)
    out.mkdir(parents=True, exist_ok=True)
    write_predictions(out / "predictions_predict_all.npz", predictions)
    if options.shards == 1:
        meter.write(out, len(predictions))
    first = loaded.detector.first_columns
    rule = chosen or loaded.threshold
    further, delivered, generated = pd.DataFrame(), None, called(predictions, rule)
    undecidable = _undecidable(calibration if options.unsure_band else None, predictions, generated)
    if passes:
        passes = {
            name: Again(None if one is None else described(one), failed) for name, (one, failed) in passes.items()
        }
        delivered = curves(predictions, passes, lambda one: called(one, rule))
        further = verdicts(predictions.fused_scores, generated, delivered, options.unsure_flips, undecidable)
        write_dumps(out, passes)
        write_atomically(out / "deliveries.csv", delivered.to_csv(index=False).encode())
    elif undecidable is not None:
        further["verdict"] = verdict(generated, undecidable)
    if "verdict" in further:
        print(counted_verdicts(further, delivered, None if undecidable is None else int(undecidable.sum())))
    calibrated = None
    if calibration is not None and loaded.calibration is None:
        further["calibrated"] = calibration.probability(predictions.fused_logits)
        calibrated = calibration.calibration(predictions.fused_logits)
    share = calibration.calibration.share if calibration else 0.5
    frame = scores_frame(predictions, rule, first, failures, notes, options.prevalence, further, share, calibrated)
    write_atomically(out / "predictions.csv", csv_text(frame).encode())
    write_failures(out / "failures.csv", failures)
    display(_screen(frame.head(len(predictions)), _rule(chosen, stored, loaded.threshold)))
    if options.prevalence is not None:
        print(_expected(chosen or loaded.about.get("threshold"), options.prevalence))
    figures = summary(frame, first or ("score", "logit"))
    write_atomically(out / "summary.json", (json.dumps(figures, indent=1) + "\n").encode())
    if first:
        display(_summary(figures))
    if options.maps:
        print(f"maps: {draw_maps(loaded.detector, datamodule, predictions, out, options.maps, options.robust)}")
    passed = f", {datamodule.ignored} skipped" if datamodule.ignored else ""
    print(f"{counted(len(predictions), 'image')} scored{passed}: {out / 'predictions.csv'}")
    if notes:
        print(f"{counted(len(notes), 'image')} with damaged metadata, which affects no pixel; see the column 'note'")


def _undecidable(
    calibration: Stored | None, predictions: Predictions, generated: NDArray[np.bool_]
) -> NDArray[np.bool_] | None:
    """[N] whether the calibration found each score undecidable; None if it does not say."""
    if calibration is None or calibration.band is None:
        return None
    return calibration.band.unsure(predictions.extra.get(RAW, predictions.fused_logits), generated)


def _in_shards(
    run: Run, out: Path, loaded: Loaded, datamodule: Any, rows: Rows, scored: Callable[[Rows], Scored]
) -> Scored:
    """Scores one shard; returns all predictions once the last shard is complete, else None as predictions."""
    ids = datamodule.manifest().column("id")[rows].tolist()
    key = config_hash({"weights": loaded.sha256, "ids": ids, "decoder": datamodule.decoder})
    shards = Shards(out / "shards", run.config.predict.shards, key)
    number = shard_number(run.config.predict.shard, shards.count, "predict")
    if not shards.done(number):
        shards.score(number, lambda: scored(shards.rows(rows, number)))
    if missing := shards.missing():
        print(f"shard {number} of {shards.count} is scored; shards still missing ({len(missing)}): {missing[:10]}")
        return Scored(None, [], {})
    return shards.merged(ids)


def _rule(chosen: ColumnThreshold | None, stored: Path, validation: float | None) -> str:
    if chosen is not None:
        return f"called generated where {chosen} ({chosen.rule}, {stored})"
    if validation is None:
        return "called generated above 0.5; no threshold was chosen on validation images"
    return f"called generated above {validation:.4f}, chosen on validation"


def _expected(rule: Any, prevalence: float) -> str:
    """The precision to expect, from the rates on the images that the threshold was chosen on."""
    rates = vars(rule) if isinstance(rule, ColumnThreshold) else rule or {}
    if any(rates.get(name) is None or isnan(rates[name]) for name in ("tpr", "fpr")):
        return (
            f"prevalence {prevalence:g}: the rates of the threshold are unknown, so the expected precision is unknown"
        )
    if rates["fpr"] == 0:  # not a rate of 0, but one too small for so few images to show
        return (
            f"prevalence {prevalence:g}: none of the real images that the threshold was chosen on is called "
            "generated, so the expected precision is unknown; choose the threshold on more real images"
        )
    precision = expected_precision(rates["tpr"], rates["fpr"], prevalence)
    return (
        f"prevalence {prevalence:g}: {precision:.1%} of the images called generated are expected to be generated (true "
        f"and false positive rates of the threshold: {rates['tpr']:.3f}, {rates['fpr']:.3f})"
    )


def _screen(frame: pd.DataFrame, rule: str) -> Table:
    table = Table(title=f"P(generated); {rule}")
    for name in ("image", "score", "generated"):
        table.add_column(name, justify="left" if name == "image" else "right")
    ordered = frame.sort_values("score", ascending=False)
    for _, row in ordered.head(SHOWN).iterrows():
        table.add_row(str(row["id"]), f"{row['score']:.4f}", "yes" if row["generated"] else "no")
    if len(ordered) > SHOWN:
        table.caption = f"the highest {SHOWN} of {len(ordered)}; {int(frame['generated'].sum())} called generated"
    return table


def _summary(figures: dict[str, Any]) -> Table:
    title = f"{figures['scored']} of {counted(figures['images'], 'image')} scored, {figures['failed']} failed"
    table = Table(title=title)
    for name in ("score", "mean", "median", "p95"):
        table.add_column(name, justify="left" if name == "score" else "right")
    for name, values in figures["scores"].items():
        table.add_row(name, *(f"{values[key]:.4f}" for key in ("mean", "median", "p95")))
    return table
