"""The metrics of a page's images by any column of the dumps."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import isnan, nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.evaluation import Result, Subset, measured
from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.intervals.clusters import clusters
from benchmarks.intervals.ends import at_an_end, bounded
from benchmarks.metrics import choose
from benchmarks.review.join import Joined

MOST = 40
"""Largest number of values of a column that is shown as a table."""
FEW = 8
"""Numbers with more distinct values than this are divided at their quartiles."""
SIDES = (128, 256, 512, 1024, 2048, 4096)
METRICS = ("auroc", "accuracy", "specificity")


@dataclass(frozen=True, eq=False)
class Column:
    """A column of the joined images."""

    name: str  # title of the column
    values: list[str]  # texts of its V values
    codes: NDArray[np.int64]  # [K] index of each image's value
    against: list[bool]
    """[V] whether a value is compared with all real images, because each value of the column has one class only and
    this one is generated."""
    answers: int = -1  # the dump whose answers the column repeats, so that its metrics are meaningless; -1 if none


@dataclass(frozen=True)
class Line:
    """A value of a column, measured by one dump: its images in all, real and generated, and three results."""

    value: int
    dump: int
    images: int
    real: int
    generated: int
    auroc: Result
    accuracy: Result
    fpr: Result


def columns(joined: Joined) -> list[Column]:
    """Columns with 2 to `MOST` values; numbers of more than `FEW` values by quartile."""
    labels, found = joined.column("fused_labels"), []
    for name, values, codes, answers in _candidates(joined, labels):
        used, codes = np.unique(codes, return_inverse=True)
        if not 2 <= used.size <= MOST:
            continue
        made, real = (np.bincount(codes[labels == kind], minlength=used.size) > 0 for kind in (1, 0))
        against = made & (not (made & real).any()) & bool(real.any())
        names = [values[k] for k in used.tolist()]
        found.append(Column(name, names, codes.astype(np.int64), against.tolist(), answers))
    return found


def lines(joined: Joined, parts: Sequence[Column], bootstrap: Bootstrap | None) -> list[list[Line]]:
    """The table of each column: its values in order, each measured by every dump that holds it.

    Without ``bootstrap`` there are no intervals.
    """
    tables: list[list[Line]] = [[] for _ in parts]
    for d, (dump, threshold) in enumerate(zip(joined.dumps, joined.thresholds, strict=True)):
        held, labels, cluster = joined.place[d] >= 0, dump.fused_labels, clusters(dump)
        own, sets = {}, []
        for c, column in enumerate(parts):
            codes = np.empty(len(dump), np.int64)
            codes[joined.place[d, held]] = column.codes[held]
            for v in np.unique(codes).tolist():
                own[c, v] = np.flatnonzero(codes == v)
                chosen = (codes == v) | (column.against[v] & (labels == 0))
                # those that share all real images are resampled in one pass
                kind = "generator" if column.against[v] else "set"
                sets.append(Subset(kind, f"{c} {v}", np.flatnonzero(chosen & (labels >= 0))))
        specs = choose(METRICS)
        results = measured(dump, sets, {"page": threshold}, specs)
        drawn = bootstrap.draw(dump, results, sets=sets, specs=specs) if bootstrap else {}
        images = {subset.name: subset.images for subset in sets}
        level = bootstrap.level if bootstrap else nan
        cells = {(r.generator, r.metric): bounded(r, drawn.get(r.key), level) for r in results}
        for (c, v), rows in own.items():
            name, truth = f"{c} {v}", labels[rows]
            counted = images[name]
            auroc, accuracy, specificity = (cells[name, metric] for metric in METRICS)
            if bootstrap:
                accuracy = at_an_end(accuracy, cluster[counted], level)
                specificity = at_an_end(specificity, cluster[counted[labels[counted] == 0]], level)
            line = Line(v, d, rows.size, int((truth == 0).sum()), int((truth == 1).sum()), auroc, accuracy,
                        _complement(specificity))  # fmt: skip
            tables[c].append(line)
    return [sorted(table, key=lambda line: (line.value, line.dump)) for table in tables]


def _candidates(joined: Joined, labels: NDArray[np.int64]) -> Iterator[tuple[str, list[str], NDArray[Any], int]]:
    """(name, values, codes [K], dump whose answers they are or -1), with any number of values."""
    for name, title in (("generators", "generator"), ("source", "source"), ("group", "group")):
        names, codes = np.unique(joined.column(name), return_inverse=True)
        texts = [str(value) or "(none)" for value in names]
        if title == "generator" and names[0] == "" and (labels[codes == 0] == 0).all():
            texts[0] = "(real)"
        yield title, texts, codes, -1
    several = len(joined.dumps) > 1
    for d, (dump, threshold) in enumerate(zip(joined.dumps, joined.thresholds, strict=True)):
        letter, held = f" {chr(65 + d % 26)}" if several else "", joined.place[d] >= 0
        extra = {name: column for name, column in dump.extra.items() if column.ndim == 1}
        named = [(name, *_banded(column)) for name, column in extra.items()]
        if {"width", "height"} <= extra.keys():
            named.append(("longer side", *_sides(np.maximum(extra["width"], extra["height"]))))
        called = dump.fused_scores.astype(np.float64) > threshold
        verdict = np.where(dump.fused_labels < 0, 2, called != (dump.fused_labels == 1))
        named.append((f"right or wrong at {threshold:.4g}", ["right", "wrong", "unknown label"], verdict))
        for k, (name, values, codes) in enumerate(named):
            whole = np.full(joined.ids.size, len(values))
            whole[held] = codes[joined.place[d, held]]
            yield f"{name}{letter}", [*values, "not scored"], whole, d if k == len(named) - 1 else -1


def _banded(column: NDArray[Any]) -> tuple[list[str], NDArray[Any]]:
    """Values as they are, or the quartiles of many numbers; NaN is "not measured"."""
    if column.dtype.kind not in "fiu" or np.unique(column[np.isfinite(column)]).size <= FEW:
        values, codes = np.unique(column, return_inverse=True)
        return [_text(value) for value in values.tolist()], codes
    known = np.isfinite(column)
    edges = np.unique(np.quantile(column[known].astype(np.float64), (0.25, 0.5, 0.75)))
    # rounded before the images are divided, so that the names of the bands are exact
    rounded = (np.unique([float(f"{edge:.{digits}g}") for edge in edges.tolist()]) for digits in (3, 6, 17))
    return _bands(column.astype(np.float64), next(r for r in rounded if r.size == edges.size), known)


def _sides(sides: NDArray[Any]) -> tuple[list[str], NDArray[Any]]:
    return _bands(sides.astype(np.float64), np.array(SIDES, np.float64), np.isfinite(sides))


def _bands(
    column: NDArray[np.float64], edges: NDArray[np.float64], known: NDArray[np.bool_]
) -> tuple[list[str], NDArray[Any]]:
    """Bands that end with each edge; the last has no upper end."""
    ends = [repr(edge).removesuffix(".0") for edge in edges.tolist()]
    middle = [f"above {low} to {high}" for low, high in pairwise(ends)]
    names = [f"up to {ends[0]}", *middle, f"above {ends[-1]}", "not measured"]
    return names, np.where(known, np.searchsorted(edges, column, "left"), len(edges) + 1)


def _text(value: object) -> str:
    if isinstance(value, float):
        return "not measured" if isnan(value) else f"{value:.6g}"
    return str(value) or "(none)"


def _complement(result: Result) -> Result:
    """The false positive rate of a specificity."""
    return replace(result, value=1 - result.value, low=1 - result.high, high=1 - result.low)
