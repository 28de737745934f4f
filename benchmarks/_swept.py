"""What `benchmarks._weighted` computes, for dumps so large that compiled loops are worth their start.

Each class has a namesake there, with the same numbers: sums of whole weights are exact in any order, and other sums
differ by rounding alone. Weights are those of photographs, [K, `LANES`].
"""

from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from benchmarks._weighted import LIMITS, Values, classes, values
from benchmarks.evaluation import Subset
from benchmarks.metrics import Labels, Scores, confident_first
from benchmarks.sweeps.lanes_numba import LANES
from benchmarks.sweeps.pooled_numba import calibration, masses, risk
from benchmarks.sweeps.ranked_numba import Floats, Ints, Weights, ranked


def size(images: int) -> int:  # noqa: ARG001
    """Draws to measure at once."""
    return LANES


def stacked(draws: Sequence[NDArray[np.float64]]) -> Weights:
    """[K, LANES] weights of the photographs, from those [K] of at most LANES draws; zeros fill what is left."""
    rows = [row.astype(np.min_scalar_type(int(row.max(initial=0)))) for row in draws]
    rows += [np.zeros_like(rows[0])] * (LANES - len(rows))
    return np.ascontiguousarray(np.stack(rows, axis=1))


class Family:
    """See its namesake."""

    def __init__(
        self, subsets: Sequence[Subset], scores: Scores, labels: Labels, thresholds: Mapping[str, float], photo: Ints
    ) -> None:
        self.subsets = list(subsets)
        fakes, self.sets, shared = classes(subsets, labels)
        self.opponents = np.zeros(len(fakes), np.int64) if shared else np.arange(len(fakes))
        held = np.zeros(scores.size, np.bool_)
        for rows in chain(fakes, self.sets):
            held[rows] = True
        order = np.flatnonzero(held)
        order = order[np.argsort(-scores[order], kind="stable")]
        place = np.full(scores.size, -1)
        place[order] = np.arange(order.size)
        self.photo, self.scores, self.ends = photo[order], scores[order], _ends(scores[order])
        self.real = np.full(order.size, -1)
        for index, rows in enumerate(self.sets):
            self.real[place[rows]] = index
        places = np.concatenate([place[rows] for rows in fakes])
        column = np.repeat(np.arange(len(fakes)), [rows.size for rows in fakes])
        self.sizes = [np.bincount(photo[rows]) for rows in self.sets]
        self.member = column[np.argsort(places, kind="stable")]
        self.first = np.append(0, np.cumsum(np.bincount(places, minlength=order.size)))
        cuts = {name: int((self.scores > t).sum()) for name, t in thresholds.items()}
        self.cuts = dict(sorted(cuts.items(), key=lambda cut: cut[1]))

    def __call__(self, weights: Weights) -> Values:
        """(metric, threshold name) to [LANES, C] values; NaN where the weights leave too little."""
        totals = np.stack([masses(weights, images) for images in self.sizes])
        most = np.stack([totals - totals * (1 - limit * (1 + 1e-12)) for limit in LIMITS.values()])
        rows = max(len(self.subsets), len(self.sets))
        sums, called = np.zeros((5, rows, LANES)), np.zeros((2, len(self.cuts), rows, LANES))
        reached = np.zeros((len(LIMITS), rows, LANES))
        cuts = np.array(list(self.cuts.values()), np.int64)
        ranked(
            weights, self.photo, self.ends, self.real, self.scores, self.member, self.first, self.opponents, cuts, most,
            sums, called, reached,
        )  # fmt: skip
        positives, overtaken, precision, missed, _ = sums[:, : len(self.subsets)]
        negatives = totals[self.opponents]
        outranked = positives * negatives - overtaken
        with np.errstate(divide="ignore", invalid="ignore"):
            return values(
                positives.T,
                negatives.T,
                outranked.T,
                precision.T,
                (missed + sums[4][self.opponents]).T,
                {name: images[: len(self.subsets)].T for name, images in zip(LIMITS, reached, strict=True)},
                {
                    name: (tp[: len(self.subsets)].T, fp[self.opponents].T)
                    for name, tp, fp in zip(self.cuts, *called, strict=True)
                },
            )


class Calibration:
    """Weighted expected calibration error of one subset; ``photo`` [N] is the photograph of each image."""

    def __init__(self, subset: Subset, scores: Scores, labels: Labels, photo: Ints, bins: int = 15) -> None:
        images = subset.images[labels[subset.images] >= 0]
        images = images[np.argsort(scores[images], kind="stable")]
        self.photo, self.ends, self.bins = photo[images], _ends(scores[images]), bins
        self.sizes = np.bincount(self.photo)
        self.excess = scores[images] - labels[images]

    def __call__(self, weights: Weights) -> Floats:
        """[LANES] ECE; NaN where the weights are all zero."""
        total = masses(weights, self.sizes)
        sums: Floats = calibration(weights, self.photo, self.ends, self.excess, total, self.bins)
        return np.where(total > 0, sums, np.nan) / np.maximum(total, 1)


class Selective:
    """Weighted area under the risk-coverage curve of one subset; ``photo`` [N] is the photograph of each image."""

    def __init__(self, subset: Subset, scores: Scores, labels: Labels, threshold: float, photo: Ints) -> None:
        images = subset.images[labels[subset.images] >= 0]
        order, self.wrong, first = confident_first(scores[images], labels[images], threshold)
        self.photo, self.sizes = photo[images[order]], np.bincount(photo[images])
        self.ends = np.append(first[1:], order.size)

    def __call__(self, weights: Weights) -> Floats:
        """[LANES] areas; NaN where the weights are all zero."""
        total = masses(weights, self.sizes)
        most = weights.max(axis=1).astype(np.int64)
        harmonic = np.append(0, np.cumsum(1 / np.arange(1, int(total.max()) + int(most.max()) + 1)))
        sums: Floats = risk(weights, most, self.photo, self.ends, self.wrong, total, harmonic)
        return np.where(total > 0, sums, np.nan) / np.maximum(total, 1)


def _ends(ordered: Scores) -> Ints:
    """Where each group of equal scores ends."""
    return np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True)) + 1
