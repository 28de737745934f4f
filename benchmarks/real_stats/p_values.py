"""P-values of statistics among real images, and their combination.

Source: RealStats (AISTATS 2026, arXiv 2601.18900) and its code. The published p-values come from a histogram: they are
0 in its highest bin, also for real images, and as coarse as its bins. `exact_p_values` avoids both and is valid
for exchangeable real images: P(p ≤ α) ≤ α.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from contracts.errors import ConfigError, DataError, nearest

Floats = NDArray[np.floating]
EPSILON = 2.0**-23
"""Published p-values are kept this far from 0 and 1 before a normal quantile is taken."""
RULES = ("stouffer", "minimum", "scipy_stouffer")


def exact_p_values(reference: Floats, values: Floats) -> NDArray[np.float64]:
    """Two-sided p-values by ranks: 2 · min of (1 + #{r ≤ x}) / (n + 1) and (1 + #{r ≥ x}) / (n + 1), at most 1.

    The reference [n] holds a statistic of real images, and values [m] the same of other images, with p-values [m].

    Raises:
        DataError: an empty reference, or a value that is not a number.
    """
    _check(reference, values)
    ordered = np.sort(reference)
    below = np.searchsorted(ordered, values, side="right")
    above = len(ordered) - np.searchsorted(ordered, values, side="left")
    return np.minimum(1.0, 2 * (1 + np.minimum(below, above)) / (len(ordered) + 1))


@dataclass(frozen=True)
class BinnedReference:
    """The published distribution of a statistic: a histogram between its least and greatest value."""

    edges: Floats  # [bins + 1] in the type of the statistic
    cdf: NDArray[np.float64]  # [bins] float64, the share of the reference in each bin and all before it

    @classmethod
    def of(cls, reference: Floats, bins: int = 1000) -> "BinnedReference":
        """The distribution of a statistic of real images, [n].

        Raises:
            DataError: an empty reference, or a value that is not a number.
        """
        _check(reference, reference)
        density, edges = np.histogram(reference, bins=bins, density=True)
        return cls(edges, np.cumsum(density) * np.diff(edges))

    def left(self, values: Floats) -> NDArray[np.float64]:
        """[m] → the share of the reference up to the end of each value's own bin."""
        place = np.clip(np.digitize(values, self.edges) - 1, 0, len(self.cdf) - 1)
        return self.cdf[place]

    def both(self, values: Floats, clip: bool = True) -> NDArray[np.float64]:
        """Two-sided p-values of values [m]: 2 · min(left, 1 - left); clipped to [0, 1] against float rounding."""
        left = self.left(values)
        two_sided = 2 * np.minimum(left, 1 - left)
        return np.clip(two_sided, 0, 1) if clip else two_sided


def combined(p_values: Floats, rule: str = "stouffer") -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Combines several independent p-values into one.

    Args:
        p_values: [m, k].
        rule: ``stouffer`` (Σ Φ⁻¹(p) / √k), ``minimum`` (Šidák: 1 - (1 - min p)^k), both with p at least 2⁻²³ away from
            0 and 1; ``scipy_stouffer``: the first without that limit, NaN where 0 and 1 meet.

    Returns:
        The combined statistic [m], a normal quantile, and its p-value [m].

    Raises:
        ConfigError: an unknown rule.
    """
    if rule not in RULES:
        raise ConfigError(f"rule={rule!r} is unknown", nearest(rule, RULES))
    if rule == "scipy_stouffer":
        statistic, p = stats.combine_pvalues(p_values, method="stouffer", axis=1)
        return np.asarray(statistic), np.asarray(p)
    kept = np.clip(p_values, EPSILON, 1 - EPSILON)
    count = kept.shape[1]
    if rule == "stouffer":
        z = stats.norm.ppf(kept).sum(1) / np.sqrt(count)
        return z, stats.norm.cdf(z)
    p = 1 - (1 - kept.min(1)) ** count
    return stats.norm.ppf(p), p


def patch_statistics(scores: Floats) -> tuple[Floats, Floats]:
    """Mean and population standard deviation over the patches of each image, [m, patches] → [m] and [m]."""
    return scores.mean(1), scores.std(1)


def _check(reference: Floats, values: Floats) -> None:
    if not len(reference):
        raise DataError("there is no real image to compare with", "Give a dump with images of label 0.")
    for name, given in (("reference", reference), ("values", values)):
        if np.isnan(given).any():
            raise DataError(f"{int(np.isnan(given).sum())} of the {name} are NaN", "Leave this column out.")
