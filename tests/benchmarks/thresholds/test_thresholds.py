import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.thresholds.rules import OBJECTIVES, choose_threshold
from contracts.errors import ConfigError, DataError

SCORES = st.one_of(
    st.floats(0, 1, width=32), st.sampled_from([0.0, 1.0, float(np.nextafter(np.float32(0.5), np.float32(1))), 0.5])
)


@settings(max_examples=150)
@given(st.lists(st.tuples(SCORES, st.integers(0, 1)), min_size=2, max_size=40), st.sampled_from(sorted(OBJECTIVES)))
def test_no_other_threshold_is_better(pairs, rule):
    scores, labels = np.array([s for s, _ in pairs], np.float32), np.array([y for _, y in pairs])
    labels[:2] = 0, 1
    chosen = choose_threshold(scores, labels, rule)

    def rates(t):
        return np.mean(scores[labels == 1] > t), np.mean(scores[labels == 0] > t)

    goal = OBJECTIVES[rule]
    tpr, fpr = rates(chosen.value)
    assert (chosen.tpr, chosen.fpr) == (pytest.approx(tpr), pytest.approx(fpr)), "the stated rates are those it gives"
    assert np.float32(chosen.value) == chosen.value, "float32 and float64 comparisons agree"
    tries = [rates(t) for t in np.concatenate([np.unique(scores), np.nextafter(scores, np.float32(-1)), [-1.0]])]
    best = max(float(goal(np.array(a), np.array(b))) for a, b in tries)
    assert float(goal(np.array(tpr), np.array(fpr))) == pytest.approx(best, abs=1e-9)
    if rule in ("fpr_1", "fpr_5"):
        assert fpr <= int(rule[-1]) / 100


def test_it_lies_midway_between_neighbours():
    chosen = choose_threshold(np.array([0.25, 0.375, 0.75, 0.875], np.float32), np.array([0, 0, 1, 1]))
    assert (chosen.value, chosen.tpr, chosen.fpr, chosen.images) == (0.5625, 1, 0, 4)


def test_of_equal_choices_the_one_with_fewest_false_alarms_wins():
    scores, labels = np.array([0.1, 0.3, 0.5, 0.7], np.float32), np.array([0, 1, 0, 1])
    assert choose_threshold(scores, labels).value == pytest.approx(0.6)
    assert choose_threshold(scores[::-1], labels[::-1]).value == pytest.approx(0.6)


def test_neighbouring_floats_can_be_told_apart():
    low = np.float32(0.5)
    high = np.nextafter(low, np.float32(1))
    chosen = choose_threshold(np.array([low, high]), np.array([0, 1]))
    assert low <= chosen.value < high


def test_unknown_labels_do_not_count_and_one_class_is_refused():
    chosen = choose_threshold(np.array([0.2, 0.8, 0.9], np.float32), np.array([0, 1, -1]))
    assert chosen.images == 2
    with pytest.raises(DataError, match="no generated image"):
        choose_threshold(np.array([0.2, 0.4], np.float32), np.array([0, 0]))
    with pytest.raises(ConfigError, match="did you mean 'youden'"):
        choose_threshold(np.array([0.2, 0.4], np.float32), np.array([0, 1]), "yuden")
