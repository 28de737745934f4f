"""From the dumps of all deliveries to figures with intervals, curves and the area under each."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from math import nan

import numpy as np
from numpy.typing import NDArray

from benchmarks.attribution.measures import Attribution, attribution
from benchmarks.evaluation import Result, evaluate
from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.intervals.ends import interval_of
from benchmarks.predictions import Predictions
from datamodules.deliveries.deliveries import delivery_family

MEASURED = ("auroc", "tpr_at_fpr_1", "tpr_at_fpr_5", "balanced_accuracy", "specificity", "ece")
CLEAN = "clean"
Draws = NDArray[np.float64]


@dataclass(frozen=True)
class Point:
    """One delivery."""

    name: str  # name of the delivery, `CLEAN` for none
    family: str  # kind of its only step, "" if it has several
    strength: float  # strength of that step, or NaN
    results: tuple[Result, ...]
    """Results of all images and of each generator, with intervals; the false-positive rate is one of them."""

    def pooled(self, metric: str, at: str = "") -> Result | None:
        """A figure of all images."""
        return next((r for r in self.results if (r.kind, r.metric, r.at) == ("pooled", metric, at)), None)


@dataclass(frozen=True)
class Robustness:
    """Every delivery's figures."""

    points: tuple[Point, ...]  # undelivered images first
    areas: tuple[Result, ...]  # for each family with two strengths or more, the mean AUROC over its range (trapezoids)
    at: str  # name of the threshold: "validation" if the checkpoint has one, else "0.5"
    missing: Mapping[str, str] = field(default_factory=dict)
    """Deliveries after which no image could be scored, with the reason."""

    def worst(self, metric: str, at: str = "") -> tuple[str, float]:
        """The delivery with the lowest value; ("", NaN) if there is none."""
        found = [(r.value, p.name) for p in self.points[1:] if (r := p.pooled(metric, at)) and r.value == r.value]
        return min(found)[::-1] if found else ("", nan)


def measured(dumps: Mapping[str, Predictions], bootstrap: Bootstrap | None = None) -> Robustness:
    """The figures of every dump, by name of its delivery, the undelivered images' first.

    All deliveries share the resamples of photographs, so an area has an interval wherever no image is missing.
    """
    bootstrap = bootstrap or Bootstrap()
    points, draws = [], {}
    for name, predictions in dumps.items():
        results = [r for r in evaluate(predictions, metrics=MEASURED) if r.kind in ("pooled", "generator", "macro")]
        drawn = bootstrap.draw(predictions, results, MEASURED)
        results = bootstrap.bounded(predictions, results, drawn)
        false_alarms = [_false_positive_rate(r) for r in results if r.metric == "specificity"]
        points.append(Point(name, *delivery_family(name), (*results, *false_alarms, *_attributed(predictions))))
        draws[name] = drawn.get(("pooled", "", "auroc", ""), np.zeros(0))
    complete = {tuple(predictions.fused_ids.tolist()) for predictions in dumps.values()}
    ordered = sorted((p for p in points if p.family), key=lambda p: (p.family, p.strength))
    areas = [
        _area(family, list(members), draws if len(complete) == 1 else None, bootstrap.level)
        for family, members in groupby(ordered, key=lambda p: p.family)
    ]
    at = "validation" if next(iter(dumps.values())).about.get("threshold") is not None else "0.5"
    return Robustness(tuple(points), tuple(area for area in areas if area is not None), at)


def _false_positive_rate(r: Result) -> Result:
    """One minus the specificity."""
    return replace(r, metric="false_positive_rate", value=1 - r.value, low=1 - r.high, high=1 - r.low)


def _attributed(predictions: Predictions) -> list[Result]:
    """A tracer's accuracy among its classes."""
    if predictions.class_names is None:
        return []
    answers = Attribution.of(predictions)
    figure = next(f for f in attribution(answers) if f.metric == "accuracy" and not f.of)
    known = int((predictions.fused_labels == 1).sum())
    counts = (len(answers) - known, known)
    return [Result("pooled", "", "attribution", "", nan, figure.value, "", *counts, figure.low, figure.high)]


def _area(family: str, points: list[Point], draws: Mapping[str, Draws] | None, level: float) -> Result | None:
    """Mean AUROC over a family's range of strengths."""
    found = [(p, r) for p in points if (r := p.pooled("auroc")) is not None]
    if len(found) < 2:
        return None
    x = np.array([p.strength for p, _ in found])
    width = x[-1] - x[0]
    value = float(np.trapezoid([r.value for _, r in found], x) / width)
    low = high = nan
    if draws is not None:
        low, high = interval_of(np.trapezoid(np.stack([draws[p.name] for p, _ in found]), x, axis=0) / width, level)
    first = found[0][1]
    return replace(first, kind="area", generator=family, value=value, low=low, high=high)
