"""Metrics of weighted images, presorted once, all generators in one pass; a bootstrap needs them a thousand times.

Every formula equals its namesake in `benchmarks.metrics` on images repeated as often as their weight says.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.evaluation import Subset
from benchmarks.metrics import Labels, Scores, confident_first

Values = dict[tuple[str, str], NDArray[np.float64]]


class Family:
    """Subsets of any generated images, whose real images are either shared by all or disjoint.

    Args:
        subsets: C subsets.
        scores: [N] of all images.
        labels: [N].
        thresholds: name to value.
    """

    def __init__(
        self, subsets: Sequence[Subset], scores: Scores, labels: Labels, thresholds: Mapping[str, float]
    ) -> None:
        self.subsets = list(subsets)
        self.thresholds = dict(thresholds)
        fakes = [s.images[labels[s.images] == 1] for s in subsets]
        reals = [s.images[labels[s.images] == 0] for s in subsets]
        shared = all(np.array_equal(reals[0], other) for other in reals[1:])
        segments = [rows[np.argsort(scores[rows], kind="stable")] for rows in (reals[:1] if shared else reals)]
        fakes = [rows[np.argsort(-scores[rows], kind="stable")] for rows in fakes]
        self.fakes, self.reals = np.concatenate(fakes), np.concatenate(segments)
        self.fake_scores, self.real_scores = scores[self.fakes], scores[self.reals]
        self.column = np.repeat(np.arange(len(fakes)), [rows.size for rows in fakes])
        self.start, self.stop = _bounds([rows.size for rows in fakes])
        real_start, real_stop = _bounds([rows.size for rows in segments])
        repeat = len(fakes) if shared else 1
        self.real_start, self.real_stop = np.tile(real_start, repeat), np.tile(real_stop, repeat)
        self.first_not_below, self.first_above, self.last_equal = self._places()
        self.called = {
            name: [
                self.start + [int((scores[rows] > t).sum()) for rows in fakes],
                self.real_start + np.tile([int((scores[rows] <= t).sum()) for rows in segments], repeat),
            ]
            for name, t in thresholds.items()
        }

    def _places(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """[F] place of each generated image among the reals of its subset, and its last equal among the generated."""
        low, high = np.empty(self.fakes.size, np.int64), np.empty(self.fakes.size, np.int64)
        last = np.empty(self.fakes.size, np.int64)
        for begin, end, a, b in zip(self.start, self.stop, self.real_start, self.real_stop, strict=True):
            own = self.fake_scores[begin:end]
            low[begin:end] = a + np.searchsorted(self.real_scores[a:b], own, "left")
            high[begin:end] = a + np.searchsorted(self.real_scores[a:b], own, "right")
            last[begin:end] = begin + np.searchsorted(-own, -own, "right")
        return low, high, last

    def __call__(self, weights: NDArray[np.float64]) -> Values:
        """(metric, threshold name) to [B, C] values; NaN where the weights leave too little.

        Args:
            weights: [B, N] of all images in B draws, not negative.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            return self._values(weights)

    def _values(self, weights: NDArray[np.float64]) -> Values:
        fake, real = weights[:, self.fakes], weights[:, self.reals]
        fake_sum, real_sum = _cumulate(fake), _cumulate(real)
        positives = fake_sum[:, self.stop] - fake_sum[:, self.start]
        negatives = real_sum[:, self.real_stop] - real_sum[:, self.real_start]
        total = positives + negatives
        below = real_sum[:, self.first_not_below] - real_sum[:, self.real_start][:, self.column]
        tied = real_sum[:, self.first_above] - real_sum[:, self.first_not_below]
        found = fake_sum[:, self.last_equal] - fake_sum[:, self.start][:, self.column]
        precision = found / np.maximum(found + negatives[:, self.column] - below, 1e-300)
        squares = _cumulate(real * self.real_scores**2)
        brier = self._sum(fake * (1 - self.fake_scores) ** 2) + squares[:, self.real_stop] - squares[:, self.real_start]
        both = np.where((positives > 0) & (negatives > 0), 1.0, np.nan)
        values: Values = {
            ("auroc", ""): both * self._sum(fake * (below + tied / 2)) / (positives * negatives),
            ("average_precision", ""): both * self._sum(fake * precision) / positives,
            ("brier", ""): brier / total,
        }
        for name, limit in (("tpr_at_fpr_1", 0.01), ("tpr_at_fpr_5", 0.05)):
            needed = real_sum[:, self.real_start] + negatives * (1 - limit * (1 + 1e-12))
            place = np.stack([np.searchsorted(row, least, "left") for row, least in zip(real_sum, needed, strict=True)])
            reached = self.first_not_below >= place[:, self.column]
            values[name, ""] = both * self._sum(fake * reached) / positives
        for name, (fake_place, real_place) in self.called.items():
            tp = fake_sum[:, fake_place] - fake_sum[:, self.start]
            fp = real_sum[:, self.real_stop] - real_sum[:, real_place]
            tn = negatives - fp
            values |= {
                ("accuracy", name): (tp + tn) / total,
                ("balanced_accuracy", name): (tp / positives + tn / negatives) / 2,
                ("precision", name): np.where(positives > 0, tp / (tp + fp), np.nan),
                ("recall", name): tp / positives,
                ("specificity", name): tn / negatives,
                ("f1", name): np.where(positives > 0, 2 * tp / (tp + fp + positives), np.nan),
            }
        return values

    def _sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """[B, F] to [B, C]."""
        sums = _cumulate(values)
        return np.asarray(sums[:, self.stop] - sums[:, self.start])


class Calibration:
    """Weighted expected calibration error of one subset."""

    def __init__(self, subset: Subset, scores: Scores, labels: Labels, bins: int = 15) -> None:
        self.images = subset.images[np.argsort(scores[subset.images], kind="stable")]
        self.scores, self.labels, self.bins = scores[self.images], labels[self.images], bins
        self.first = np.flatnonzero(np.append(True, np.diff(self.scores) != 0))
        self.distinct = np.repeat(np.arange(self.first.size), np.diff(np.append(self.first, self.scores.size)))

    def __call__(self, weights: NDArray[np.float64]) -> float:
        """ECE with these weights [N] of all images; NaN if they are all zero."""
        own = weights[self.images]
        mass = np.add.reduceat(own, self.first)
        total = float(mass.sum())
        if total == 0:
            return float("nan")
        middle = np.cumsum(mass) - mass / 2
        place = np.minimum((middle * self.bins / total).astype(np.int64), self.bins - 1)[self.distinct]
        return float(np.abs(np.bincount(place, own * (self.scores - self.labels), self.bins)).sum() / total)


class Selective:
    """Weighted area under the risk-coverage curve of one subset, of images repeated as often as whole weights say."""

    def __init__(self, subset: Subset, scores: Scores, labels: Labels, threshold: float) -> None:
        order, self.wrong, self.first = confident_first(scores[subset.images], labels[subset.images], threshold)
        self.images = subset.images[order]

    def __call__(self, weights: NDArray[np.float64]) -> float:
        """The area with these weights [N] of all images; NaN if they are all zero."""
        own = weights[self.images]
        mass = np.add.reduceat(own, self.first)
        if not mass.sum():
            return float("nan")
        held = mass > 0
        share = np.add.reduceat(own * self.wrong, self.first)[held] / mass[held]
        errors = np.repeat(share, mass[held].astype(np.int64))
        return float((np.cumsum(errors) / np.arange(1, errors.size + 1)).mean())


def _cumulate(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """[B, K] to [B, K + 1] cumulative sums, starting with 0."""
    sums = np.zeros((values.shape[0], values.shape[1] + 1))
    np.cumsum(values, axis=1, out=sums[:, 1:])
    return sums


def _bounds(sizes: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    stop = np.cumsum(np.asarray(sizes, dtype=np.int64))
    return stop - sizes, stop
