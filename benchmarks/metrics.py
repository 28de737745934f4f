"""Metrics of scores: exact, in float64 on float32 scores, once, on all images together.

A metric is a plain function ``(scores [N] float64, labels [N] 0/1, threshold) -> float``; a score strictly above the
threshold means "generated". To add one, write such a function and one YAML line, e.g.
``metrics: {youden: {_target_: detectors.mine.youden, _partial_: true}}``; it raises `UndefinedMetricError` with the
reason if it has no value. The metrics of this module share one order of the images, `benchmarks.ranked.Ranked`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np

from benchmarks.ranked import Labels, Ranked, Scores
from contracts.errors import ConfigError, nearest

Metric = Callable[[Scores, Labels, float], float]
OfRanked = Callable[[Ranked, float], float]


class Plain(Protocol):
    """A metric of this module as a function of arrays."""

    def __call__(self, scores: Scores, labels: Labels, threshold: float = 0.5) -> float:
        """The value on these images."""


class UndefinedMetricError(ValueError):
    """This metric has no value on these images; the message is the reason."""


@dataclass(frozen=True)
class Spec:
    """A registered metric."""

    name: str  # key in tables and files
    title: str  # column head
    function: Metric  # the metric
    thresholded: bool  # depends on the threshold, so it is reported at each one
    needs: tuple[int, ...]  # classes that must be present, of 0 (real) and 1 (generated)
    resampled: bool = True  # whether the bootstrap gives it an interval
    ranked: OfRanked | None = None  # the same metric of images that are sorted once; None for a user-defined metric

    def __call__(self, scores: Scores, labels: Labels, threshold: float) -> float:
        """The value on these images; see `of`."""
        return self.of(Ranked(scores, labels), threshold)

    def of(self, images: Ranked, threshold: float) -> float:
        """The value on these images.

        Raises:
            UndefinedMetricError: a class it needs is absent, or it has no value for another reason.
        """
        for kind in self.needs:
            if not images.holds(kind):
                raise UndefinedMetricError(f"no {('real', 'generated')[kind]} images")
        if not images.labels.size:
            raise UndefinedMetricError("no images")
        if self.ranked is not None:
            return float(self.ranked(images, threshold))
        return float(self.function(images.scores, images.labels, threshold))


METRICS: dict[str, Spec] = {}


def register(
    name: str, title: str, *, thresholded: bool = False, needs: tuple[int, ...] = (0, 1)
) -> Callable[[OfRanked], Plain]:
    """Decorator that makes a function of ranked images one of arrays, and a metric of every table, under ``name``.

    Raises:
        ConfigError: the name is taken.
    """

    def enter(function: OfRanked) -> Plain:
        if name in METRICS:
            raise ConfigError(f"A metric named {name!r} exists already", "Choose another name.")

        def plain(scores: Scores, labels: Labels, threshold: float = 0.5) -> float:
            return function(Ranked(scores, labels), threshold)

        plain.__name__ = plain.__qualname__ = name
        plain.__doc__ = function.__doc__
        METRICS[name] = Spec(name, title, plain, thresholded, needs, ranked=function)
        return plain

    return enter


def choose(metrics: Mapping[str, Metric] | Sequence[str] | None = None) -> dict[str, Spec]:
    """The metrics to measure: registered ones by name, further ones as ``{name: function}`` (added to all registered).

    Raises:
        ConfigError: a name is unknown, or a function has the name of a registered metric.
    """
    if metrics is None:
        return dict(METRICS)
    if isinstance(metrics, Mapping):
        for name in metrics:
            if name in METRICS:
                raise ConfigError(f"metrics.{name} is the name of a metric that exists already", "Choose another name.")
        return {**METRICS, **{name: own_spec(name, function) for name, function in metrics.items()}}
    for name in metrics:
        if name not in METRICS:
            raise ConfigError(f"metric {name!r} is unknown", nearest(name, METRICS))
    return {name: METRICS[name] for name in metrics}


def own_spec(name: str, function: Metric) -> Spec:
    """A user-defined metric; a function counts as thresholded, an object may say otherwise."""
    thresholded, resampled = (getattr(function, key, True) for key in ("thresholded", "resampled"))
    return Spec(name, name, function, thresholded, (), resampled)


def counts(scores: Scores, labels: Labels, threshold: float) -> tuple[int, int, int, int]:
    """(true positives, false negatives, false positives, true negatives) with ``score > threshold`` = generated."""
    return Ranked(scores, labels).counts(threshold)


def curve(scores: Scores, labels: Labels) -> tuple[Scores, Labels, Labels]:
    """Every distinct score, descending, with the generated and real images at or above it.

    Returns:
        (thresholds [T], true positives [T], false positives [T]) for the rule ``score >= threshold``.
    """
    return Ranked(scores, labels).curve


@register("auroc", "AUROC")
def auroc(images: Ranked, threshold: float) -> float:  # noqa: ARG001
    """Area under the ROC curve: P(generated image's score > real one's) + P(equal) / 2 (Mann-Whitney U)."""
    _, tp, fp = images.curve
    tp, fp = np.append(0, tp), np.append(0, fp)
    return float((np.diff(fp) * (tp[1:] + tp[:-1])).sum() / (2.0 * tp[-1] * fp[-1]))


@register("average_precision", "AP")
def average_precision(images: Ranked, threshold: float) -> float:  # noqa: ARG001
    """Σ (R_k − R_{k−1}) P_k over the distinct scores, without interpolation."""
    _, tp, fp = images.curve
    return float((np.diff(np.append(0, tp)) * (tp / (tp + fp))).sum() / tp[-1])


@register("accuracy", "Acc", thresholded=True, needs=())
def accuracy(images: Ranked, threshold: float) -> float:
    """Share of images called correctly."""
    tp, _, _, tn = images.counts(threshold)
    return (tp + tn) / images.labels.size


@register("balanced_accuracy", "Bal. acc", thresholded=True)
def balanced_accuracy(images: Ranked, threshold: float) -> float:
    """Mean of recall and specificity."""
    tp, fn, fp, tn = images.counts(threshold)
    return (tp / (tp + fn) + tn / (tn + fp)) / 2


@register("precision", "Precision", thresholded=True, needs=(1,))
def precision(images: Ranked, threshold: float) -> float:
    """Share of generated images among those called generated."""
    tp, _, fp, _ = images.counts(threshold)
    if tp + fp == 0:
        raise UndefinedMetricError("no image was called generated")
    return tp / (tp + fp)


@register("recall", "Recall", thresholded=True, needs=(1,))
def recall(images: Ranked, threshold: float) -> float:
    """Share of generated images called generated (true positive rate)."""
    tp, fn, _, _ = images.counts(threshold)
    return tp / (tp + fn)


@register("specificity", "Specificity", thresholded=True, needs=(0,))
def specificity(images: Ranked, threshold: float) -> float:
    """Share of real images called real (1 − false positive rate)."""
    _, _, fp, tn = images.counts(threshold)
    return tn / (tn + fp)


@register("f1", "F1", thresholded=True, needs=(1,))
def f1(images: Ranked, threshold: float) -> float:
    """Harmonic mean of precision and recall, 2 TP / (2 TP + FP + FN)."""
    tp, fn, fp, _ = images.counts(threshold)
    return 2 * tp / (2 * tp + fp + fn)


@register("tpr_at_fpr_1", "TPR@1%FPR")
def tpr_at_fpr_1(images: Ranked, threshold: float) -> float:  # noqa: ARG001
    """Largest true positive rate of any threshold that calls at most 1 % of the real images generated."""
    return _tpr_at_fpr(images, 0.01)


@register("tpr_at_fpr_5", "TPR@5%FPR")
def tpr_at_fpr_5(images: Ranked, threshold: float) -> float:  # noqa: ARG001
    """Largest true positive rate of any threshold that calls at most 5 % of the real images generated."""
    return _tpr_at_fpr(images, 0.05)


def _tpr_at_fpr(images: Ranked, limit: float) -> float:
    """Largest true positive rate where the false positive rate is at most ``limit``; no interpolation."""
    _, tp, fp = images.curve
    allowed = int(np.searchsorted(fp, limit * fp[-1] * (1 + 1e-12), "right"))  # both counts never fall
    return float(tp[allowed - 1] / tp[-1]) if allowed else 0.0


@register("ece", "ECE", needs=())
def ece(images: Ranked, threshold: float) -> float:  # noqa: ARG001
    """Expected calibration error of P(generated) over 15 bins of equal mass (Nixon et al. 2019, ACE for one class)."""
    size, confidence, frequency = _reliability(images, 15)
    return float((size * np.abs(confidence - frequency)).sum() / images.labels.size)


@register("brier", "Brier", needs=())
def brier(images: Ranked, threshold: float) -> float:  # noqa: ARG001
    """Mean squared difference of score and label."""
    return float(np.square(images.scores - images.labels).mean())


@register("aurc", "AURC", thresholded=True, needs=())
def aurc(images: Ranked, threshold: float) -> float:
    """Area under the risk-coverage curve: the mean over all coverages of the share of wrong calls (`risk_coverage`).

    0 is perfect; a value equal to the error rate means that confidence does not predict errors (Geifman, Uziel &
    El-Yaniv 2019).
    """
    return float(_risk_coverage(images, threshold).mean())


def risk_coverage(scores: Scores, labels: Labels, threshold: float) -> Scores:
    """[N] share of wrong calls among the k most confident images, k from 1 to N.

    Confidence is the distance of logits of score and threshold. Images of equal confidence count as in random order:
    each has the share of errors among all of them.
    """
    return _risk_coverage(Ranked(scores, labels), threshold)


def _risk_coverage(images: Ranked, threshold: float) -> Scores:
    errors, first = images.errors(threshold)
    if first.size < errors.size:
        size = np.diff(first, append=errors.size)
        tied = np.flatnonzero(size > 1)
        begin, size = first[tied], size[tied]
        group = np.cumsum(size) - size  # where each tie starts among the tied images
        members = np.repeat(begin - group, size) + np.arange(size.sum())
        errors = errors.copy()
        errors[members] = np.repeat(np.add.reduceat(errors[members], group) / size, size)
    risk = np.cumsum(errors)
    risk /= np.arange(1, errors.size + 1)
    return risk


def confident_first(scores: Scores, labels: Labels, threshold: float) -> tuple[Labels, Scores, Labels]:
    """[N] images by falling confidence, [N] whether each of these is called wrongly, and the first of each tie."""
    return Ranked(scores, labels).confident_first(threshold)


def reliability(scores: Scores, labels: Labels, bins: int = 15) -> tuple[Scores, Scores, Scores]:
    """The non-empty bins of equal mass (`reliability_bins`).

    Returns:
        (images in the bin, mean score, share of generated images), [B] each with B <= bins.
    """
    return _reliability(Ranked(scores, labels), bins)


def _reliability(images: Ranked, bins: int) -> tuple[Scores, Scores, Scores]:
    if (ends := images.bin_ends(bins)) is not None:  # the same sums, in the same order, without a bin for each image
        runs = [slice(a, b) for a, b in pairwise([0, *ends.tolist()]) if b > a][::-1]
        held = np.array([run.stop - run.start for run in runs], np.float64)
        scores = np.array([np.cumsum(images.scores[run])[-1] for run in runs])
        return held, scores / held, np.array([np.count_nonzero(images.labels[run]) for run in runs]) / held
    place = images.bins(bins)
    mass = np.bincount(place, minlength=bins)
    used = mass > 0
    confidence = np.bincount(place, images.scores, bins)[used] / mass[used]
    frequency = np.bincount(place, images.labels, bins)[used] / mass[used]
    return mass[used].astype(np.float64), confidence, frequency


def reliability_bins(scores: Scores, bins: int) -> Labels:
    """[N] bin of each score; equal scores always share a bin, so the order of images does not matter."""
    return Ranked(scores, np.zeros(scores.size, np.int64)).bins(bins)
