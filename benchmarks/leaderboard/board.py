"""From dumps to boards: detectors that were tested in the same way on the same images, and their figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isnan, nan
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.comparison.compare import common, sets_of
from benchmarks.evaluation import Result, Subset, evaluate
from benchmarks.evaluation import measured as subset_results
from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.intervals.ends import bounded
from benchmarks.leaderboard.ranks import Ranking, pareto, ranking
from benchmarks.metrics import choose
from benchmarks.predictions import Predictions, read_predictions

HEADLINE = ("auroc", "average_precision", "balanced_accuracy", "tpr_at_fpr_5", "ece", "brier")
SHARED = 0.99
"""Share of a protocol's images that a detector must have scored; figures are of the images that all have scored."""
SAME_TEST = {"Robustness": "Plain"}  # Benchmarks whose undelivered test images are those of another


@dataclass(frozen=True)
class Entry:
    """A tested detector."""

    name: str  # in the table
    predictions: Predictions  # of the test images
    deliveries: Mapping[str, Path] = field(default_factory=dict)
    """Files of dumps of the same images after deliveries, by name."""
    cost: Mapping[str, Any] = field(default_factory=dict)
    """As `tasks.scoring.cost` records it; empty if it is not known."""
    config: Path | None = None  # file with its configuration, or None

    @property
    def method(self) -> str:
        """Class of the detector, "" if the dump does not say."""
        return str(self.predictions.about.get("detector", {}).get("_target_", "")).rpartition(".")[2]

    @property
    def protocol(self) -> str:
        """Benchmark and data in words; only detectors with equal words share a board."""
        about = self.predictions.about
        noted, own = about.get("protocol", {}), about.get("benchmark", {})
        name = str(noted.get("benchmark") or own.get("name") or "unrecorded protocol")
        settings = [f"{key}={own[key]}" for key in sorted(own.keys() - {"name", "fusion", "cached", "deviations"})]
        data = noted.get("data")
        parts = [SAME_TEST.get(name, name), *([f"({', '.join(settings)})"] if settings else [])]
        parts += [f"on {data}"] if data else []
        return " ".join([*parts, *([f"aligned by {noted['align']}"] if noted.get("align") else [])])

    @property
    def trained_on(self) -> tuple[str, ...] | None:
        """Generators seen in training; None if it is not known."""
        seen = self.predictions.about.get("seen_generators")
        return None if seen is None else tuple(map(str, seen))

    @property
    def machine(self) -> str:
        """The machine on which its costs were measured."""
        return str(self.cost.get("machine", ""))

    def per_image(self, key: str) -> float:
        """Seconds (``seconds`` or ``cpu_seconds``) per image; NaN if not known."""
        value, images = self.cost.get(key), self.cost.get("images")
        return float(value) / images if value is not None and images else nan


@dataclass(frozen=True)
class Line:
    """A detector on a board."""

    entry: Entry  # the detector
    results: tuple[Result, ...]  # headline figures of all images, with intervals
    sets: Mapping[str, Result]  # AUROC on each set
    deliveries: Mapping[str, Result]  # AUROC after each delivery that all detectors with deliveries share

    def of(self, metric: str, at: str = "") -> Result | None:
        """A headline figure."""
        return next((r for r in self.results if (r.metric, r.at) == (metric, at)), None)

    @property
    def auroc(self) -> float:
        """AUROC on all images; NaN if undefined."""
        found = self.of("auroc")
        return nan if found is None else found.value

    @property
    def lowest_set(self) -> Result | None:
        """AUROC on the set where it is lowest, which is the result's ``generator``; None with fewer than two sets."""
        return _lowest(self.sets) if len(self.sets) > 1 else None

    @property
    def worst_delivery(self) -> Result | None:
        """AUROC after the delivery where it is lowest, which is the result's ``generator``."""
        return _lowest(self.deliveries)


@dataclass(frozen=True)
class Board:
    """Detectors tested alike, best AUROC first."""

    protocol: str  # how they were tested
    images: int  # number of images that all of them scored
    lines: tuple[Line, ...]  # one a detector
    ranked: tuple[str, ...]  # sets on which they are ranked
    ranking: Ranking | None  # by AUROC over these sets; None with fewer than two detectors or without sets
    cost: str
    """The cost of the Pareto front: ``cpu_seconds``, or ``parameters`` if not all were measured on one machine."""
    front: tuple[str, ...]  # names of the detectors on it; empty if no cost is known

    @property
    def machines(self) -> list[str]:
        """The machines on which costs were measured."""
        return sorted({line.entry.machine for line in self.lines} - {""})

    def costs(self) -> list[float]:
        """The cost of each line; NaN if not known."""
        if self.cost == "parameters":
            return [float(line.entry.cost.get("parameters", nan)) for line in self.lines]
        return [line.entry.per_image(self.cost) for line in self.lines]


def boards(entries: Sequence[Entry], bootstrap: Bootstrap | None = None) -> list[Board]:
    """A board for each protocol, the one with the most detectors first.

    Raises:
        DataError: detectors of one protocol disagree on the label of an image.
    """
    bootstrap = bootstrap or Bootstrap()
    found = [_board(group, bootstrap) for group in alike(entries)]
    return sorted(found, key=lambda board: (-len(board.lines), board.protocol))


def alike(entries: Sequence[Entry]) -> list[list[Entry]]:
    """Entries by protocol: equal texts, and nearly all images (`SHARED`) of the entry that has the most in common."""
    groups: list[list[Entry]] = []
    ids: list[set[str]] = []
    for entry in sorted(entries, key=lambda one: (-len(_labelled(one)), one.name)):
        own = _labelled(entry)
        for group, images in zip(groups, ids, strict=True):
            if group[0].protocol == entry.protocol and own <= images and len(own) >= SHARED * len(images):
                group.append(entry)
                break
        else:
            groups.append([entry])
            ids.append(own)
    return groups


def _labelled(entry: Entry) -> set[str]:
    dump = entry.predictions
    return set(dump.fused_ids[dump.fused_labels >= 0].tolist())


def _board(entries: Sequence[Entry], bootstrap: Bootstrap) -> Board:
    dumps = common([entry.predictions for entry in entries], [entry.name for entry in entries])
    sets = sets_of(dumps[0])
    shared = _shared_deliveries(entries)
    lines = []
    for entry, dump in zip(entries, dumps, strict=True):
        later: dict[str, Result] = {}
        for name in shared if entry.deliveries else ():
            delivered = _on(read_predictions(entry.deliveries[name]), dump)
            later[name] = replace(_pooled(delivered, ("auroc",), bootstrap)[0], generator=name)
        lines.append(Line(entry, _pooled(dump, HEADLINE, bootstrap), _set_aurocs(dump, sets, bootstrap), later))
    lines.sort(key=lambda line: (isnan(line.auroc), -line.auroc, line.entry.name))
    ranked = tuple(name for name in sets if all(not isnan(line.sets[name].value) for line in lines))
    ranks = None
    if len(lines) > 1 and ranked:
        ranks = ranking(np.array([[line.sets[name].value for name in ranked] for line in lines]))
    measured = {line.entry.machine for line in lines if not isnan(line.entry.per_image("cpu_seconds"))}
    board = Board(
        entries[0].protocol, len(dumps[0]), tuple(lines), ranked, ranks,
        "cpu_seconds" if len(measured) == 1 else "parameters", (),
    )  # fmt: skip
    front = pareto(np.array([line.auroc for line in lines]), np.array(board.costs()))
    return replace(board, front=tuple(line.entry.name for line, on in zip(lines, front, strict=True) if on))


def _shared_deliveries(entries: Sequence[Entry]) -> list[str]:
    """Names of the deliveries that all entries with any have, so that the worst one is of the same choice for all."""
    each = [entry.deliveries for entry in entries if entry.deliveries]
    return [name for name in each[0] if all(name in other for other in each)] if each else []


def _on(delivered: Predictions, clean: Predictions) -> Predictions:
    """A delivery's scores of the clean dump's images, in its photographs; images that failed are left out."""
    there = np.isin(clean.fused_ids, delivered.fused_ids)
    order = np.argsort(delivered.fused_ids)
    place = order[np.searchsorted(delivered.fused_ids[order], clean.fused_ids[there])]
    return replace(delivered.select(place), group=clean.group[there])


def _pooled(dump: Predictions, metrics: Sequence[str], bootstrap: Bootstrap) -> tuple[Result, ...]:
    """Figures of all images, with intervals."""
    results = [r for r in evaluate(dump, metrics=metrics) if r.kind == "pooled"]
    return tuple(bootstrap(dump, results, metrics))


def _set_aurocs(dump: Predictions, sets: Mapping[str, Any], bootstrap: Bootstrap) -> dict[str, Result]:
    """AUROC on each set, with its interval."""
    found = [Subset("set", name, images) for name, images in sets.items()]
    specs = choose(("auroc",))
    results = subset_results(dump, found, {}, specs)
    draws = bootstrap.draw(dump, results, sets=found, specs=specs)
    return {r.generator: bounded(r, draws.get(r.key), bootstrap.level) for r in results}


def _lowest(results: Mapping[str, Result]) -> Result | None:
    known = [result for result in results.values() if not isnan(result.value)]
    return min(known, key=lambda result: result.value, default=None)
