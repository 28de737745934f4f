"""The subjects of filtered images and kept features run, and their baselines compute what they are compared with."""

import pytest

from bench.detectors import export, kept_features, residual
from bench.parts.table import Row
from bench.parts.timing import EFFORT


def measured(rows: list[Row]) -> dict[str, Row]:
    return {row.way: row for row in rows}


def test_a_quick_run_measures_detectors_and_front_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EFFORT, "quick")
    monkeypatch.setattr(residual, "SIZE", 64)
    threads = residual.torch.get_num_threads()
    monkeypatch.setattr(residual, "cores", lambda: threads)
    rows = measured(residual.measure())  # refuses rows whose values differ
    assert [row.target for way, row in rows.items() if not way.startswith("front end")] == [3.0, 3.0]
    assert {row.target for way, row in rows.items() if way.startswith("front end")} == {5.0}
    assert all("differ by at most" in row.note for row in rows.values())


def test_a_graph_is_timed_against_the_scores_it_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EFFORT, "quick")
    monkeypatch.setattr(export, "NAMES", ("tiny_ladeda",))
    monkeypatch.setattr(export, "FURTHER", {})
    monkeypatch.setattr(export, "cores", export.torch.get_num_threads)
    (row,) = export.measure()
    assert (row.target, row.unit) == (0.9, "images/s")
    monkeypatch.setattr(export, "TOLERANCE", -1.0)
    with pytest.raises(AssertionError, match="tiny_ladeda: logits differ by"):
        export.measure()


@pytest.mark.filterwarnings("ignore")
def test_a_head_on_kept_features_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EFFORT, "quick")
    monkeypatch.setattr(kept_features, "cores", kept_features.torch.get_num_threads)
    (row,) = kept_features.measure()
    assert (row.target, row.unit, row.ratio) == (10.0, "s", None)
    assert float(row.note.rsplit(" ", 1)[1]) > 0.6
