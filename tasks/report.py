"""From predictions to what is stored and shown: metrics with intervals, and their table."""

from typing import Any

from rich.console import Console

from benchmarks.evaluation import Result, evaluate
from benchmarks.intervals import Bootstrap
from benchmarks.predictions import Predictions
from benchmarks.tables import Table, tidy_csv
from contracts.files import write_atomically
from tasks.stage_folder import StageFolder


def measured(predictions: Predictions) -> list[Result]:
    """Every metric with its interval."""
    return Bootstrap()(predictions, evaluate(predictions))


def report(folder: StageFolder, stage: str, predictions: Predictions, threshold: dict[str, Any] | None) -> None:
    """Stores the metrics of a set of predictions in ``metrics.json`` and ``metrics_<stage>.{csv,md}``, and shows them.

    Args:
        folder: of the stage.
        stage: "validate" or "test".
        predictions: what was scored.
        threshold: chosen on validation, or None.
    """
    results = measured(predictions)
    content = {"threshold": threshold, stage: [result.as_json() for result in results]}
    folder.write_json("metrics.json", folder.read_json("metrics.json") | content)
    table = Table.of(results, predictions.about.get("seen_generators"))
    write_atomically(folder.path / f"metrics_{stage}.csv", tidy_csv(results).encode())
    write_atomically(folder.path / f"metrics_{stage}.md", table.markdown().encode())
    Console().print(table.rich())
