"""What several metrics need of the same images, each part computed at most once."""

from bisect import bisect_right
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
Labels = NDArray[np.int64]


class Ranked:
    """Images with their order by falling score; metrics that share it sort them once.

    Args:
        scores: [N] probabilities of being generated.
        labels: [N] 0 or 1.
        sort: whether to sort; False if the scores fall already.
        among: the images among which these were selected, and the mask.
    """

    def __init__(
        self, scores: Scores, labels: Labels, sort: bool = True, among: tuple["Ranked", NDArray[np.bool_]] | None = None
    ) -> None:
        self.scores, self.labels, self._sort, self._among = scores, labels, sort, among
        self._counts: dict[float, tuple[int, int, int, int]] = {}
        self._holds: dict[int, bool] = {}
        self._by_confidence: dict[float, tuple[Labels, Scores, Scores, Labels]] = {}

    def select(self, held: NDArray[np.bool_]) -> "Ranked":
        """The images of a mask [N] over images by falling score."""
        places = np.flatnonzero(held)
        return Ranked(self._falling[places], self._truth[places], False, (self, held))

    @cached_property
    def order(self) -> Labels | slice:
        """Index of the images by falling score, equal ones as given."""
        return np.argsort(-self.scores, kind="stable") if self._sort else slice(None)

    @cached_property
    def _falling(self) -> Scores:
        return self.scores[self.order]

    @cached_property
    def _truth(self) -> Labels:
        return self.labels[self.order]

    @cached_property
    def _last(self) -> Labels:
        """[T] place of the last image of each distinct score."""
        return ends(self._falling) - 1

    @cached_property
    def curve(self) -> tuple[Scores, Labels, Labels]:
        """See `benchmarks.metrics.curve`."""
        tp = np.cumsum(self._truth == 1)[self._last]
        return self._falling[self._last], tp, self._last + 1 - tp

    def holds(self, kind: int) -> bool:
        """Whether images of this label are among them."""
        if kind not in self._holds:
            self._holds[kind] = bool((self.labels == kind).any())
        return self._holds[kind]

    def counts(self, threshold: float) -> tuple[int, int, int, int]:
        """See `benchmarks.metrics.counts`."""
        if threshold not in self._counts:
            fake = self.labels == 1
            called, made = self.scores > threshold, int(np.count_nonzero(fake))
            tp = int(np.count_nonzero(called & fake))
            fp = int(np.count_nonzero(called)) - tp
            self._counts[threshold] = tp, made - tp, fp, fake.size - made - fp
        return self._counts[threshold]

    @cached_property
    def logits(self) -> Scores:
        """[N] log odds; infinite at 0 and 1."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.log(self.scores) - np.log1p(-self.scores))

    def confident_first(self, threshold: float) -> tuple[Labels, Scores, Labels]:
        """See `benchmarks.metrics.confident_first`."""
        order, _, wrong, first = self._confident(threshold)
        return order, wrong, first

    def errors(self, threshold: float) -> tuple[Scores, Labels]:
        """The errors and ties of `confident_first`; a selection takes them from the images that it is of."""
        if self._among is None:
            return self._confident(threshold)[2:]
        whole, held = self._among
        order, away, wrong, _ = whole.by_falling_score._confident(threshold)
        own = np.flatnonzero(held[order])
        return wrong[own], starts(away[own])

    @cached_property
    def by_falling_score(self) -> "Ranked":
        """The same images, sorted."""
        return Ranked(self._falling, self._truth, sort=False)

    def _confident(self, threshold: float) -> tuple[Labels, Scores, Scores, Labels]:
        """As `confident_first`, with the distance of logits second."""
        if threshold not in self._by_confidence:
            with np.errstate(divide="ignore", invalid="ignore"):
                away = np.abs(self.logits - (np.log(threshold) - np.log1p(-np.float64(threshold))))
            away = np.nan_to_num(away, copy=False, nan=np.inf, posinf=np.inf)
            if self._sort:
                order = np.argsort(-away, kind="stable")
            else:  # confidence falls and then rises; two falling runs are merged faster
                turn = int(np.count_nonzero(self.scores > threshold))
                order = np.append(np.arange(turn), np.arange(self.scores.size - 1, turn - 1, -1))
                order = order[np.argsort(-away[order], kind="stable")]
            wrong = ((self.scores > threshold) != (self.labels == 1))[order].astype(np.float64)
            self._by_confidence[threshold] = order, away[order], wrong, starts(away[order])
        return self._by_confidence[threshold]

    def bin_ends(self, number: int) -> Labels | None:
        """[number] images by falling score up to the end of each bin of `bins`, the highest first; None if unsorted."""
        if self._sort or not self.scores.size:
            return None
        total, found = self.scores.size, []

        def below(group: int) -> int:
            """Bins below that of a group of equal scores, negative so that it rises as scores fall."""
            last = int(self._last[group])
            size = last - (int(self._last[group - 1]) if group else -1)
            return -min(int((total - 1 - last + size / 2) * number / total), number - 1)

        for least in range(number - 1, -1, -1):
            groups = bisect_right(range(self._last.size), -least, key=below)
            found.append(int(self._last[groups - 1]) + 1 if groups else 0)
        return np.array(found)

    def bins(self, number: int) -> Labels:
        """See `benchmarks.metrics.reliability_bins`."""
        size = np.diff(self._last, prepend=-1)
        middle = self.scores.size - 1 - self._last + size / 2
        place = np.empty(self.scores.size, np.int64)
        own = np.minimum((middle * number / self.scores.size).astype(np.int64), number - 1)
        place[self.order] = own if size.size == place.size else np.repeat(own, size)
        return place


def starts(ordered: Scores) -> Labels:
    """[T] first place of each group of equal scores."""
    return np.flatnonzero(np.append(ordered.size > 0, ordered[1:] != ordered[:-1]))


def ends(ordered: Scores) -> Labels:
    """[T] where each group of equal scores ends."""
    return np.flatnonzero(np.append(ordered[1:] != ordered[:-1], ordered.size > 0)) + 1
