"""Robustness: areas by hand, the shared resamples, the threshold, tables."""

from dataclasses import replace

import numpy as np
import pytest
import synthetic_predictions

from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.metrics import auroc, specificity
from benchmarks.predictions import Predictions, sigmoid
from benchmarks.robustness.results import measured
from benchmarks.robustness.show import figure, table, tidy

FEW = Bootstrap(50)


@pytest.fixture(scope="module")
def dumps() -> dict[str, Predictions]:
    """Ever noisier scores of the same images."""
    clean = synthetic_predictions.draw()
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 1, len(clean))
    names = {"clean": 0.0, "jpeg-90": 0.5, "jpeg-75": 1.0, "jpeg-50": 2.0, "blur-2+jpeg-50": 3.0}
    found = {}
    for name, strength in names.items():
        logits = (clean.fused_logits + strength * noise).astype(np.float32)
        found[name] = replace(clean, fused_logits=logits, fused_scores=sigmoid(logits))
    return found


def value(dumps: dict[str, Predictions], name: str) -> float:
    return auroc(dumps[name].fused_scores.astype(float), dumps[name].fused_labels)


def test_figures_and_areas(dumps: dict[str, Predictions]) -> None:
    found = measured(dumps, FEW)
    assert [point.name for point in found.points] == list(dumps)
    for point in found.points:
        result = point.pooled("auroc")
        assert result is not None
        assert result.value == value(dumps, point.name)
        alarms = point.pooled("false_positive_rate", "validation")
        assert alarms is not None
        scores, labels = dumps[point.name].fused_scores.astype(float), dumps[point.name].fused_labels
        assert alarms.value == pytest.approx(1 - specificity(scores, labels, 0.4))
        assert alarms.low <= alarms.value <= alarms.high
    (area,) = found.areas
    v50, v75, v90 = (value(dumps, f"jpeg-{q}") for q in (50, 75, 90))
    assert area.value == pytest.approx(((v50 + v75) / 2 * 25 + (v75 + v90) / 2 * 15) / 40)
    assert area.low < area.value < area.high
    assert found.worst("auroc") == ("blur-2+jpeg-50", value(dumps, "blur-2+jpeg-50"))
    assert found.at == "validation"


def test_equal_scores_have_the_interval_of_one_of_them(dumps: dict[str, Predictions]) -> None:
    same = {"clean": dumps["clean"], "jpeg-90": dumps["clean"], "jpeg-50": dumps["clean"]}
    found = measured(same, FEW)
    clean = found.points[0].pooled("auroc")
    assert clean is not None
    assert (found.areas[0].low, found.areas[0].high) == pytest.approx((clean.low, clean.high))


def test_without_a_threshold_the_table_says_so(dumps: dict[str, Predictions]) -> None:
    bare = {name: replace(one, provenance="{}") for name, one in dumps.items()}
    found = measured(bare, FEW)
    assert found.at == "0.5"
    assert "0.5, as the checkpoint has none" in table(found).caption
    assert table(measured(dumps, FEW)).caption.startswith("Threshold: 0.4, chosen on undelivered validation images")


def test_tables_hold_every_delivery(dumps: dict[str, Predictions]) -> None:
    found = measured(dumps, FEW)
    for text in (table(found).markdown(), table(found).latex().replace(r"\_", "_"), tidy(found)):
        assert all(name in text for name in dumps)
    assert "mean over jpeg 50 to 90" in table(found).markdown()
    assert figure(found).startswith(b"\x89PNG")
