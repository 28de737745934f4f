"""``task=predict``: score any images with any checkpoint."""

from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from benchmarks.predictions import Predictions, write_predictions
from callbacks.collector import Collector
from contracts.errors import ConfigError
from tasks.evaluate import load_detector, quiet_trainer, score, with_provenance
from tasks.failures import write_failures
from tasks.run import Run

SHOWN = 20


def predict(run: Run) -> None:
    """Scores every image the data module names; writes npz and CSV and prints the highest scores.

    Raises:
        ConfigError: no checkpoint was given.
    """
    if run.ckpt is None:
        raise ConfigError("task=predict needs weights to score with", "Give ckpt=FILE.")
    loaded = load_detector(run, run.ckpt)
    datamodule = run.datamodule()
    datamodule.use(loaded.detector.train_view, loaded.detector.eval_view)
    rows = datamodule.manifest().rows("train", "valid", "test", "")
    collector = Collector()
    trainer = quiet_trainer(run, collector, logger=False)
    predictions = score(trainer, loaded.detector, datamodule, rows, collector, "predict")
    if predictions is None:
        return
    predictions = with_provenance(predictions, run, loaded, datamodule, "predict")
    out = Path(run.predict.out) if run.predict.out else run.folder
    out.mkdir(parents=True, exist_ok=True)
    write_predictions(out / "predictions_predict_all.npz", predictions)
    frame = scores_frame(predictions, loaded.threshold)
    frame.to_csv(out / "predictions.csv", index=False)
    write_failures(out / "failures.csv", collector.failures)
    Console().print(_screen(frame, loaded.threshold))
    print(f"{len(frame)} images scored: {out / 'predictions.csv'}")


def scores_frame(predictions: Predictions, threshold: float | None) -> pd.DataFrame:
    """One row an image: id, where, score, logit, verdict at the validation threshold (0.5 where there is none)."""
    limit = 0.5 if threshold is None else threshold
    frame = pd.DataFrame(
        {
            "id": predictions.fused_ids,
            "where": predictions.where,
            "label": predictions.fused_labels,
            "score": predictions.fused_scores,
            "logit": predictions.fused_logits,
            "generated": predictions.fused_scores > limit,
        }
    )
    for name, values in predictions.extra.items():
        for column, part in enumerate(values.reshape(len(values), -1).T):
            frame[name if values.ndim == 1 else f"{name}_{column}"] = part
    return frame


def _screen(frame: pd.DataFrame, threshold: float | None) -> Table:
    rule = "0.5, none was chosen on validation" if threshold is None else f"{threshold:.4f}, chosen on validation"
    table = Table(title=f"P(generated); called generated above {rule}")
    for name in ("image", "score", "generated"):
        table.add_column(name, justify="left" if name == "image" else "right")
    ordered = frame.sort_values("score", ascending=False)
    for _, row in ordered.head(SHOWN).iterrows():
        table.add_row(str(row["id"]), f"{row['score']:.4f}", "yes" if row["generated"] else "no")
    if len(ordered) > SHOWN:
        table.caption = f"the highest {SHOWN} of {len(ordered)}; {int(frame['generated'].sum())} called generated"
    return table
