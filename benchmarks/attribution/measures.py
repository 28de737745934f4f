"""Metrics of a tracer's dump, exact, with bootstrap intervals.

The truth of an image is its generator if the tracer knows it, else ``outlier`` (a real image, or one by a generator it
does not know). Images of unknown label are left out.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isnan, nan

import numpy as np
from numpy.typing import NDArray

from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.intervals.clusters import clusters, strata_of_classes
from benchmarks.metrics import Metric, UndefinedMetricError
from benchmarks.predictions import Predictions
from benchmarks.torch_metrics import TorchMetric
from contracts.errors import DataError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
OUTLIER = "outlier"


@dataclass(frozen=True, eq=False)
class Attribution:
    """Answers to N labelled images among K classes, ``outlier`` among them."""

    classes: tuple[str, ...]  # K names
    families: tuple[str, ...]  # family of each class; "" for ``outlier``
    truth: Ints  # [N] index of the true class
    log_posterior: Floats  # [N, K]
    ids: NDArray[np.str_]  # [N]
    clusters: Ints  # [N] number of the photograph that an image belongs to

    @staticmethod
    def of(predictions: Predictions) -> "Attribution":
        """From a dump with ``class_names`` and ``fused_multi_logits``; families from its provenance's ``families``.

        Raises:
            DataError: it is not a tracer's dump.
        """
        if predictions.class_names is None or predictions.fused_multi_logits is None:
            raise DataError("the dump holds no scores of single generators", "Give a dump of task=trace.")
        classes = tuple(str(name) for name in predictions.class_names)
        if OUTLIER not in classes:
            raise DataError(f"the dump's classes {', '.join(classes)} lack {OUTLIER!r}", "Give a dump of task=trace.")
        known = predictions.fused_labels >= 0
        place = {name: k for k, name in enumerate(classes)}
        names = np.where(predictions.fused_labels == 1, predictions.generators, OUTLIER)[known]
        families = predictions.about.get("families", {})
        return Attribution(
            classes,
            tuple(str(families.get(name, "")) for name in classes),
            np.array([place.get(str(name), place[OUTLIER]) for name in names], dtype=np.int64),
            predictions.fused_multi_logits[known].astype(np.float64),
            predictions.fused_ids[known],
            clusters(predictions)[known],
        )

    def __len__(self) -> int:
        return len(self.truth)

    @property
    def outlier(self) -> int:
        """Index of the class ``outlier``."""
        return self.classes.index(OUTLIER)

    @property
    def answer(self) -> Ints:
        """[N] the likeliest class."""
        return np.asarray(self.log_posterior.argmax(1), dtype=np.int64)

    def measured(self, of: str) -> list[int]:
        """True classes of the images that a `Figure` of this family or class is computed on; all for ""."""
        return [k for k in np.unique(self.truth).tolist() if of in ("", self.classes[k], self.families[k])]

    def confusion(self) -> Ints:
        """[K, K] counts, rows the truth, columns the answer."""
        K = len(self.classes)
        return np.bincount(self.truth * K + self.answer, minlength=K * K).reshape(K, K)


@dataclass(frozen=True)
class Figure:
    """One number."""

    metric: str
    """``accuracy balanced_accuracy macro_f1 family_accuracy variant_accuracy recall known_auroc oscr``, or the name of
    a user-defined metric."""
    of: str  # a family or class, "" for all
    value: float  # NaN where undefined
    images: int  # number of images it is computed on
    chance: float = nan  # expected value of a guess, NaN where there is none
    low: float = nan  # lower end of the 95 % interval, or NaN
    high: float = nan  # upper end

    def as_json(self) -> dict[str, float | int | str | None]:
        """Plain values, undefined ones null."""
        return {k: None if isinstance(value, float) and isnan(value) else value for k, value in vars(self).items()}


Measure = Callable[[Floats], float]  # From weights [N] of the images to a number


def attribution(answers: Attribution, bootstrap: Bootstrap | None = None) -> list[Figure]:
    """All figures, with percentile intervals from resampling photographs within strata of equal true classes.

    A figure has no interval if a class of its images has fewer than `Bootstrap.least` photographs.

    ``accuracy`` over all classes; ``balanced_accuracy`` mean recall of the classes present; ``macro_f1`` mean F1 of
    the classes present or answered; per family ``family_accuracy`` (the family is right) and ``variant_accuracy``
    (the variant is right), of the family's own images; ``recall`` per class; ``known_auroc`` known generators against
    outliers by 1 − P(outlier); ``oscr`` area under the curve of the fraction of known images attributed correctly
    against the fraction of outliers accepted (open-set classification rate, Dhamija et al. 2018).
    """
    bootstrap = bootstrap or Bootstrap()
    measures = _measures(answers)
    if not len(answers):
        return []
    draws: list[list[float]] = [[] for _ in measures]
    rng = np.random.default_rng(bootstrap.seed)
    _, cluster = np.unique(answers.clusters, return_inverse=True)
    holds = np.zeros((int(cluster.max()) + 1, len(answers.classes)), dtype=bool)
    holds[cluster, answers.truth] = True
    strata = strata_of_classes(holds)
    for _ in range(bootstrap.resamples):
        counts = np.zeros(len(holds))
        for own in strata:
            counts[own] = np.bincount(rng.integers(len(own), size=len(own)), minlength=len(own))
        weights = counts[cluster]
        with np.errstate(invalid="ignore"):  # a draw may lack a class, and the figure then has no interval
            for values, (_, measure) in zip(draws, measures, strict=True):
                values.append(measure(weights))
    tail = (1 - bootstrap.level) / 2
    figures = []
    for (figure, measure), values in zip(measures, draws, strict=True):
        value = measure(np.ones(len(answers)))
        scarce = any(holds[:, k].sum() < bootstrap.least for k in answers.measured(figure.of))
        low, high = (nan, nan) if scarce or not np.isfinite(values).all() else np.quantile(values, [tail, 1 - tail])
        figures.append(Figure(figure.metric, figure.of, value, figure.images, figure.chance, float(low), float(high)))
    return figures


def own_figures(answers: Attribution, metrics: Mapping[str, Metric]) -> list[Figure]:
    """User-defined metrics, on all images together and without intervals.

    Classes of torchmetrics that take ``num_classes`` measure the class probabilities; every other metric measures known
    generators against outliers by 1 − P(outlier), at 0.5.
    """
    posterior = np.exp(answers.log_posterior)
    figures = []
    for name, metric in metrics.items():
        value = nan
        if len(answers):
            try:
                if isinstance(metric, TorchMetric) and metric.multiclass:
                    value = metric.of_classes(posterior, answers.truth)
                else:
                    known = (answers.truth != answers.outlier).astype(np.int64)
                    value = float(metric(1 - posterior[:, answers.outlier], known, 0.5))
            except UndefinedMetricError:
                value = nan
        figures.append(Figure(name, "", value, len(answers)))
    return figures


def _measures(answers: Attribution) -> list[tuple[Figure, Measure]]:
    truth, answer, K = answers.truth, answers.answer, len(answers.classes)
    right = (truth == answer).astype(float)
    cell = truth * K + answer
    present = np.unique(truth)

    def confusion(weights: Floats) -> Floats:
        return np.bincount(cell, weights, K * K).astype(np.float64).reshape(K, K)

    def share(mask: NDArray[np.bool_], hits: Floats) -> Measure:
        return lambda w: float((w * hits)[mask].sum() / w[mask].sum()) if w[mask].sum() else nan

    def balanced(w: Floats) -> float:
        counts = confusion(w)
        return float((np.diag(counts)[present] / counts.sum(1)[present]).mean())

    def macro_f1(w: Floats) -> float:
        counts = confusion(w)
        total = counts.sum(0) + counts.sum(1)
        return float((2 * np.diag(counts)[total > 0] / total[total > 0]).mean())

    n = len(answers)
    every = np.ones(n, dtype=bool)
    most = float(np.bincount(truth, minlength=K).max() / max(n, 1))
    found: list[tuple[Figure, Measure]] = [
        (Figure("accuracy", "", nan, n, most), share(every, right)),
        (Figure("balanced_accuracy", "", nan, n, 1 / K), balanced),
        (Figure("macro_f1", "", nan, n), macro_f1),
    ]
    families = np.array(answers.families)
    for family in dict.fromkeys(f for f in answers.families if f):
        own = families[truth] == family
        if own.any():
            same = (families[answer] == family).astype(float)
            chance = float((families == family).mean())
            found.append((Figure("family_accuracy", family, nan, int(own.sum()), chance), share(own, same)))
            found.append((Figure("variant_accuracy", family, nan, int(own.sum()), 1 / K), share(own, right)))
    for k in present.tolist():
        own = truth == k
        found.append((Figure("recall", answers.classes[k], nan, int(own.sum()), 1 / K), share(own, right)))
    alien = truth == answers.outlier
    if alien.any() and not alien.all():
        others = [k for k in range(K) if k != answers.outlier]
        known = (
            np.logaddexp.reduce(answers.log_posterior[:, others], axis=1) - answers.log_posterior[:, answers.outlier]
        )
        best = answers.log_posterior[:, others].max(1)
        hit = np.array(others)[answers.log_posterior[:, others].argmax(1)] == truth
        found.append((Figure("known_auroc", "", nan, n, 0.5), _above(known, alien, np.ones(n))))
        found.append((Figure("oscr", "", nan, n, 0.5 / len(others)), _above(best, alien, hit.astype(float))))
    return found


def _above(scores: Floats, alien: NDArray[np.bool_], credit: Floats) -> Measure:
    """Weighted mean over pairs (known, outlier) of credit(known) × [score above the outlier's, ties half]."""
    _, level = np.unique(scores, return_inverse=True)
    levels = int(level.max()) + 1

    def measure(weights: Floats) -> float:
        outliers = np.bincount(level[alien], weights[alien], levels)
        below = np.cumsum(outliers) - outliers / 2
        known = weights[~alien]
        whole = known.sum() * outliers.sum()
        return float((known * credit[~alien] * below[level[~alien]]).sum() / whole) if whole else nan

    return measure
