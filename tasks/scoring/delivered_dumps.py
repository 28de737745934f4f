"""The dumps of a test's deliveries: one for each, which an interrupted test keeps."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.predictions import Predictions, merge, read_predictions, write_predictions
from benchmarks.robustness.benchmark import delivery_dump, delivery_failures
from callbacks.collector import Collector
from contracts.errors import DataError
from contracts.stage import Rows
from contracts.view import SampleFunction
from datamodules.loading.dataset import Failure
from tasks.experiment.run import Run
from tasks.experiment.stage_folder import StageFolder
from tasks.scoring.evaluate import Loaded, config_hash, versions
from tasks.scoring.failures import write_failures

Pass = tuple[Predictions | None, list[Failure]]
"""Predictions (None on ranks other than 0, or if no image could be scored), and the images that could not be."""


@dataclass(frozen=True)
class Tested:
    """A stage's test images as they are."""

    rows: Rows  # of the manifest
    ids: np.ndarray  # [n] of these rows
    clean: Pass  # their scores


def write_deliveries(
    folder: StageFolder,
    ways: Mapping[str, SampleFunction],
    keys: Mapping[str, str],
    tested: Tested,
    datamodule: Any,
    collector: Collector,
    scored: Callable[[SampleFunction, Rows], Pass],
) -> None:
    """Scores the deliveries without a dump of the same key, and writes their dumps and lists of failures.

    An image that a delivery does not change keeps its score. A delivery after which no image can be scored has a list
    of failures and no dump.

    Args:
        folder: of the stage.
        ways: deliveries by name.
        keys: what the dump of each depends on, from `delivery_keys`.
        tested: the images and their scores.
        datamodule: of the images.
        collector: the one that ``scored`` uses.
        scored: scores rows after a delivery.

    Raises:
        DataError: scoring stopped for another reason than that every single image failed.
    """
    missing = [name for name in ways if _key_of(folder, name) != keys[name]]
    predictions, failures = tested.clean
    for number, name in enumerate(missing, 1):
        if predictions is not None:
            print(f"delivery {number} of {len(missing)}: {name}", flush=True)
        same = datamodule.unchanged(tested.rows, ways[name])
        found, failed = _again(tested.rows[~same], ways[name], collector, scored)
        if predictions is None:
            continue
        kept = set(tested.ids[same].tolist())
        parts = [predictions.select(np.flatnonzero(np.isin(predictions.fused_ids, list(kept))))]
        parts = [part for part in [found, *parts] if part is not None and len(part)]
        write_failures(delivery_failures(folder.path, name), [*failed, *(f for f in failures if f.id in kept)])
        dump = delivery_dump(folder.path, name)
        if not parts:
            dump.unlink(missing_ok=True)
            continue
        scorable = np.isin(tested.ids, np.concatenate([part.fused_ids for part in parts]))
        whole = merge(parts, tested.ids[scorable])
        about = predictions.about | {"delivery": name, "delivery_key": keys[name]}
        write_predictions(dump, replace(whole, provenance=json.dumps(about, sort_keys=True)))


def _again(
    rows: Rows, way: SampleFunction, collector: Collector, scored: Callable[[SampleFunction, Rows], Pass]
) -> Pass:
    if not len(rows):
        return None, []
    collector.failures = []
    try:
        return scored(way, rows)
    except DataError:
        if len(collector.failures) < len(rows):
            raise
        return None, collector.failures


def delivery_keys(run: Run, loaded: Loaded, ids: np.ndarray, ways: Mapping[str, SampleFunction]) -> dict[str, str]:
    """What the dump of each delivery depends on: if a dump has the same key, an interrupted test continues after it."""
    shared = {
        "weights": loaded.sha256,
        "config": {key: node for key, node in run.composed.resolved.items() if key not in ("benchmark", "ckpt")},
        "images": ids.tolist(),
        "versions": versions(),
    }
    return {name: config_hash(shared | {"delivery": str(one)}) for name, one in ways.items()}


def _key_of(folder: StageFolder, name: str) -> str | None:
    """The key of a delivery's dump; None if there is no dump or it cannot be read."""
    dump = delivery_dump(folder.path, name)
    try:
        return str(read_predictions(dump).about.get("delivery_key")) if dump.is_file() else None
    except DataError:
        return None
