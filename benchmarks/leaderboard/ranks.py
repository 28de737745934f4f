"""Whether a ranking of detectors over several sets means anything: ranks, tests, correlation, Pareto front.

Sources: Demšar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 2006 (Friedman's test, Nemenyi's
critical difference and the diagram of groups). Both treat sets as independent; sets that share their real images are
not quite, so differences are somewhat less significant than the tests suggest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import ceil, inf, nan

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Ranking:
    """Detectors ranked on each set by one figure, higher is better; rank 1 is best, ties share their mean rank."""

    mean_ranks: Floats  # [K] mean over the sets
    p: float  # of Friedman's test that all detectors are equally good; NaN for fewer than three detectors or two sets
    difference: float  # Nemenyi's critical difference: mean ranks closer than this do not differ significantly
    groups: tuple[tuple[int, ...], ...]
    """Largest sets of detectors, as positions from best to worst, whose mean ranks all lie within it."""
    needed: float
    """Number of sets at which the best two would differ significantly with these mean ranks; infinite for a tie."""
    correlation: Floats
    """[S, S] Spearman's rank correlation of the detectors between sets; NaN where a set has only ties, or with fewer
    than three detectors."""


def ranking(values: Floats, level: float = 0.05) -> Ranking:
    """Ranks of detectors.

    Args:
        values: [K, S] figure of K ≥ 2 detectors on S ≥ 1 sets, without NaN.
        level: significance level of Nemenyi's test.
    """
    detectors, sets = values.shape
    ranks = stats.rankdata(-values, axis=0)
    mean = ranks.mean(1)
    apart = critical_difference(detectors, sets, level)
    best, second = np.sort(mean)[:2]
    return Ranking(
        mean, friedman(values), apart, groups(mean, apart), needed_sets(second - best, detectors, level),
        rank_correlation(values),
    )  # fmt: skip


def friedman(values: Floats) -> float:
    """P-value of Friedman's test on [K, S] (chi-squared approximation, corrected for ties); NaN where undefined."""
    detectors, sets = values.shape
    if detectors < 3 or sets < 2:
        return nan
    if (values == values[0]).all():
        return 1.0  # only ties: the statistic is 0 / 0
    return float(stats.friedmanchisquare(*values).pvalue)


def critical_difference(detectors: int, sets: int, level: float = 0.05) -> float:
    """Nemenyi's critical difference of mean ranks: q √(K (K + 1) / 6 S), q the studentised range over √2."""
    return _q(detectors, level) * float(np.sqrt(detectors * (detectors + 1) / (6 * sets)))


def needed_sets(apart: float, detectors: int, level: float = 0.05) -> float:
    """Number of sets at which the critical difference is at most ``apart``; infinite for 0."""
    if apart <= 0:
        return inf
    return ceil(detectors * (detectors + 1) / 6 * (_q(detectors, level) / apart) ** 2 - 1e-9)


def _q(detectors: int, level: float) -> float:
    return float(stats.studentized_range.ppf(1 - level, detectors, inf)) / float(np.sqrt(2))


def groups(mean_ranks: Floats, difference: float) -> tuple[tuple[int, ...], ...]:
    """Largest runs of detectors, best first, whose first and last mean rank differ by less than the difference."""
    order = np.argsort(mean_ranks, kind="stable")
    found: list[tuple[int, ...]] = []
    for start in range(len(order)):
        near = mean_ranks[order[start:]] - mean_ranks[order[start]] < difference
        run = tuple(order[start : start + int(near.sum())].tolist())
        if not found or not set(run) <= set(found[-1]):
            found.append(run)
    return tuple(found)


def letters(found: Sequence[Sequence[int]], count: int) -> list[str]:
    """For each of ``count`` detectors its groups' letters: two that share a letter do not differ significantly."""
    names = [chr(ord("a") + k) if k < 26 else f"({k + 1})" for k in range(len(found))]
    return ["".join(name for name, group in zip(names, found, strict=True) if k in group) for k in range(count)]


def rank_correlation(values: Floats) -> Floats:
    """[S, S] Spearman's correlation between the columns of [K, S]; NaN with ties only, or K < 3."""
    sets = values.shape[1]
    found = np.full((sets, sets), nan)
    for one in range(sets):
        found[one, one] = 1.0
    for one, other in combinations(range(sets), 2):
        columns = values[:, one], values[:, other]
        if len(values) >= 3 and all(np.ptp(column) > 0 for column in columns):
            found[one, other] = found[other, one] = float(stats.spearmanr(*columns).statistic)
    return found


def pareto(quality: Floats, cost: Floats) -> NDArray[np.bool_]:
    """[K] whether no other detector is at least as good at no more cost, and better in one of both; NaN is never."""
    known = np.isfinite(quality) & np.isfinite(cost)
    as_good = (quality[:, None] >= quality) & (cost[:, None] <= cost)  # [other, this]
    better = (quality[:, None] > quality) | (cost[:, None] < cost)
    front: NDArray[np.bool_] = known & ~(as_good & better & known[:, None]).any(0)
    return front
