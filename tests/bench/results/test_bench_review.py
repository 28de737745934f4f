"""The subject of the review page times every interaction of a small page."""

import pytest
from browser import CHROMIUM

from bench.parts.timing import EFFORT


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here to look at the page with")
def test_a_quick_run_times_every_interaction(monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.results import review

    monkeypatch.setenv(EFFORT, "quick")
    rows = {row.way: row for row in review.measure()}
    slowest = [row for way, row in rows.items() if way.endswith("slowest interaction")]
    assert [row.target for row in slowest] == [150, 500]
    assert all(step in row.note for row in slowest for step in ("threshold", "matrix cell", "sheet", "close"))
    assert [row.target for row in rows.values() if row.unit == "MB"] == [15, 40]
