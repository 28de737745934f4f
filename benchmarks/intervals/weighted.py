"""Metrics of weighted images, presorted once, all generators in one pass; a bootstrap needs them a thousand times.

Every formula equals its namesake in `benchmarks.metrics` on images repeated as often as their weight says.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.evaluation import Subset
from benchmarks.metrics import confident_first
from benchmarks.ranked import Labels, Scores

Values = dict[tuple[str, str], NDArray[np.float64]]
LIMITS = {"tpr_at_fpr_1": 0.01, "tpr_at_fpr_5": 0.05}
"""Metrics at a limited false positive rate."""


def size(images: int) -> int:
    """Draws to measure at once."""
    return max(1, 200_000 // max(1, images))


class Sampler:
    """How often each of some members is drawn, in as many draws."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def __call__(self, members: int) -> NDArray[np.int64]:
        """[members] counts."""
        return np.bincount(self._rng.integers(members, size=members), minlength=members)


def stacked(draws: Sequence[NDArray[np.integer[Any]]]) -> NDArray[np.float64]:
    """[B, K] weights of the photographs, from those [K] of each draw."""
    return np.stack(draws).astype(np.float64)


def classes(subsets: Sequence[Subset], labels: Labels) -> tuple[list[NDArray[np.int64]], list[NDArray[np.int64]], bool]:
    """Generated images of each subset; sets of real images, one if all subsets share it; and whether they do."""
    fakes, reals = ([s.images[held[s.images]] for s in subsets] for held in (labels == 1, labels == 0))
    shared = all(np.array_equal(reals[0], other) for other in reals[1:])
    return fakes, reals[:1] if shared else reals, shared


class Family:
    """Subsets of any generated images, whose real images are either shared by all or disjoint.

    Args:
        subsets: C subsets.
        scores: [N] of all images.
        labels: [N].
        thresholds: name to value.
        photo: [N] photograph of each image.
    """

    def __init__(
        self, subsets: Sequence[Subset], scores: Scores, labels: Labels, thresholds: Mapping[str, float], photo: Labels
    ) -> None:
        self.subsets = list(subsets)
        self.thresholds = dict(thresholds)
        fakes, reals, shared = classes(subsets, labels)
        segments = [rows[np.argsort(scores[rows], kind="stable")] for rows in reals]
        fakes = [rows[np.argsort(-scores[rows], kind="stable")] for rows in fakes]
        self.fake_scores, self.real_scores = scores[np.concatenate(fakes)], scores[np.concatenate(segments)]
        self.fakes, self.reals = photo[np.concatenate(fakes)], photo[np.concatenate(segments)]
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
            weights: [B, K] of the photographs in B draws, not negative.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            return self._values(weights)

    def _values(self, weights: NDArray[np.float64]) -> Values:
        fake, real = weights[:, self.fakes], weights[:, self.reals]
        fake_sum, real_sum = _cumulate(fake), _cumulate(real)
        positives = fake_sum[:, self.stop] - fake_sum[:, self.start]
        negatives = real_sum[:, self.real_stop] - real_sum[:, self.real_start]
        below = real_sum[:, self.first_not_below] - real_sum[:, self.real_start][:, self.column]
        tied = real_sum[:, self.first_above] - real_sum[:, self.first_not_below]
        found = fake_sum[:, self.last_equal] - fake_sum[:, self.start][:, self.column]
        precision = found / np.maximum(found + negatives[:, self.column] - below, 1e-300)
        squares = _cumulate(real * self.real_scores**2)
        reached = {}
        for name, limit in LIMITS.items():
            needed = real_sum[:, self.real_start] + negatives * (1 - limit * (1 + 1e-12))
            place = np.stack([np.searchsorted(row, least, "left") for row, least in zip(real_sum, needed, strict=True)])
            reached[name] = self._sum(fake * (self.first_not_below >= place[:, self.column]))
        return values(
            positives,
            negatives,
            self._sum(fake * (below + tied / 2)),
            self._sum(fake * precision),
            self._sum(fake * (1 - self.fake_scores) ** 2) + squares[:, self.real_stop] - squares[:, self.real_start],
            reached,
            {
                name: (
                    fake_sum[:, fake_place] - fake_sum[:, self.start],
                    real_sum[:, self.real_stop] - real_sum[:, real_place],
                )
                for name, (fake_place, real_place) in self.called.items()
            },
        )

    def _sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """[B, F] to [B, C]."""
        sums = _cumulate(values)
        return np.asarray(sums[:, self.stop] - sums[:, self.start])


class Calibration:
    """Weighted expected calibration error of one subset; ``photo`` [N] is the photograph of each image."""

    def __init__(self, subset: Subset, scores: Scores, labels: Labels, photo: Labels, bins: int = 15) -> None:
        images = subset.images[labels[subset.images] >= 0]
        images = images[np.argsort(scores[images], kind="stable")]
        self.photo, self.scores, self.labels, self.bins = photo[images], scores[images], labels[images], bins
        self.first = np.flatnonzero(np.append(True, np.diff(self.scores) != 0))
        self.distinct = np.repeat(np.arange(self.first.size), np.diff(np.append(self.first, self.scores.size)))

    def __call__(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """[B] ECE with weights [B, K] of the photographs; NaN if they are all zero."""
        return np.array([self._of(row[self.photo]) for row in weights])

    def _of(self, own: NDArray[np.float64]) -> float:
        mass = np.add.reduceat(own, self.first)
        total = float(mass.sum())
        if total == 0:
            return float("nan")
        middle = np.cumsum(mass) - mass / 2
        place = np.minimum((middle * self.bins / total).astype(np.int64), self.bins - 1)[self.distinct]
        return float(np.abs(np.bincount(place, own * (self.scores - self.labels), self.bins)).sum() / total)


class Selective:
    """Weighted area under the risk-coverage curve of one subset, of images repeated as often as whole weights say."""

    def __init__(self, subset: Subset, scores: Scores, labels: Labels, threshold: float, photo: Labels) -> None:
        images = subset.images[labels[subset.images] >= 0]
        order, self.wrong, self.first = confident_first(scores[images], labels[images], threshold)
        self.photo = photo[images[order]]

    def __call__(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """[B] areas with weights [B, K] of the photographs; NaN if they are all zero."""
        return np.array([self._of(row[self.photo]) for row in weights])

    def _of(self, own: NDArray[np.float64]) -> float:
        mass = np.add.reduceat(own, self.first)
        if not mass.sum():
            return float("nan")
        held = mass > 0
        share = np.add.reduceat(own * self.wrong, self.first)[held] / mass[held]
        errors = np.repeat(share, mass[held].astype(np.int64))
        return float((np.cumsum(errors) / np.arange(1, errors.size + 1)).mean())


def values(
    positives: NDArray[np.float64],
    negatives: NDArray[np.float64],
    outranked: NDArray[np.float64],
    precision: NDArray[np.float64],
    squares: NDArray[np.float64],
    reached: Mapping[str, NDArray[np.float64]],
    called: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]],
) -> Values:
    """(metric, threshold name) to [B, C] values, from weighted sums [B, C]; NaN where the weights leave too little.

    Args:
        positives: generated images.
        negatives: real images.
        outranked: real images below each generated one, summed over these; equal ones count half.
        precision: precision at the score of each generated image, summed over these.
        squares: squared errors.
        reached: name in `LIMITS` to the generated images with few enough real ones at or above.
        called: name of a threshold to true and false positives.
    """
    total = positives + negatives
    both = np.where((positives > 0) & (negatives > 0), 1.0, np.nan)
    found: Values = {
        ("auroc", ""): both * outranked / (positives * negatives),
        ("average_precision", ""): both * precision / positives,
        ("brier", ""): squares / total,
        **{(name, ""): both * images / positives for name, images in reached.items()},
    }
    for name, (tp, fp) in called.items():
        tn = negatives - fp
        found |= {
            ("accuracy", name): (tp + tn) / total,
            ("balanced_accuracy", name): (tp / positives + tn / negatives) / 2,
            ("precision", name): np.where(positives > 0, tp / (tp + fp), np.nan),
            ("recall", name): tp / positives,
            ("specificity", name): tn / negatives,
            ("f1", name): np.where(positives > 0, 2 * tp / (tp + fp + positives), np.nan),
        }
    return found


def _cumulate(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """[B, K] to [B, K + 1] cumulative sums, starting with 0."""
    sums = np.zeros((values.shape[0], values.shape[1] + 1))
    np.cumsum(values, axis=1, out=sums[:, 1:])
    return sums


def _bounds(sizes: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    stop = np.cumsum(np.asarray(sizes, dtype=np.int64))
    return stop - sizes, stop
