"""What `benchmarks.intervals.weighted` computes, for dumps so large that compiled loops are worth their start.

Each class has a namesake there, with the same numbers: sums of whole weights are exact in any order, and other sums
differ by rounding alone. Weights are those of photographs, [K, `LANES`].
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.evaluation import Subset
from benchmarks.intervals.lanes_numba import LANES
from benchmarks.intervals.pooled_numba import calibration, masses, risk, sums
from benchmarks.intervals.ranked_numba import Floats, Ints, Weights, ranked
from benchmarks.intervals.resample_numba import Sampler as Sampler
from benchmarks.intervals.weighted import LIMITS, Values, classes, values
from benchmarks.metrics import confident_first
from benchmarks.ranked import Labels, Scores, ends


def size(images: int) -> int:  # noqa: ARG001
    """Draws to measure at once."""
    return LANES


def stacked(draws: Sequence[NDArray[Any]]) -> Weights:
    """[K, LANES] weights of the photographs, from those [K] of at most LANES draws; zeros fill what is left."""
    rows = [row.astype(np.min_scalar_type(int(row.max(initial=0)))) for row in draws]
    rows += [np.zeros_like(rows[0])] * (LANES - len(rows))
    return np.ascontiguousarray(np.stack(rows).T)  # faster than stacking them as columns


class Family:
    """See its namesake."""

    def __init__(
        self, subsets: Sequence[Subset], scores: Scores, labels: Labels, thresholds: Mapping[str, float], photo: Ints
    ) -> None:
        self.subsets = list(subsets)
        fakes, self.sets, shared = classes(subsets, labels)
        self.opponents = np.zeros(len(fakes), np.int64) if shared else np.arange(len(fakes))
        cells, kind = _cells(fakes, scores.size)
        held = kind >= 0
        for rows in self.sets:
            held[rows] = True
        order = np.flatnonzero(held)
        order = order[np.argsort(-scores[order], kind="stable")]
        place = np.full(scores.size, -1)
        place[order] = np.arange(order.size)
        self.photo, self.scores, self.ends = photo[order], scores[order], ends(scores[order])
        self.real = np.full(order.size, -1)
        for index, rows in enumerate(self.sets):
            self.real[place[rows]] = index
        self.sizes = [np.bincount(photo[rows]) for rows in self.sets]
        self.cell = kind[order]
        self.members = np.concatenate([np.array([], np.int64), *cells])
        self.first = np.append(0, np.cumsum([of.size for of in cells], dtype=np.int64))
        self.inside = np.zeros((len(fakes), len(cells)))
        for index, of in enumerate(cells):
            self.inside[of, index] = 1
        generated = [np.flatnonzero(kind == index) for index in range(len(cells))]
        self.squares = [_Sums(generated, photo, (1 - scores) ** 2), _Sums(self.sets, photo, scores**2)]
        cuts = {name: int((self.scores > t).sum()) for name, t in thresholds.items()}
        self.cuts = dict(sorted(cuts.items(), key=lambda cut: cut[1]))

    def __call__(self, weights: Weights) -> Values:
        """(metric, threshold name) to [LANES, C] values; NaN where the weights leave too little."""
        totals = np.stack([masses(weights, images) for images in self.sizes])
        most = np.stack([totals - totals * (1 - limit * (1 + 1e-12)) for limit in LIMITS.values()])
        count, rows = len(self.subsets), max(len(self.subsets), len(self.sets))
        sums, overtaken = np.zeros((2, count, LANES)), np.zeros((self.inside.shape[1], LANES))
        called, reached = np.zeros((2, len(self.cuts), rows, LANES)), np.zeros((len(LIMITS), count, LANES))
        cuts = np.array(list(self.cuts.values()), np.int64)
        ranked(
            weights, self.photo, self.ends, self.real, self.cell, self.members, self.first, self.opponents, cuts, most,
            sums, overtaken, called, reached,
        )  # fmt: skip
        positives, precision = sums
        squares = self.inside @ self.squares[0](weights) + self.squares[1](weights)[self.opponents]
        negatives = totals[self.opponents]
        outranked = positives * negatives - self.inside @ overtaken
        with np.errstate(divide="ignore", invalid="ignore"):
            return values(
                positives.T,
                negatives.T,
                outranked.T,
                precision.T,
                squares.T,
                {name: images.T for name, images in zip(LIMITS, reached, strict=True)},
                {name: (tp[:count].T, fp[self.opponents].T) for name, tp, fp in zip(self.cuts, *called, strict=True)},
            )


class _Sums:
    """Weighted sums of the values [N] of images, over each of some sets of images."""

    def __init__(self, sets: Sequence[Ints], photo: Ints, values: Floats) -> None:
        sets = [rows[np.argsort(photo[rows], kind="stable")] for rows in sets]  # weights are then read in order
        rows = np.concatenate([np.array([], np.int64), *sets])
        self.photo, self.values, self.ends = (
            photo[rows],
            values[rows],
            np.cumsum([own.size for own in sets], dtype=np.int64),
        )

    def __call__(self, weights: Weights) -> Floats:
        """[S, LANES]."""
        found: Floats = sums(weights, self.photo, self.values, self.ends)
        return found


def _cells(sets: Sequence[Ints], size: int) -> tuple[list[Ints], Ints]:
    """Which of the sets each cell is in, and [N] the cell of each image, -1 for none: a cell's are in the same sets."""
    kind, cells = np.zeros(size, np.int64), [np.array([], np.int64)]
    for index, rows in enumerate(sets):
        within, place = np.unique(kind[rows], return_inverse=True)
        kind[rows] = len(cells) + place
        cells += [np.append(cells[old], index) for old in within.tolist()]
    used = [index for index in np.unique(kind).tolist() if index]
    number = np.full(len(cells), -1)
    number[used] = np.arange(len(used))
    return [cells[index] for index in used], number[kind]


class Calibration:
    """Weighted expected calibration error of one subset; ``photo`` [N] is the photograph of each image."""

    def __init__(self, subset: Subset, scores: Scores, labels: Labels, photo: Ints, bins: int = 15) -> None:
        images = subset.images[labels[subset.images] >= 0]
        images = images[np.argsort(scores[images], kind="stable")]
        self.photo, self.ends, self.bins = photo[images], ends(scores[images]), bins
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
        harmonic, table, scale = _harmonic(int(total.max()))
        last = harmonic[total.astype(np.int64)]
        areas: Floats = risk(weights, self.photo, self.ends, self.wrong, table, scale, last)
        return np.where(total > 0, areas, np.nan) / np.maximum(total, 1)


@lru_cache(maxsize=1)
def _harmonic(most: int) -> tuple[Floats, Ints, float]:
    """The harmonic numbers from that of 0 to that of ``most``, and `risk`'s table of their sums with its scale.

    Draws of photographs that hold equally many images need the same ones.
    """
    harmonic = np.append(0, np.cumsum(1 / np.arange(1, most + 1)))
    scale = 2.0 ** np.floor(62 - np.log2(harmonic.sum() + 1))
    return harmonic, np.append(0, np.cumsum(np.rint(harmonic[:-1] * scale).astype(np.int64))), scale
