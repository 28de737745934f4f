"""Ranks and tests of `benchmarks.leaderboard.ranks` against published tables, closed forms and brute force."""

from math import inf, isnan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from benchmarks.leaderboard.ranks import (
    critical_difference,
    friedman,
    groups,
    letters,
    needed_sets,
    pareto,
    rank_correlation,
    ranking,
)

DEMSAR = {2: 1.960, 3: 2.343, 4: 2.569, 5: 2.728, 6: 2.850, 7: 2.949, 8: 3.031, 9: 3.102, 10: 3.164}
"""Critical values of Nemenyi's test at 0.05 by number of classifiers (Demšar 2006, table 5a)."""


@pytest.mark.parametrize("count", DEMSAR)
def test_critical_values_are_those_of_demsar(count: int) -> None:
    # one set: the difference is q √(K (K + 1) / 6); his values are cut to three digits
    assert critical_difference(count, 1) / np.sqrt(count * (count + 1) / 6) == pytest.approx(DEMSAR[count], abs=1.1e-3)


def test_the_example_of_demsar() -> None:
    # four classifiers on 14 data sets: critical difference 1.25; section 3.2.2
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)
    found = groups(np.array([3.143, 2.000, 2.893, 1.964]), critical_difference(4, 14, 0.10))
    assert found == ((3, 1, 2), (2, 0))  # at 0.10 C4.5 is told from the two best
    assert letters(found, 4) == ["b", "a", "ab", "a"]


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 12), st.floats(0.05, 5))
def test_needed_sets_are_the_fewest(count: int, apart: float) -> None:
    needed = needed_sets(apart, count)
    assert critical_difference(count, int(needed)) <= apart * (1 + 1e-9)
    assert needed == 1 or critical_difference(count, int(needed) - 1) > apart
    assert needed_sets(0.0, count) == inf


def test_ranks_of_ties_and_of_a_clear_order() -> None:
    equal = ranking(np.full((3, 4), 0.7))
    assert equal.mean_ranks.tolist() == [2.0, 2.0, 2.0]
    assert (equal.p, equal.needed, equal.groups) == (1.0, inf, ((0, 1, 2),))
    assert isnan(equal.correlation[0, 1])
    clear = ranking(np.array([[0.9] * 30, [0.8] * 30, [0.7] * 30]) + np.arange(30) / 1000)
    assert clear.mean_ranks.tolist() == [1.0, 2.0, 3.0]
    assert clear.p == pytest.approx(np.exp(-30), rel=1e-6)  # χ² = 60 with two degrees of freedom
    assert clear.groups == ((0,), (1,), (2,))
    assert clear.correlation[0, 1] == pytest.approx(1)
    assert isnan(friedman(np.array([[0.9, 0.8], [0.7, 0.9]])))


def test_rank_correlation_of_an_opposite_order() -> None:
    found = rank_correlation(np.array([[0.9, 0.1, 0.5], [0.8, 0.2, 0.5], [0.7, 0.3, 0.5]]))
    assert found[0, 1] == pytest.approx(-1)
    assert isnan(found[0, 2])
    assert isnan(rank_correlation(np.array([[0.9, 0.1], [0.8, 0.2]]))[0, 1])


VALUES = st.sampled_from([0.5, 0.6, 0.7, float("nan")])


@settings(max_examples=60, deadline=None)
@given(arrays.arrays(np.float64, (6, 2), elements=VALUES))
def test_the_pareto_front_by_brute_force(points: np.ndarray) -> None:
    front = pareto(points[:, 0], points[:, 1])
    for k, (quality, cost) in enumerate(points):
        beaten = any(
            q >= quality and c <= cost and (q > quality or c < cost) for q, c in points if np.isfinite([q, c]).all()
        )
        assert front[k] == (np.isfinite([quality, cost]).all() and not beaten)
