"""Metrics of every set of a table, and their mean."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isnan, nan

import numpy as np
from numpy.typing import NDArray

from benchmarks._weighted import Family
from benchmarks.evaluation import Result, Subset, seen_alike, share, thresholds_of
from benchmarks.evaluation import measured as subset_results
from benchmarks.forensynths_tables.assign import Assigned
from benchmarks.intervals import BLOCK, Bootstrap, bounded
from benchmarks.metrics import choose
from benchmarks.predictions import Predictions
from benchmarks.views import Part, by_view

SPECS = {
    name: replace(spec, needs=(0, 1)) if name == "accuracy" else spec
    for name, spec in choose(("accuracy", "average_precision", "auroc", "specificity", "recall")).items()
}
"""ACC, AP, AUROC, real-ACC, fake-ACC. Published ACC is of both classes; that of one class is not comparable."""
POOLED = "all images"
"""Name of all images together, among sets."""
MEASURED = tuple(SPECS)

Draws = dict[tuple[str, str, str], NDArray[np.float64]]
"""(set, metric, threshold name) to [resamples] values."""


@dataclass(frozen=True)
class SetResults:
    """A table's sets measured.

    Attributes:
        assigned: the table and its images.
        results: of every set (kind "set", the set as generator) and their mean (kind "mean", "" as generator).
    """

    assigned: Assigned
    results: Sequence[Result]

    def of(self, name: str, metric: str, at: str = "") -> Result | None:
        """One of them; "" names the mean."""
        wanted = ("mean" if not name else "set", name, metric, at)
        return next((result for result in self.results if result.key == wanted), None)


def measured(predictions: Predictions, assigned: Assigned, bootstrap: Bootstrap) -> SetResults:
    """Measures every set and the mean over the sets that have the metric, with intervals.

    All sets see the same draws of photographs, so the mean's interval takes shared real images into account.
    """
    sets = assigned.sets
    results = point_results(predictions, sets)
    draws = set_draws(predictions, sets, bootstrap)
    found = [bounded(r, draws.get((r.generator, r.metric, r.at)), bootstrap.level) for r in results]
    for metric, at in dict.fromkeys((r.metric, r.at) for r in results):
        members = [r for r in results if (r.metric, r.at) == (metric, at) and not isnan(r.value)]
        absent = [r.generator for r in results if (r.metric, r.at) == (metric, at) and isnan(r.value)]
        mean = Result(
            "mean",
            "",
            metric,
            at,
            results[0].threshold,
            float(np.mean([r.value for r in members])) if members else nan,
            f"without {', '.join(absent)}" if absent else "",
            sum(r.real for r in members),
            sum(r.generated for r in members),
        )
        parts = [draws[r.generator, metric, at] for r in members]
        found.append(bounded(mean, np.mean(parts, axis=0) if parts else None, bootstrap.level))
    return SetResults(assigned, found)


def point_results(predictions: Predictions, sets: Mapping[str, NDArray[np.int64]]) -> list[Result]:
    """Every metric of every set, without intervals."""
    found = [Subset(_kind(name), name, images) for name, images in sets.items()]
    return subset_results(predictions, found, thresholds_of(predictions), SPECS)


def _kind(name: str) -> str:
    return "pooled" if name == POOLED else "set"


def set_draws(predictions: Predictions, sets: Mapping[str, NDArray[np.int64]], bootstrap: Bootstrap) -> Draws:
    """Every metric of every set in each draw; draws are the same for two dumps of the same images."""
    thresholds = thresholds_of(predictions)
    parts = by_view(predictions)
    families: list[tuple[str, Part, Family, list[int]]] = []
    for name, images in sets.items():
        for part, local in seen_alike(parts, Subset(_kind(name), name, images)):
            labels = part.predictions.fused_labels
            if {0, 1} & set(labels[local.images].tolist()):
                family = Family([local], part.predictions.fused_scores.astype(np.float64), labels, thresholds)
                counts = np.bincount(labels[local.images].clip(0), minlength=2).tolist()
                families.append((name, part, family, counts))
    draws: dict[tuple[str, str, str], list[NDArray[np.float64]]] = {}
    for weights in _blocks(bootstrap, predictions):
        block: dict[tuple[str, str, str], list[tuple[float, NDArray[np.float64]]]] = {}
        for name, part, family, counts in families:
            for (metric, at), values in family(weights[:, part.images]).items():
                if metric in MEASURED and (counted := share(SPECS[metric], *counts)) > 0:
                    block.setdefault((name, metric, at), []).append((counted, values[:, 0]))
        for key, members in block.items():
            columns, counted_as = [values for _, values in members], [share_of for share_of, _ in members]
            one = columns[0] if len(columns) == 1 else np.average(columns, axis=0, weights=counted_as)
            draws.setdefault(key, []).append(one)
    return {key: np.concatenate(columns) for key, columns in draws.items()}


def _blocks(bootstrap: Bootstrap, predictions: Predictions) -> Iterator[NDArray[np.float64]]:
    size = max(1, BLOCK // max(1, len(predictions)))
    held: list[NDArray[np.float64]] = []
    for weights in bootstrap.weights(predictions):
        held.append(weights)
        if len(held) == size:
            yield np.stack(held)
            held = []
    if held:
        yield np.stack(held)
