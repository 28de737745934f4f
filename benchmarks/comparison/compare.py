"""Several runs compared with the first, set by set, on the images that all of them scored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isnan, nan

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr

from benchmarks.evaluation import subsets
from benchmarks.forensynths_tables.assign import assign
from benchmarks.forensynths_tables.published import load, names
from benchmarks.forensynths_tables.results import POOLED, set_results
from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.intervals.ends import interval_of
from benchmarks.predictions import Predictions
from contracts.errors import ConfigError, DataError
from contracts.words import counted

METRICS = (("accuracy", "0.5"), ("accuracy", "validation"), ("average_precision", ""), ("auroc", ""))

Sets = Mapping[str, NDArray[np.int64]]


@dataclass(frozen=True)
class Change:
    """A metric of one run minus that of the first, on one set ("" for the mean over sets)."""

    name: str  # the set
    metric: str  # its name
    at: str  # its threshold's name
    first: float  # value of the first run
    other: float  # of the other
    low: float  # lower end of the interval of the difference, NaN where there is none
    high: float  # upper end

    @property
    def value(self) -> float:
        """Other minus first."""
        return self.other - self.first


@dataclass(frozen=True)
class McNemar:
    """Whether two runs make mistakes on different images: exact test of equal error (McNemar 1947), threshold 0.5."""

    gained: int  # images that only the other run classifies correctly
    lost: int  # images that only the first run classifies correctly
    p: float  # two-sided, exact binomial, which treats images as independent


@dataclass(frozen=True)
class Comparison:
    """The result of `compare`."""

    names: tuple[str, ...]  # of the runs
    images: int  # how many all runs scored
    sets: tuple[str, ...]  # the sets, by name
    values: tuple[Mapping[tuple[str, str, str], float], ...]
    """For each run, the value of each (set, metric, threshold); set "" is the mean, `POOLED` all images together."""
    changes: tuple[tuple[Change, ...], ...]  # for each run but the first, its changes
    tests: tuple[McNemar, ...]  # for each run but the first, McNemar's test over all images

    def improved(self, run: int, metric: str, at: str) -> tuple[int, int]:
        """Number of sets on which a run (1, 2, …) is better than the first, and of sets that have the metric."""
        chosen = [
            c
            for c in self.changes[run - 1]
            if (c.metric, c.at) == (metric, at) and c.name in self.sets and not isnan(c.value)
        ]
        return sum(c.value > 0 for c in chosen), len(chosen)


def compare(dumps: Sequence[Predictions], titles: Sequence[str], bootstrap: Bootstrap | None = None) -> Comparison:
    """Compares runs on common images; every draw of the bootstrap is the same for all of them.

    Raises:
        ConfigError: there are fewer than two.
        DataError: they have no labelled image in common, or disagree on labels.
    """
    if len(dumps) < 2:
        raise ConfigError("task=compare has fewer than two runs", "Give compare.inputs=[EXPERIMENT,EXPERIMENT].")
    bootstrap = bootstrap or Bootstrap()
    runs = common(dumps, titles)
    sets = sets_of(runs[0])
    found = [_values(run, sets, bootstrap) for run in runs]
    return Comparison(
        names=tuple(titles),
        images=len(runs[0]),
        sets=tuple(sets),
        values=tuple(values for values, _ in found),
        changes=tuple(tuple(_changes(found[0], other, bootstrap.level)) for other in found[1:]),
        tests=tuple(mcnemar(runs[0], run) for run in runs[1:]),
    )


def common(dumps: Sequence[Predictions], titles: Sequence[str]) -> list[Predictions]:
    """The labelled images all dumps hold, in one order, with the first dump's photographs and sets.

    Raises:
        DataError: there are none, or labels differ.
    """
    ids = dumps[0].fused_ids[dumps[0].fused_labels >= 0]
    for dump in dumps[1:]:
        ids = np.intersect1d(ids, dump.fused_ids)
    if not ids.size:
        raise DataError(f"{', '.join(titles)} have no labelled image in common", "Compare dumps of one data set.")
    runs = []
    for dump in dumps:
        order = np.argsort(dump.fused_ids)
        runs.append(dump.select(order[np.searchsorted(dump.fused_ids[order], ids)]))
    for run, title in zip(runs[1:], titles[1:], strict=True):
        wrong = np.flatnonzero(run.fused_labels != runs[0].fused_labels)
        if wrong.size:
            raise DataError(
                f"{titles[0]} and {title} disagree on the label of {counted(wrong.size, 'image')}, "
                f"first {str(ids[wrong[0]])!r}",
                "Compare dumps of one data set.",
            )
    return [runs[0], *(replace(run, group=runs[0].group) for run in runs[1:])]


def sets_of(predictions: Predictions) -> dict[str, NDArray[np.int64]]:
    """The sets of the published tables, where images were tested as such; else every generator, against all real ones.

    A dump whose provenance names no benchmark counts as tested by the tables if its folders have the names of their
    sets and every set holds both classes.
    """
    tables = [load(name) for name in names()]
    columns = predictions.source, predictions.generators, predictions.fused_labels
    found = assign(*columns, tables, others=True)
    tested_by = predictions.about.get("benchmark", {}).get("name")
    sets = [(one, name, images) for one in found for name, images in one.sets.items()]
    whole = all(one.named for one in found) and all(
        set(predictions.fused_labels[images].tolist()) == {0, 1} for _, _, images in sets
    )
    if found and (tested_by == "forensynths_tables" or (tested_by is None and whole)):
        several = len(found) > 1
        return {f"{one.table.title} {name}" if several else name: images for one, name, images in sets}
    return {s.name: s.images for s in subsets(predictions) if s.kind == "generator"}


def mcnemar(first: Predictions, other: Predictions) -> McNemar:
    """The exact test on two runs of the same images in the same order."""
    return paired_test(*((run.fused_scores > 0.5) == (run.fused_labels == 1) for run in (first, other)))


def paired_test(first: NDArray[np.bool_], other: NDArray[np.bool_]) -> McNemar:
    """The exact test of two runs, given as [N] whether each classified each of the same images correctly."""
    gained, lost = int((other & ~first).sum()), int((first & ~other).sum())
    p = min(1.0, 2 * float(bdtr(min(gained, lost), gained + lost, 0.5))) if gained + lost else 1.0
    return McNemar(gained, lost, p)


Key = tuple[str, str, str]
Found = tuple[dict[Key, float], dict[Key, NDArray[np.float64]]]


def _values(run: Predictions, sets: Sets, bootstrap: Bootstrap) -> Found:
    """Values and draws by (set, metric, threshold), the mean over sets as set ""."""
    sets = {**sets, POOLED: np.arange(len(run))}
    results, draws, sparse = set_results(run, sets, bootstrap)
    values = {(r.generator, r.metric, r.at): r.value for r in results}
    for metric, at in METRICS:
        there = [s for s in sets if s != POOLED and not isnan(values.get((s, metric, at), nan))]
        if there:
            values["", metric, at] = float(np.mean([values[s, metric, at] for s in there]))
            if bootstrap.enough(run):
                draws["", metric, at] = np.asarray(np.mean([sparse[s, metric, at] for s in there], axis=0))
    return values, draws


def _changes(first: Found, other: Found, level: float) -> list[Change]:
    changes = []
    for key in first[0]:
        if key[1:] not in METRICS or key not in other[0]:
            continue
        low = high = nan
        if key in first[1] and key in other[1]:
            low, high = interval_of(other[1][key] - first[1][key], level)
        changes.append(Change(*key, first[0][key], other[0][key], low, high))
    return changes
