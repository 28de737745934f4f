"""Metrics of scores: exact, in float64 on float32 scores, once, on all images together.

A metric is a plain function ``(scores [N] float64, labels [N] 0/1, threshold) -> float``; strictly above the threshold
means "generated". One of your own is such a function and one YAML line, e.g.
``metrics: {youden: {_target_: detectors.mine.youden, _partial_: true}}``; it raises `UndefinedMetricError` with the
reason where it has no value.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from contracts.errors import ConfigError, nearest

Scores = NDArray[np.float64]
Labels = NDArray[np.int64]
Metric = Callable[[Scores, Labels, float], float]
AnyMetric = TypeVar("AnyMetric", bound=Metric)


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

    def __call__(self, scores: Scores, labels: Labels, threshold: float) -> float:
        """The value on these images.

        Raises:
            UndefinedMetricError: a class it needs is absent, or it has no value for another reason.
        """
        for kind in self.needs:
            if not (labels == kind).any():
                raise UndefinedMetricError(f"no {('real', 'generated')[kind]} images")
        if not labels.size:
            raise UndefinedMetricError("no images")
        return float(self.function(scores, labels, threshold))


METRICS: dict[str, Spec] = {}


def register(
    name: str, title: str, *, thresholded: bool = False, needs: tuple[int, ...] = (0, 1)
) -> Callable[[AnyMetric], AnyMetric]:
    """Decorator that makes a function a metric of every table, under ``name``.

    Raises:
        ConfigError: the name is taken.
    """

    def enter(function: AnyMetric) -> AnyMetric:
        if name in METRICS:
            raise ConfigError(f"A metric named {name!r} exists already", "Choose another name.")
        METRICS[name] = Spec(name, title, function, thresholded, needs)
        return function

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
    """A metric of a user's own; a function counts as thresholded, an object may say otherwise."""
    thresholded, resampled = (getattr(function, key, True) for key in ("thresholded", "resampled"))
    return Spec(name, name, function, thresholded, (), resampled)


def counts(scores: Scores, labels: Labels, threshold: float) -> tuple[int, int, int, int]:
    """(true positives, false negatives, false positives, true negatives) with ``score > threshold`` = generated."""
    called = scores > threshold
    fake = labels == 1
    tp, fp = int((called & fake).sum()), int((called & ~fake).sum())
    return tp, int(fake.sum()) - tp, fp, int((~fake).sum()) - fp


def curve(scores: Scores, labels: Labels) -> tuple[Scores, Labels, Labels]:
    """Every distinct score, descending, with the generated and real images at or above it.

    Returns:
        (thresholds [T], true positives [T], false positives [T]) for the rule ``score >= threshold``.
    """
    order = np.argsort(-scores, kind="stable")
    sorted_scores, fake = scores[order], labels[order] == 1
    last = np.flatnonzero(np.append(np.diff(sorted_scores) != 0, True))
    tp = np.cumsum(fake)[last]
    return sorted_scores[last], tp, last + 1 - tp


@register("auroc", "AUROC")
def auroc(scores: Scores, labels: Labels, threshold: float = 0.5) -> float:  # noqa: ARG001
    """Area under the ROC: P(score of a generated image > of a real one) + half of P(equal) (Mann-Whitney U)."""
    _, tp, fp = curve(scores, labels)
    tp, fp = np.append(0, tp), np.append(0, fp)
    return float((np.diff(fp) * (tp[1:] + tp[:-1])).sum() / (2.0 * tp[-1] * fp[-1]))


@register("average_precision", "AP")
def average_precision(scores: Scores, labels: Labels, threshold: float = 0.5) -> float:  # noqa: ARG001
    """Σ (R_k − R_{k−1}) P_k over the distinct scores, without interpolation."""
    _, tp, fp = curve(scores, labels)
    return float((np.diff(np.append(0, tp)) * (tp / (tp + fp))).sum() / tp[-1])


@register("accuracy", "Acc", thresholded=True, needs=())
def accuracy(scores: Scores, labels: Labels, threshold: float = 0.5) -> float:
    """Share of images called correctly."""
    tp, _, _, tn = counts(scores, labels, threshold)
    return (tp + tn) / labels.size


@register("balanced_accuracy", "Bal. acc", thresholded=True)
def balanced_accuracy(scores: Scores, labels: Labels, threshold: float = 0.5) -> float:
    """Mean of recall and specificity."""
    tp, fn, fp, tn = counts(scores, labels, threshold)
    return (tp / (tp + fn) + tn / (tn + fp)) / 2


@register("precision", "Precision", thresholded=True, needs=(1,))
def precision(scores: Scores, labels: Labels, threshold: float = 0.5) -> float:
    """Share of generated images among those called generated."""
    tp, _, fp, _ = counts(scores, labels, threshold)
    if tp + fp == 0:
        raise UndefinedMetricError("no image was called generated")
    return tp / (tp + fp)


@register("recall", "Recall", thresholded=True, needs=(1,))
def recall(scores: Scores, labels: Labels, threshold: float = 0.5) -> float:
    """Share of generated images called generated (true positive rate)."""
    tp, fn, _, _ = counts(scores, labels, threshold)
    return tp / (tp + fn)


@register("specificity", "Specificity", thresholded=True, needs=(0,))
def specificity(scores: Scores, labels: Labels, threshold: float = 0.5) -> float:
    """Share of real images called real (1 − false positive rate)."""
    _, _, fp, tn = counts(scores, labels, threshold)
    return tn / (tn + fp)


@register("f1", "F1", thresholded=True, needs=(1,))
def f1(scores: Scores, labels: Labels, threshold: float = 0.5) -> float:
    """Harmonic mean of precision and recall, 2 TP / (2 TP + FP + FN)."""
    tp, fn, fp, _ = counts(scores, labels, threshold)
    return 2 * tp / (2 * tp + fp + fn)


@register("tpr_at_fpr_1", "TPR@1%FPR")
def tpr_at_fpr_1(scores: Scores, labels: Labels, threshold: float = 0.5) -> float:  # noqa: ARG001
    """Largest true positive rate of any threshold that calls at most 1 % of the real images generated."""
    return tpr_at_fpr(scores, labels, 0.01)


@register("tpr_at_fpr_5", "TPR@5%FPR")
def tpr_at_fpr_5(scores: Scores, labels: Labels, threshold: float = 0.5) -> float:  # noqa: ARG001
    """Largest true positive rate of any threshold that calls at most 5 % of the real images generated."""
    return tpr_at_fpr(scores, labels, 0.05)


def tpr_at_fpr(scores: Scores, labels: Labels, limit: float) -> float:
    """Largest true positive rate where the false positive rate is at most ``limit``; no interpolation."""
    _, tp, fp = curve(scores, labels)
    allowed = fp <= limit * fp[-1] * (1 + 1e-12)
    return float(tp[allowed].max(initial=0) / tp[-1])


@register("ece", "ECE", needs=())
def ece(scores: Scores, labels: Labels, threshold: float = 0.5) -> float:  # noqa: ARG001
    """Expected calibration error of P(generated) over 15 bins of equal mass (Nixon et al. 2019, ACE for one class)."""
    size, confidence, frequency = reliability(scores, labels)
    return float((size * np.abs(confidence - frequency)).sum() / labels.size)


@register("brier", "Brier", needs=())
def brier(scores: Scores, labels: Labels, threshold: float = 0.5) -> float:  # noqa: ARG001
    """Mean squared difference of score and label."""
    return float(np.square(scores - labels).mean())


@register("aurc", "AURC", thresholded=True, needs=())
def aurc(scores: Scores, labels: Labels, threshold: float = 0.5) -> float:
    """Area under the risk-coverage curve: the mean over all coverages of the share of wrong calls (`risk_coverage`).

    0 is perfect; the error rate itself means that confidence says nothing of errors (Geifman, Uziel & El-Yaniv 2019).
    """
    return float(risk_coverage(scores, labels, threshold).mean())


def risk_coverage(scores: Scores, labels: Labels, threshold: float) -> Scores:
    """[N] share of wrong calls among the k most confident images, k from 1 to N.

    Confidence is the distance of logits of score and threshold. Images of equal confidence count as in random order:
    each has the share of errors among all of them.
    """
    order, wrong, first = confident_first(scores, labels, threshold)
    size = np.diff(np.append(first, order.size))
    errors = np.repeat(np.add.reduceat(wrong, first) / size, size)
    return np.asarray(np.cumsum(errors) / np.arange(1, order.size + 1))


def confident_first(scores: Scores, labels: Labels, threshold: float) -> tuple[Labels, Scores, Labels]:
    """[N] images by falling confidence, [N] whether each of these is called wrongly, and the first of each tie."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logits = np.log(scores) - np.log1p(-scores)
        away = np.nan_to_num(
            np.abs(logits - (np.log(threshold) - np.log1p(-np.float64(threshold)))), nan=np.inf, posinf=np.inf
        )
    order = np.argsort(-away, kind="stable")
    wrong = ((scores > threshold) != (labels == 1)).astype(np.float64)[order]
    first = np.flatnonzero(np.append(True, away[order][1:] != away[order][:-1]))
    return order, wrong, first


def reliability(scores: Scores, labels: Labels, bins: int = 15) -> tuple[Scores, Scores, Scores]:
    """The non-empty bins of equal mass (`reliability_bins`).

    Returns:
        (images in the bin, mean score, share of generated images), [B] each with B <= bins.
    """
    place = reliability_bins(scores, bins)
    mass = np.bincount(place, minlength=bins)
    used = mass > 0
    confidence = np.bincount(place, scores, bins)[used] / mass[used]
    frequency = np.bincount(place, labels, bins)[used] / mass[used]
    return mass[used].astype(np.float64), confidence, frequency


def reliability_bins(scores: Scores, bins: int) -> Labels:
    """[N] bin of each score; equal scores always share a bin, so the order of images does not matter."""
    order = np.argsort(-scores, kind="stable")
    first = np.flatnonzero(np.append(True, scores[order][1:] != scores[order][:-1]))
    size = np.diff(np.append(first, scores.size))
    middle = scores.size - np.cumsum(size) + size / 2
    place = np.empty(scores.size, np.int64)
    place[order] = np.repeat(np.minimum((middle * bins / scores.size).astype(np.int64), bins - 1), size)
    return place
