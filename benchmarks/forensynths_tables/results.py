"""Metrics of every set of a table, and their mean."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isnan, nan

import numpy as np
from numpy.typing import NDArray

from benchmarks.evaluation import Result, Subset, thresholds_of
from benchmarks.evaluation import measured as subset_results
from benchmarks.forensynths_tables.assign import Assigned
from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.intervals.clusters import clusters
from benchmarks.intervals.ends import bounded, widened
from benchmarks.metrics import choose
from benchmarks.predictions import Predictions

SPECS = {
    name: replace(spec, needs=(0, 1)) if name == "accuracy" else spec
    for name, spec in choose(("accuracy", "average_precision", "auroc", "specificity", "recall")).items()
}
"""ACC, AP, AUROC, real-ACC, fake-ACC. Published ACC is of both classes; that of one class is not comparable."""
POOLED = "all images"  # Name of all images together, among sets

Draws = dict[tuple[str, str, str], NDArray[np.float64]]  # (set, metric, threshold name) to [resamples] values


@dataclass(frozen=True)
class SetResults:
    """A table's sets measured."""

    assigned: Assigned  # the table and its images
    results: Sequence[Result]
    """Of every set (kind "set", the set as generator) and their mean (kind "mean", "" as generator)."""

    def of(self, name: str, metric: str, at: str = "") -> Result | None:
        """One of them; "" names the mean."""
        wanted = ("mean" if not name else "set", name, metric, at)
        return next((result for result in self.results if result.key == wanted), None)


def measured(predictions: Predictions, assigned: Assigned, bootstrap: Bootstrap) -> SetResults:
    """Measures every set and the mean over the sets that have the metric, with intervals.

    All sets see the same draws of photographs, so the mean's interval takes shared real images into account.
    """
    results, draws, sparse = set_results(predictions, assigned.sets, bootstrap)
    found = [bounded(r, draws.get((r.generator, r.metric, r.at)), bootstrap.level) for r in results]
    photographs, labels = clusters(predictions), predictions.fused_labels
    found = widened(found, _subsets(assigned.sets), photographs, labels, bootstrap.level)
    for metric, at in dict.fromkeys((r.metric, r.at) for r in results):
        members = [r for r in results if (r.metric, r.at) == (metric, at) and not isnan(r.value)]
        absent = [r.generator for r in results if (r.metric, r.at) == (metric, at) and isnan(r.value)]
        value = float(np.mean([r.value for r in members])) if members else nan
        reason = f"without {', '.join(absent)}" if absent else ""
        counts = sum(r.real for r in members), sum(r.generated for r in members)
        mean = Result("mean", "", metric, at, results[0].threshold, value, reason, *counts)
        parts = [sparse[r.generator, metric, at] for r in members] if bootstrap.enough(predictions) else []
        found.append(bounded(mean, np.mean(parts, axis=0) if parts else None, bootstrap.level))
    return SetResults(assigned, found)


def set_results(
    predictions: Predictions, sets: Mapping[str, NDArray[np.int64]], bootstrap: Bootstrap
) -> tuple[list[Result], Draws, Draws]:
    """Every metric of every set, and its value in each draw; draws are the same for two dumps of the same images.

    The draws come without those of sets that have too few photographs for an interval, and with them, for means.
    """
    found = _subsets(sets)
    results = subset_results(predictions, found, thresholds_of(predictions), SPECS)
    sparse = bootstrap.draw(predictions, results, sets=found, specs=SPECS, sparse=True)
    draws = bootstrap.masked(sparse, predictions, found, SPECS)
    return results, {key[1:]: draws[key] for key in draws}, {key[1:]: sparse[key] for key in sparse}


def _subsets(sets: Mapping[str, NDArray[np.int64]]) -> list[Subset]:
    return [Subset("pooled" if name == POOLED else "set", name, images) for name, images in sets.items()]
