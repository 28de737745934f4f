"""Choice of the strength that best separates generated from real validation images, and of its sign."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata


@dataclass(frozen=True)
class Judged:
    """One strength on the validation images."""

    strength: tuple[float, ...]  # as configured: of the noise or band, and of the blur
    auroc: float  # of the distance; below 0.5 where real images move farther
    low: float  # lower end of its 95 % interval
    high: float  # upper end


@dataclass(frozen=True)
class Choice:
    """The fitted strength, sign and scale of the logit."""

    index: int  # of the chosen strength
    sign: float  # +1 where generated images move farther, -1 where real ones do
    centre: float  # mean distance
    spread: float  # standard deviation of the distances, 1 if they do not differ
    judged: tuple[Judged, ...]  # all strengths

    def plain(self) -> dict[str, Any]:
        """The choice in plain containers, for a checkpoint."""
        return {**asdict(self), "judged": [{**asdict(one), "strength": list(one.strength)} for one in self.judged]}

    def __str__(self) -> str:
        lines = [
            f"{'*' if k == self.index else ' '} strength {', '.join(f'{s:g}' for s in one.strength)}: AUROC "
            f"{one.auroc:.3f} [{one.low:.3f}, {one.high:.3f}]"
            for k, one in enumerate(self.judged)
        ]
        farther = "generated" if self.sign > 0 else "real"
        return "\n".join([*lines, f"{farther} images are taken to move farther"])


def delong(distances: NDArray[np.float64], labels: NDArray[np.int64]) -> tuple[float, float, float]:
    """AUROC with both ends of its 95 % interval (DeLong et al. 1988, by the ranks of Sun and Xu 2014).

    Distances [n] are higher for label 1. The interval is [0, 1] where a class has a single image; both must be present.
    """
    positive, negative = distances[labels == 1], distances[labels == 0]
    m, n = len(positive), len(negative)
    ranks = rankdata(np.concatenate([positive, negative]))
    over = (ranks[:m] - rankdata(positive)) / n  # of each positive: share of negatives below
    under = 1 - (ranks[m:] - rankdata(negative)) / m
    auroc = float(over.mean())
    if min(m, n) < 2:
        return auroc, 0.0, 1.0
    half = norm.ppf(0.975) * np.sqrt(over.var(ddof=1) / m + under.var(ddof=1) / n)
    return auroc, float(max(0.0, auroc - half)), float(min(1.0, auroc + half))


def choose(
    distances: NDArray[np.float64], labels: NDArray[np.int64], strengths: Sequence[tuple[float, ...]]
) -> Choice | None:
    """The strength whose AUROC is farthest from one half; the first of several.

    Args:
        distances: [n, strengths].
        labels: [n]; others than 0 and 1 are left out.
        strengths: strength of each column.

    Returns:
        None where a class is absent.
    """
    known = (labels == 0) | (labels == 1)
    distances, labels = distances[known], labels[known]
    if len(np.unique(labels)) < 2:
        return None
    judged = tuple(Judged(s, *delong(column, labels)) for s, column in zip(strengths, distances.T, strict=True))
    index = int(np.argmax([abs(one.auroc - 0.5) for one in judged]))
    chosen = distances[:, index]
    sign = 1.0 if judged[index].auroc >= 0.5 else -1.0
    return Choice(index, sign, float(chosen.mean()), float(chosen.std()) or 1.0, judged)
