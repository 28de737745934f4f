import csv
import io
from math import isnan

import numpy as np
from rich.console import Console
from synthetic_predictions import draw

from benchmarks.evaluation import evaluate
from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.tables import Table, tidy_csv

P = draw(generators=("v2", "v10", "new_one"))
RESULTS = Bootstrap(resamples=50)(P, evaluate(P))
TABLE = Table.of(RESULTS, ["v2", "v10"])


def test_unseen_generators_are_separate_and_names_sort_naturally():
    assert [(row.section, row.name) for row in TABLE.rows] == [
        ("", "all images"), ("", "seen generators"), ("", "unseen generators"), ("", "mean of 3 generators"),
        ("seen", "v2"), ("seen", "v10"), ("unseen", "new_one"),
    ]  # fmt: skip
    assert TABLE.heads == ("AUROC", "AP", "Acc @ 0.5", "Acc @ val.")
    assert {row.section for row in Table.of(RESULTS).rows} == {"", "generators"}


def test_every_form_shows_the_same_numbers():
    pooled = next(r for r in RESULTS if r.key == ("pooled", "", "auroc", ""))
    value = f"{pooled.value:.3f}"
    console = Console(width=110, record=True, file=io.StringIO())
    console.print(TABLE.rich())
    shown = console.export_text()
    for text in (shown, TABLE.markdown(), TABLE.latex()):
        assert value in text
        assert "never seen in training" in text
    assert f"| **all images** | 120 | {value} " in TABLE.markdown()
    assert r"new\_one & " in TABLE.latex()
    assert max(map(len, shown.splitlines())) <= 110


def test_tidy_csv_is_complete_and_exact():
    rows = list(csv.DictReader(io.StringIO(tidy_csv(RESULTS))))
    assert len(rows) == len(RESULTS)
    for row, result in zip(rows, RESULTS, strict=True):
        assert row["reason"] == result.reason
        assert (row["value"] == "") == isnan(result.value)
        assert isnan(result.value) or float(row["value"]) == result.value


def test_a_tracers_tables_say_outlier():
    table = Table.of(RESULTS, tracer=True)
    for text in (table.markdown(), table.latex(), table.caption):
        assert "60 outlier and 60 generated images; each generator against all outliers" in text
        assert "real" not in text
    several = Table.of(RESULTS, views=("a", "b"), tracer=True)
    assert "the outliers seen through the same view (a, b)" in several.caption
    assert "60 real and 60 generated images; each generator against all real ones" in TABLE.caption


def test_the_caption_says_why_intervals_are_missing():
    few = P.select(np.flatnonzero((P.generators != "v2") | (np.cumsum(P.generators == "v2") <= 5)))
    table = Table.of(Bootstrap(resamples=50)(few, evaluate(few)))
    given = {row.name: [not isnan(cell.low) for cell in row.cells if cell is not None] for row in table.rows}
    assert not any(given["v2"])
    assert all(given["v10"])
    assert table.caption.endswith(
        "95 % bootstrap intervals, Wilson's for rates of 0 or 1, none of fewer than six photographs of a class"
    )
    assert "interval" not in Table.of(evaluate(few)).caption
