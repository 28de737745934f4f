"""Metrics of predictions: pooled, for each generator, and averaged over generators."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isnan, nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.metrics import Metric, Spec, UndefinedMetricError, choose
from benchmarks.predictions import Predictions
from benchmarks.ranked import Ranked
from benchmarks.views import Part, by_view


@dataclass(frozen=True)
class Subset:
    """Images measured together."""

    kind: str
    """"pooled" (all labelled images), "seen" and "unseen" (the generators present in, or absent from, training against
    all real images), "generator" (one generator against all real images), "paired" (against the real images paired with
    it), or "macro" (mean over generators; no images of its own)."""
    name: str  # the generator, or "" for several
    images: NDArray[np.int64]  # positions in the predictions


@dataclass(frozen=True)
class Result:
    """One number: a metric on a subset of the images."""

    kind: str  # see `Subset`
    generator: str  # "" for several
    metric: str  # name in `benchmarks.metrics.METRICS`
    at: str  # name of the threshold ("0.5", "validation"), "" where the metric needs none
    threshold: float  # its value, or NaN
    value: float  # NaN where undefined
    reason: str  # why it is undefined, else ""
    real: int  # real images in the subset
    generated: int  # generated images in it (for macro: generators averaged)
    low: float = nan  # lower end of the confidence interval, or NaN
    high: float = nan  # upper end

    @property
    def key(self) -> tuple[str, str, str, str]:
        """The key of the number: (kind, generator, metric, at)."""
        return self.kind, self.generator, self.metric, self.at

    def as_json(self) -> dict[str, Any]:
        """Plain values; undefined numbers are null."""
        return {name: None if isinstance(v, float) and isnan(v) else v for name, v in vars(self).items()}


def subsets(predictions: Predictions) -> list[Subset]:
    """Pooled; seen and unseen generators; every generator; and against its paired real images where there are such.

    Which generators were seen comes from the provenance's ``seen_generators``; without it there is no
    such subset.
    """
    labels, generators = predictions.fused_labels, predictions.fused_generator_ids
    real = labels == 0
    found = [Subset("pooled", "", np.flatnonzero(labels >= 0))]
    seen = predictions.about.get("seen_generators")
    if seen is not None:
        known = np.isin(predictions.generator_id_to_name, np.asarray(list(seen), dtype=np.str_))[generators]
        for kind, chosen in (("seen", known), ("unseen", ~known)):
            if ((labels == 1) & ~known).any() and ((labels == 1) & chosen).any():
                found.append(Subset(kind, "", np.flatnonzero(real | ((labels == 1) & chosen))))
    paired = bool((predictions.pairing >= 0).any())
    for index in np.unique(generators[labels == 1]).tolist():
        name = str(predictions.generator_id_to_name[index]) or "(unnamed)"
        fakes = (labels == 1) & (generators == index)
        found.append(Subset("generator", name, np.flatnonzero(real | fakes)))
        if paired:
            found.append(Subset("paired", name, np.flatnonzero((real & (predictions.pairing == index)) | fakes)))
    return found


def evaluate(
    predictions: Predictions,
    threshold: float | None = None,
    metrics: Mapping[str, Metric] | Sequence[str] | None = None,
) -> list[Result]:
    """Every metric on every subset, at 0.5 and at the threshold chosen on validation.

    Args:
        predictions: images with unknown labels are left out.
        threshold: the one chosen on validation; the provenance's ``threshold`` if not given, none if that is absent.
        metrics: see `benchmarks.metrics.choose`.
    """
    specs = choose(metrics)
    results = measured(predictions, subsets(predictions), thresholds_of(predictions, threshold), specs)
    return results + _macro(results, int((predictions.fused_labels == 0).sum()))


def thresholds_of(predictions: Predictions, chosen: float | None = None) -> dict[str, float]:
    """0.5, and the threshold chosen on validation: the one given, else the provenance's, if it has one."""
    given = predictions.about.get("threshold") if chosen is None else chosen
    return {"0.5": 0.5} | ({} if given is None else {"validation": float(given)})


def measured(
    predictions: Predictions, found: Sequence[Subset], thresholds: Mapping[str, float], specs: Mapping[str, Spec]
) -> list[Result]:
    """The metrics of subsets of a dump; generated images are compared with real ones seen through the same view."""
    parts = by_view(predictions)
    whole = {p.view: Ranked(p.predictions.fused_scores.astype(np.float64), p.predictions.fused_labels) for p in parts}
    results = []
    for subset in found:
        seen = seen_alike(parts, subset)
        measures = [
            measure(local, whole[part.view].scores, whole[part.view].labels, thresholds, specs, whole[part.view])
            for part, local in seen
        ]
        if len(seen) == 1:
            results += measures[0]
            continue
        kept = np.unique(np.concatenate([part.images[local.images] for part, local in seen]))
        fakes = int((predictions.fused_labels[kept] == 1).sum())
        for same in zip(*measures, strict=True):
            views = [(part.view, result) for (part, _), result in zip(seen, same, strict=True)]
            results.append(_mean_over_views(views, specs[same[0].metric], kept.size - fakes, fakes))
    return results


def seen_alike(parts: Sequence[Part], subset: Subset) -> list[tuple[Part, Subset]]:
    """A subset of the whole dump by view, as positions in each part that holds anything of it.

    A set or generator with generated images has nothing in a part without them: real images seen through another view
    are not comparable with them.
    """
    if len(parts) == 1:
        return [(parts[0], subset)]
    found = []
    for part in parts:
        local = np.flatnonzero(np.isin(part.images, subset.images, assume_unique=True))
        if local.size:
            found.append((part, replace(subset, images=local)))
    made = [(part, s) for part, s in found if (part.predictions.fused_labels[s.images] == 1).any()]
    if made and subset.kind != "pooled":
        return made
    return found or [(parts[0], replace(subset, images=subset.images[:0]))]


def share(spec: Spec, real: int, generated: int) -> float:
    """The weight of a view in a mean over views: a metric is a mean over the images that it needs.

    So recall is that of all generated images, specificity that of all real ones, accuracy that of all; an AUROC is the
    mean over generated images of the share of real ones, seen through the same view, that each outranks.
    """
    return float(generated if 1 in spec.needs else real if spec.needs else real + generated)


def _mean_over_views(parts: Sequence[tuple[str, Result]], spec: Spec, real: int, generated: int) -> Result:
    """One metric of one subset, from its results through each view.

    Args:
        parts: name of the view, and the result.
        spec: the metric.
        real: real images in the subset, each once.
        generated: generated images in it.
    """
    counted = [(name, r, share(spec, r.real, r.generated)) for name, r in parts]
    counted = [one for one in counted if one[2] > 0] or [(*parts[0], 1.0)]
    value = sum(r.value * weight for _, r, weight in counted) / sum(weight for _, _, weight in counted)
    reason = "; ".join(f"{r.reason} seen through {name}" for name, r, _ in counted if r.reason)
    return replace(parts[0][1], value=value, reason=reason, real=real, generated=generated)


def measure(
    subset: Subset,
    scores: NDArray[np.float64],
    labels: NDArray[np.int64],
    thresholds: Mapping[str, float],
    specs: Mapping[str, Spec],
    whole: Ranked | None = None,
) -> list[Result]:
    """The metrics of one subset of scores [N] and labels [N].

    Our own metrics share the order of its images by falling score.

    Args:
        subset: the images; one that is listed twice counts twice.
        scores: scores of all images.
        labels: labels of all images.
        thresholds: name to value.
        specs: the metrics.
        whole: all images, to sort them once for many subsets.
    """
    given = Ranked(scores[subset.images], labels[subset.images])
    held = np.zeros(scores.size, np.bool_)
    held[subset.images] = True
    if whole is None or np.count_nonzero(held) < subset.images.size:
        falling = subset.images[np.argsort(-given.scores, kind="stable")]
        ordered = Ranked(scores[falling], labels[falling], sort=False)
    else:
        ordered = whole.select(held[whole.order])
    fakes = int((given.labels == 1).sum())
    count = subset.images.size
    results = []
    for spec in specs.values():
        chosen = given if spec.ranked is None else ordered
        for at, threshold in thresholds.items() if spec.thresholded else (("", nan),):
            reason = ""
            try:
                value = spec.of(chosen, threshold)
            except UndefinedMetricError as error:
                value, reason = nan, str(error)
            results.append(
                Result(subset.kind, subset.name, spec.name, at, threshold, value, reason, count - fakes, fakes)
            )
    return results


def _macro(results: Sequence[Result], real: int) -> list[Result]:
    """Mean over generators (against all real images) of every metric; undefined if one of them is undefined."""
    groups: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        if result.kind == "generator":
            groups.setdefault((result.metric, result.at), []).append(result)
    macro = []
    for (metric, at), members in groups.items():
        undefined = next((f"{m.generator}: {m.reason}" for m in members if m.reason), "")
        value = float(np.mean([m.value for m in members]))
        macro.append(Result("macro", "", metric, at, members[0].threshold, value, undefined, real, len(members)))
    return macro
