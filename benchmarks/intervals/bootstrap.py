"""Confidence intervals by a bootstrap of photographs, not of images.

Crops and edits of one photograph are alike; resampling single images would make intervals too narrow. So clusters
(the dump's ``group``) are sampled with replacement, within three strata: clusters of real images only, of generated
images only, and of both; a cluster that is alone in its stratum joins another one, since it would never vary. Every
generator and every metric uses the same resamples. Percentile intervals (Efron 1979).

Such an interval lies within the range of the clusters' own values. With n clusters, that range misses their median with
probability 2^(1 - n), so there is no interval with a nominal coverage of 95 % for fewer than six.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from math import ceil, log2, nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.evaluation import Result, Subset, seen_alike, share, subsets
from benchmarks.intervals import weighted
from benchmarks.intervals.clusters import clusters, few, strata
from benchmarks.intervals.ends import bounded, widened, without_width
from benchmarks.metrics import Metric, Spec, UndefinedMetricError, choose
from benchmarks.predictions import Predictions
from benchmarks.views import by_view
from contracts.errors import ConfigError

FAST = {
    "auroc", "average_precision", "brier", "tpr_at_fpr_1", "tpr_at_fpr_5", "accuracy", "balanced_accuracy", "precision",
    "recall", "specificity", "f1", "ece", "aurc",
}  # fmt: skip
COMPILED = 10_000_000
"""Images times resamples from which compiled loops are worth their start: about 12 s once after an installation, then
half a second; numpy takes 3 s for so many."""
Key = tuple[str, str, str, str]
"""(kind, generator, metric, threshold name) of a result."""
Draws = dict[Key, NDArray[np.float64]]
Counts = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are computed."""

    resamples: int = 1000  # number of bootstrap samples
    seed: int = 0  # random seed
    level: float = 0.95  # nominal coverage

    def __post_init__(self) -> None:
        if self.resamples < 20 or not 0 < self.level < 1:
            raise ConfigError(
                f"intervals: resamples={self.resamples} level={self.level}",
                "Give at least 20 resamples and a level between 0 and 1.",
            )

    @property
    def least(self) -> int:
        """Clusters of a class from which an interval can have the nominal coverage."""
        return 1 + ceil(-log2(1 - self.level) - 1e-9)

    def enough(self, predictions: Predictions) -> bool:
        """Whether each class that is present has enough photographs for intervals."""
        photographs, labels = clusters(predictions), predictions.fused_labels
        return not any(few(photographs, np.flatnonzero(labels == kind), self.least) for kind in (0, 1))

    def weights(self, predictions: Predictions) -> Iterator[NDArray[np.float64]]:
        """[N] weights of the images, one array per resample; 0 for images of unknown label.

        There are none if a class has too few photographs for an interval.
        """
        if not self.enough(predictions):
            return iter(())
        cluster, known = clusters(predictions), (predictions.fused_labels >= 0).astype(np.float64)
        return (counts[cluster] * known for counts in self.counts(cluster, predictions.fused_labels))

    def counts(self, cluster: NDArray[np.int64], labels: NDArray[np.int64], way: Any = weighted) -> Iterator[Counts]:
        """[K] how often each cluster was sampled, one array per resample.

        Args:
            cluster: [N] number of the cluster that each image is in.
            labels: [N]; images of unknown label decide no stratum.
            way: see `_way`; each gives the same numbers.
        """
        size = int(cluster.max(initial=-1)) + 1
        holds = [np.bincount(cluster[labels == kind], minlength=size) > 0 for kind in (0, 1)]
        members = strata(*holds)
        sampler = way.Sampler(np.random.default_rng(self.seed))
        for _ in range(self.resamples):
            drawn = [sampler(own.size) if own.size else own for own in members]
            if max(part.size for part in drawn) == size:
                yield next(part for part in drawn if part.size == size)
                continue
            samples = np.zeros(size, np.uint32)
            for own, counts in zip(members, drawn, strict=True):
                samples[own] = counts
            yield samples

    def __call__(
        self,
        predictions: Predictions,
        results: Sequence[Result],
        metrics: Mapping[str, Metric] | Sequence[str] | None = None,
    ) -> list[Result]:
        """The results with ``low`` and ``high``.

        User-defined functions are resampled too (slower: images are repeated as often as sampled), classes of
        torchmetrics are not. ECE and AURC have an interval on the pooled images only. There is no interval if the
        metric is undefined in more than half of the draws, or a class has fewer than `least` photographs.

        Args:
            predictions: the images the results were measured on.
            results: results of `benchmarks.evaluation.evaluate`.
            metrics: the metrics given there.
        """
        return self.bounded(predictions, results, self.draw(predictions, results, metrics))

    def bounded(
        self,
        predictions: Predictions,
        results: Sequence[Result],
        draws: Mapping[Key, NDArray[np.float64]],
        sets: Sequence[Subset] | None = None,
    ) -> list[Result]:
        """The results with their intervals: of the draws, and Wilson's for shares of 0 or 1 (see `ends`)."""
        within = [bounded(result, draws.get(result.key), self.level) for result in results]
        if not any(map(without_width, within)):
            return within  # clusters of a million images take a second
        found = subsets(predictions) if sets is None else sets
        return widened(within, found, clusters(predictions), predictions.fused_labels, self.level)

    def draw(
        self,
        predictions: Predictions,
        results: Sequence[Result],
        metrics: Mapping[str, Metric] | Sequence[str] | None = None,
        sets: Sequence[Subset] | None = None,
        specs: Mapping[str, Spec] | None = None,
        sparse: bool = False,
    ) -> Draws:
        """The [resamples] values of each result by its key, from the same resamples for two dumps of the same images.

        They are NaN where a class that the metric needs has fewer than `least` photographs in the subset, unless
        ``sparse``: a mean over several subsets may need the draws of small ones.

        Args:
            predictions: the images the results were measured on.
            results: the numbers wanted.
            metrics: the metrics given to `benchmarks.evaluation.evaluate`.
            sets: the subsets measured; None for those of `benchmarks.evaluation.subsets`.
            specs: the metrics measured, instead of ``metrics``.
            sparse: whether subsets with too few photographs keep their draws.
        """
        if not results:
            return {}
        found = subsets(predictions) if sets is None else sets
        parts, specs = by_view(predictions), choose(metrics) if specs is None else specs
        thresholds = {r.at: r.threshold for r in results if r.at}
        wanted = sorted({r.key for r in results})
        values: Draws = {key: np.full(self.resamples, nan) for key in wanted}
        cluster = clusters(predictions)
        weights: dict[Key, list[float]] = {}
        samples: dict[Key, list[NDArray[np.float64]]] = {}
        for part in parts:
            own = [local for subset in found for one, local in seen_alike(parts, subset) if one is part]
            if not own:
                continue
            way = _way(len(part.predictions) * self.resamples)
            stream = self.counts(cluster, predictions.fused_labels, way)
            labels = part.predictions.fused_labels
            counts = {(s.kind, s.name): np.bincount(labels[s.images], minlength=2).tolist() for s in own}
            drawn = self._draw(part.predictions, cluster[part.images], own, way, stream, wanted, thresholds, specs)
            for key, column in drawn.items():
                if (counted := share(specs[key[2]], *counts[key[:2]])) > 0:
                    weights.setdefault(key, []).append(counted)
                    samples.setdefault(key, []).append(column)
        for key, columns in samples.items():
            values[key] = columns[0] if len(columns) == 1 else np.average(columns, axis=0, weights=weights[key])
        for result in results:
            if result.kind == "macro":
                members = [v for key, v in values.items() if key[0] == "generator" and key[2:] == result.key[2:]]
                values[result.key] = np.asarray(np.mean(members, axis=0))
        return values if sparse else self.masked(values, predictions, found, specs)

    def _draw(
        self,
        predictions: Predictions,
        cluster: NDArray[np.int64],
        found: Sequence[Subset],
        way: Any,
        stream: Iterator[Counts],
        wanted: Sequence[Key],
        thresholds: Mapping[str, float],
        specs: Mapping[str, Spec],
    ) -> Draws:
        """Draws of the subsets of images that were seen through one view; ``stream`` gives weights [K] of clusters."""
        scores, labels = predictions.fused_scores.astype(np.float64), predictions.fused_labels
        names = {(s.kind, s.name) for s in found}
        keys = {key for key in wanted if key[:2] in names}
        families = [way.Family(s, scores, labels, thresholds, cluster) for s in _families(found, labels)]
        pooled = next((s for s in found if s.kind == "pooled"), None)
        once: dict[Key, Any] = {}
        if pooled is not None and pooled.images.size > 0:
            sorted_once = pooled.images[np.argsort(scores[pooled.images], kind="stable")]
            pooled = replace(pooled, images=sorted_once)  # what follows sorts it again, which then costs little
            for key in sorted(keys):
                if key[:3] == ("pooled", "", "ece"):
                    once[key] = way.Calibration(pooled, scores, labels, cluster)
                elif key[:3] == ("pooled", "", "aurc"):
                    once[key] = way.Selective(pooled, scores, labels, thresholds[key[3]], cluster)
        own: dict[tuple[str, str], list[Key]] = {}
        for key in sorted(keys):
            if key[2] not in FAST and specs[key[2]].resampled:
                own.setdefault(key[:2], []).append(key)
        values: Draws = {key: np.full(self.resamples, nan) for key in sorted(keys)}
        size, known = way.size(len(predictions)), labels >= 0
        for begin in range(0, self.resamples, size):
            counts = list(islice(stream, size))
            weights = way.stacked(counts)
            block = slice(begin, begin + len(counts))
            for family in families:
                for (metric, at), samples in family(weights).items():
                    for subset, column in zip(family.subsets, samples.T, strict=True):
                        if (subset.kind, subset.name, metric, at) in keys:
                            values[subset.kind, subset.name, metric, at][block] = column[: len(counts)]
            for key, measured in once.items():
                values[key][block] = measured(weights)[: len(counts)]
            for subset in found:
                for key in own.get((subset.kind, subset.name), ()):
                    values[key][block] = [
                        _repeated(
                            specs[key[2]], subset, row[cluster] * known, scores, labels, thresholds.get(key[3], nan)
                        )
                        for row in counts
                    ]
        return values

    def masked(
        self, draws: Draws, predictions: Predictions, found: Sequence[Subset], specs: Mapping[str, Spec]
    ) -> Draws:
        """The draws of `draw`, NaN where a class that the metric needs has too few photographs in the subset."""
        cluster, labels = clusters(predictions), predictions.fused_labels
        several = [s.images for s in found if s.kind == "generator"]
        every = Subset("macro", "", np.unique(np.concatenate(several)) if several else np.zeros(0, np.int64))
        scarce = {
            (s.kind, s.name): [few(cluster, s.images[labels[s.images] == kind], self.least) for kind in (0, 1)]
            for s in (*found, every)
        }
        values = dict(draws)
        for key in draws:
            needs = specs[key[2]].needs
            lacking = scarce.get(key[:2], (False, False))
            if any(lacking[kind] for kind in (needs or (0, 1))):
                values[key] = np.full(self.resamples, nan)
        return values

    def as_json(self, predictions: Predictions) -> dict[str, Any]:
        """Settings of the bootstrap, for readers of the intervals."""
        count = np.unique(clusters(predictions)[predictions.fused_labels >= 0]).size
        return {**asdict(self), "clusters": int(count), "clustered": bool((predictions.group != "").any())}


def _way(work: int) -> Any:
    """The module that measures draws of this many images in all: each has the same classes."""
    if work < COMPILED:
        return weighted
    from benchmarks.intervals import swept  # it imports numba, which takes a second

    return swept


def _families(found: Sequence[Subset], labels: NDArray[np.int64]) -> list[list[Subset]]:
    """Subsets that are measured in one pass: those with the same real images, and those paired with disjoint ones."""
    families: dict[Any, list[Subset]] = {}
    real_images = labels == 0
    for subset in found:
        real = subset.images[real_images[subset.images]]
        families.setdefault("paired" if subset.kind == "paired" else real.tobytes(), []).append(subset)
    return list(families.values())


def _repeated(
    spec: Spec,
    subset: Subset,
    weights: Counts,
    scores: NDArray[np.float64],
    labels: NDArray[np.int64],
    threshold: float,
) -> float:
    """A metric of images repeated as often as their weights say."""
    images = np.repeat(subset.images, weights[subset.images].astype(np.int64))
    try:
        return spec(scores[images], labels[images], threshold)
    except UndefinedMetricError:
        return nan
