"""Metrics with intervals and their tables, stored and printed."""

from collections.abc import Mapping
from typing import Any

from benchmarks.attribution.measures import Attribution, attribution, own_figures
from benchmarks.attribution.tables import markdown as attribution_markdown
from benchmarks.attribution.tables import rich_table as attribution_table
from benchmarks.attribution.tables import tidy_csv as attribution_csv
from benchmarks.evaluation import Result, evaluate
from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.metrics import Metric, own_spec
from benchmarks.predictions import Predictions
from benchmarks.tables import COLUMNS, Table, tidy_csv
from benchmarks.views import views_of
from contracts.files import write_atomically
from contracts.screen import display
from tasks.experiment.stage_folder import StageFolder


def measured(predictions: Predictions, metrics: Mapping[str, Metric] | None = None) -> list[Result]:
    """Every metric, including the user's own, with its interval."""
    return Bootstrap()(predictions, evaluate(predictions, metrics=metrics or None), metrics or None)


def report(
    folder: StageFolder,
    stage: str,
    predictions: Predictions,
    threshold: dict[str, Any] | None,
    metrics: Mapping[str, Metric] | None = None,
) -> None:
    """Stores metrics of predictions in ``metrics.json`` and ``metrics_<stage>.{csv,md}``, and prints them.

    Args:
        folder: of the stage.
        stage: "validate" or "test".
        predictions: of the stage's images.
        threshold: chosen on validation, or None.
        metrics: of the user's own, by name; each has a column of the table, at the threshold chosen on validation if it
            depends on one. For a tracer, metrics of class probabilities are only in the attribution table.
    """
    metrics = metrics or {}
    tracer = predictions.class_names is not None
    binary = {name: one for name, one in metrics.items() if not (tracer and getattr(one, "multiclass", False))}
    results = measured(predictions, binary)
    content = {"threshold": threshold, stage: [result.as_json() for result in results]}
    folder.write_json("metrics.json", folder.read_json("metrics.json") | content)
    at = "validation" if predictions.about.get("threshold") is not None else "0.5"
    columns = (*COLUMNS, *((name, at if own_spec(name, one).thresholded else "") for name, one in binary.items()))
    table = Table.of(results, predictions.about.get("seen_generators"), columns, views_of(predictions), tracer)
    write_atomically(folder.path / f"metrics_{stage}.csv", tidy_csv(results).encode())
    write_atomically(folder.path / f"metrics_{stage}.md", table.markdown().encode())
    display(table.rich())
    if tracer:
        report_attribution(folder, f"attribution_{stage}", predictions, f"{stage}: which generator", metrics)


def report_attribution(
    folder: StageFolder, name: str, predictions: Predictions, title: str, metrics: Mapping[str, Metric]
) -> None:
    """Stores attribution metrics of a tracer in ``metrics.json`` and ``<name>.{csv,md}``, and prints them.

    Images of unknown origin are ignored.
    """
    answers = Attribution.of(predictions)
    if not len(answers):
        return
    figures = attribution(answers) + own_figures(answers, metrics)
    content = [figure.as_json() for figure in figures]
    folder.write_json("metrics.json", folder.read_json("metrics.json") | {name: content})
    write_atomically(folder.path / f"{name}.csv", attribution_csv(figures).encode())
    write_atomically(folder.path / f"{name}.md", attribution_markdown(figures, answers).encode())
    display(attribution_table(figures, title))
