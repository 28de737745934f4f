"""Shares of 0 or 1 have Wilson's interval of their photographs, in every table."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binomtest
from synthetic_predictions import draw

from benchmarks.evaluation import evaluate
from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.predictions import Predictions
from benchmarks.robustness.results import measured

FEW = Bootstrap(resamples=40)


def scored(dump: Predictions, scores: NDArray[np.floating]) -> Predictions:
    return replace(
        dump, fused_scores=scores.astype(np.float32), fused_logits=np.log(scores / (1 - scores)).astype(np.float32)
    )


@pytest.fixture
def separated() -> Predictions:
    """Scores that are right for every image at 0.5, of 20 photographs of each class; three generators."""
    dump = draw(images=120, group=[f"photo{k // 6}-{k % 2}" for k in range(120)])
    scores = np.where(dump.fused_labels == 1, 0.9, 0.1)
    return scored(dump, scores)


def photographs(dump: Predictions, *labels: int) -> int:
    return np.unique(dump.group[np.isin(dump.fused_labels, labels)]).size


@pytest.mark.parametrize(("metric", "labels"), [("accuracy", (0, 1)), ("recall", (1,)), ("specificity", (0,))])
def test_a_share_of_one_or_zero(separated: Predictions, metric: str, labels: tuple[int, ...]) -> None:
    n = photographs(separated, *labels)
    known = binomtest(n, n).proportion_ci(method="wilson")
    turned = scored(separated, 1 - separated.fused_scores)  # always wrong
    for dump, value, ends in ((separated, 1, known), (turned, 0, (1 - known.high, 1 - known.low))):
        results = FEW(dump, evaluate(dump))
        (found,) = [r for r in results if (r.kind, r.metric, r.at) == ("pooled", metric, "0.5")]
        assert (found.value, found.low, found.high) == pytest.approx((value, *ends))


def test_shares_between_and_those_of_too_few_photographs_are_as_before(separated: Predictions) -> None:
    scores = separated.fused_scores.copy()
    scores[np.flatnonzero(separated.fused_labels == 1)[:9]] = 0.2
    dump = scored(separated, scores)
    (recall,) = [r for r in FEW(dump, evaluate(dump)) if r.key == ("pooled", "", "recall", "0.5")]
    assert recall.low < recall.value < recall.high < 1
    few = separated.select(np.r_[0:12, 60:72])
    few = replace(few, group=np.array([f"photo{k % 4}" for k in range(24)]))
    for result in FEW(few, evaluate(few)):
        assert np.isnan(result.low), result


def test_a_false_positive_rate_of_zero_after_a_delivery(separated: Predictions) -> None:
    found = measured({"clean": separated, "jpeg-75": separated}, FEW).points[1].pooled("false_positive_rate", "0.5")
    assert found is not None
    assert found.value == found.low == 0
    assert found.high == pytest.approx(3.8415 / (photographs(separated, 0) + 3.8415), abs=1e-4)
