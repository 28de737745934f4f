"""Figures of people: the notebook's own, closed forms, and what must hold for any answers."""

import math
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from people import CALLED, TRUTH, answered

from benchmarks.metrics import METRICS, UndefinedMetricError
from benchmarks.people.measures import against, measure, names_of, running, share
from benchmarks.predictions import from_crops
from contracts.errors import DataError

DIGITS = st.integers(1, 60).flatmap(
    lambda n: st.tuples(*2 * [st.text("01", min_size=n, max_size=n)])
)  # truth and answers


def machine(logits, labels, threshold=None, ids=None):
    n = len(labels)
    about = {} if threshold is None else {"threshold": threshold}
    return from_crops(
        np.asarray(logits, float), np.arange(n), np.asarray(labels), np.asarray(labels),
        [f"set/{k}" for k in range(n)] if ids is None else ids, generator_id_to_name=["", "alpha"],
        provenance=about,
    )  # fmt: skip


def test_the_notebooks_manual_benchmark_comes_out_to_the_digit():
    answers = answered(TRUTH, CALLED)
    found = measure(answers)
    values = {name: round(s.value, 4) for name, s in found.shares.items()}
    assert values == {
        "accuracy": 0.84, "accuracy on generated (recall)": 0.9545, "accuracy on real": 0.75, "precision": 0.75,
    }  # fmt: skip
    assert found.confusion == (21, 1, 7, 21)
    assert (np.flatnonzero(~answers.right) + 1).tolist() == [2, 6, 11, 15, 19, 21, 25, 31]
    # the author improved: 18 of the first 25 answers are right, 24 of the last 25
    assert [half.right for half in found.halves] == [18, 24]
    assert found.improved == pytest.approx(0.0488, abs=5e-5)


def test_wilsons_interval_is_the_published_formula():
    for right, of in ((42, 50), (0, 7), (7, 7), (1, 3)):
        z, p = 1.959963984540054, right / of
        middle = (p + z * z / (2 * of)) / (1 + z * z / of)
        half = z / (1 + z * z / of) * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of))
        found = share(right, of)
        assert (found.low, found.high) == pytest.approx((middle - half, middle + half), abs=1e-12)
    assert math.isnan(share(0, 0).value)


@given(DIGITS)
@settings(max_examples=40)
def test_shares_agree_with_the_metrics_of_detectors(digits):
    answers = answered(*digits)
    found, dump = measure(answers), answers.predictions()
    assert set(dump.fused_scores.tolist()) <= {0.0, 1.0}
    names = {"accuracy": "accuracy", "accuracy on generated (recall)": "recall", "accuracy on real": "specificity",
             "precision": "precision"}  # fmt: skip
    for title, metric in names.items():
        with suppress(UndefinedMetricError):  # a detector's precision needs both classes
            expected = METRICS[metric](dump.fused_scores.astype(float), dump.fused_labels, 0.5)
            if found.shares[title].of:
                assert found.shares[title].value == pytest.approx(expected, abs=1e-12)
    assert sum(found.confusion) == len(answers)
    assert running(answers.right)[-1].value == found.shares["accuracy"].value
    # a detector with the same answers is exactly as good
    same = against(answers, dump, "itself")
    assert (same.test.gained, same.test.lost, same.test.p) == (0, 0, 1.0)
    assert same.person == same.machine == found.shares["accuracy"]


def test_a_person_and_a_detector_are_compared_on_the_same_images_by_mcnemars_exact_test():
    answers = answered("0011001100", "0011110000")  # wrong: 4 5 6 7
    # other order, one image more, one less; wrong: 1 and 4; the score of image 0 is the threshold, so it counts as real
    ids = [f"set/{k}" for k in (8, 7, 6, 5, 4, 3, 2, 1, 0, 99)]
    labels = np.array([0, 1, 1, 0, 0, 1, 1, 0, 0, 1])
    logits = np.where(labels == 1, 3.0, -3.0)
    logits[7], logits[4], logits[8] = 5, 5, math.log(0.25 / 0.75)
    found = against(answers, machine(logits, labels, 0.25, ids), "d")
    assert found.images == 9
    assert found.both_missed == ("set/4",)
    assert found.person_missed == ("set/5", "set/6", "set/7")
    assert found.machine_missed == ("set/1",)
    assert (found.person.right, found.machine.right) == (5, 7)
    assert (found.test.gained, found.test.lost) == (1, 3)
    assert found.test.p == pytest.approx(2 * (1 + 4) / 16)
    assert against(answers, machine(logits, labels, ids=[f"x{k}" for k in range(10)]), "d") is None
    with pytest.raises(DataError, match=r"disagree on the label of 'set/0'"):
        against(answers, machine([0.0], [1], ids=["set/0"]), "d")


def test_no_answers_and_equal_names():
    nothing = measure(answered("01", ""))
    assert nothing.confusion == (0, 0, 0, 0)
    assert math.isnan(nothing.shares["accuracy"].value)
    assert math.isnan(nothing.improved)
    a = answered("01", "01")
    b = replace(a, sitting=replace(a.sitting, person="Bo"))
    assert names_of([a, b]) == ["Anna", "Bo"]
    assert names_of([a, b, a]) == ["Anna #1", "Bo #2", "Anna #3"]
