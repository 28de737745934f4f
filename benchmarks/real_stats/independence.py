"""Which statistics are independent among real images, and which of those to combine."""

from collections.abc import Sequence
from itertools import combinations

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.real_stats.p_values import Floats, combined
from contracts.errors import DataError

PUBLISHED_SAMPLE = 1000
"""Real images of the published test of uniformity, chosen at random with NumPy's global generator."""


def cramers_v(p_values: Floats, bins: int = 10, published: bool = False) -> NDArray[np.float64]:
    """Cramér's V of each pair of statistics: √(χ² / (n (bins - 1))), χ² Pearson's on equal bins of [0, 1].

    Give one-sided p-values (ranks) rather than two-sided ones: folding hides a dependence that is odd in the sign.

    Args:
        p_values: [n, k] of real images.
        bins: number of bins of each statistic.
        published: a table with an empty row or column gives -1 ("independent"), instead of leaving that row out.

    Returns:
        [k, k], 0 on the diagonal.
    """
    count = p_values.shape[1]
    found = np.zeros((count, count))
    for one, other in combinations(range(count), 2):
        table = np.histogram2d(p_values[:, one], p_values[:, other], bins=bins, range=[[0, 1], [0, 1]])[0]
        found[one, other] = found[other, one] = _v(table, published)
    return found


def _v(table: NDArray[np.float64], published: bool) -> float:
    kept = table[table.any(1)][:, table.any(0)]
    if published and kept.shape != table.shape:
        return -1.0
    if min(kept.shape) < 2:
        return 0.0  # a constant statistic carries no information about another
    chi2 = stats.chi2_contingency(kept).statistic
    return float(np.sqrt(chi2 / (table.sum() * (min(kept.shape) - 1))))


def cliques(v: Floats, threshold: float = 0.05) -> list[tuple[int, ...]]:
    """All largest sets of statistics of which each pair has V below a threshold, in the order of their indices."""
    graph: nx.Graph[int] = nx.Graph()
    graph.add_nodes_from(range(len(v)))
    graph.add_edges_from((i, j) for i, j in combinations(range(len(v)), 2) if v[i, j] < threshold)
    return sorted(tuple(sorted(clique)) for clique in nx.find_cliques(graph) if len(clique) > 1)


def uniformity(p_values: Floats) -> float:
    """P-value of a Kolmogorov-Smirnov test of combined p-values [n] of real images against U(0, 1)."""
    return float(stats.kstest(p_values, "uniform").pvalue)


def selected(
    p_values: Floats,
    candidates: Sequence[tuple[int, ...]],
    rule: str = "stouffer",
    level: float = 0.05,
    preferred: Sequence[int] = (),
    published_seed: int | None = None,
) -> tuple[int, ...]:
    """The set of statistics to combine: the one with most preferred statistics; of several the largest, then the first.

    Args:
        p_values: [n, k] two-sided p-values of real images.
        candidates: sets of indices, such as `cliques` gives.
        rule: a rule of `combined`.
        level: sets whose combined p-values are not uniform at this level are left out.
        preferred: indices that are wanted.
        published_seed: as published: the test uses 1000 images chosen with this seed, and keeps sets with
            |p - 1/2| ≤ ``level``, which also rejects a fit that is too good. None tests all images.

    Raises:
        DataError: no candidate is left, or fewer than 1000 images as published.
    """
    fitting = []
    for clique in candidates:
        p = combined(p_values[:, list(clique)], rule)[1]
        if published_seed is None:
            keep = uniformity(p) >= level
        else:
            keep = abs(uniformity(published_sample(p, published_seed)) - 0.5) <= level
        if keep:
            fitting.append(clique)
    if not fitting:
        why = f"none of {len(candidates)} sets of independent columns has uniform combined p-values on real images"
        raise DataError(
            why if candidates else "no two columns are independent on real images",
            "Combine other columns, or choose combine.rule=rank_mean, which needs no independence.",
        )
    return max(fitting, key=lambda clique: (len(set(clique) & set(preferred)), len(clique)))


def published_sample(p_values: Floats, seed: int) -> Floats:
    """1000 of p-values [n], as the published code chooses them.

    Raises:
        DataError: there are fewer.
    """
    if len(p_values) < PUBLISHED_SAMPLE:
        raise DataError(f"{len(p_values)} real images, and the published test uses {PUBLISHED_SAMPLE}")
    chosen = np.random.RandomState(seed).choice(p_values, size=PUBLISHED_SAMPLE, replace=False)
    return np.asarray(chosen)
