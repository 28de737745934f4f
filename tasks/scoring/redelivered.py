"""Verdicts on images that were also scored after deliveries (``predict.deliveries``)."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.predictions import Predictions, write_predictions
from callbacks.collector import Collector
from contracts.errors import ConfigError, DataError
from contracts.stage import Rows
from contracts.view import SampleFunction
from contracts.words import counted
from detectors.base import Detector
from tasks.scoring.evaluate import score

COLUMNS = ("score_min", "score_median", "score_max", "flips", "verdict")


class Again(NamedTuple):
    """One delivery's predictions (None if no image could be scored), and reasons of failures by image id."""

    predictions: Predictions | None
    failures: dict[str, str]


def asked(options: Any) -> dict[str, SampleFunction]:
    """The deliveries of ``predict.deliveries`` by name, none by default.

    Raises:
        ConfigError: a delivery is unknown, or an option does not go with another.
    """
    ways: dict[str, SampleFunction] = {}
    if options.deliveries:
        from datamodules.deliveries.cache import delivered  # slow: OpenCV
        from datamodules.deliveries.deliveries import chosen

        ways = delivered(chosen(options.deliveries), None)
    if ways and options.shards > 1:
        raise ConfigError(
            f"predict.deliveries with predict.shards={options.shards}",
            "Leave predict.shards out, or score the shards without deliveries.",
        )
    if options.unsure_flips < 0:
        raise ConfigError(f"predict.unsure_flips={options.unsure_flips}", "Give a whole number of deliveries, from 0.")
    return ways


def again(trainer: Any, detector: Detector, datamodule: Any, rows: Rows, collector: Collector) -> Again:
    """Scores of the rows after the delivery that the data module is set to; see `tasks.scoring.evaluate.score`.

    Raises:
        DataError: scoring stopped for another reason than that every single image failed.
    """
    collector.failures = []
    try:
        found = score(trainer, detector, datamodule, rows, collector, "predict")
    except DataError:
        if len(collector.failures) < len(rows):
            raise
        found = None
    return Again(found, {failure.id: failure.reason for failure in collector.failures})


def curves(
    plain: Predictions, ways: Mapping[str, Again], called: Callable[[Predictions], NDArray[np.bool_]]
) -> pd.DataFrame:
    """One row per scored image and delivery: ``id delivery score generated error``; no score where it failed."""
    parts = []
    for name, (found, failures) in ways.items():
        part = pd.DataFrame({"id": plain.fused_ids, "delivery": name})
        scores = pd.Series(dtype=float) if found is None else pd.Series(found.fused_scores, found.fused_ids)
        calls = pd.Series(dtype=bool) if found is None else pd.Series(called(found), found.fused_ids)
        part["score"] = part["id"].map(scores)
        part["generated"] = part["id"].map(calls).astype("boolean")
        part["error"] = [failures.get(one, "") for one in part["id"]]
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def write_dumps(folder: Path, passes: Mapping[str, Again]) -> None:
    """Writes each delivery's dump to ``deliveries/``, as ``benchmark=robustness`` does, where ``task=review`` finds it.

    Args:
        folder: that of the dump of the unchanged images; dumps of other deliveries in it are removed.
        passes: by name of the delivery, with the provenance of that dump.
    """
    from benchmarks.robustness.benchmark import delivery_dump  # slow: OpenCV

    wanted = {delivery_dump(folder, name): (name, found) for name, (found, _) in passes.items() if found is not None}
    for old in set((folder / "deliveries").glob("predictions_*_all.npz")) - wanted.keys():
        old.unlink()
    for file, (name, found) in wanted.items():
        write_predictions(file, found.with_provenance(delivery=name))


def verdict(generated: NDArray[np.bool_], unsure: NDArray[np.bool_]) -> NDArray[np.str_]:
    """[N] "unsure", "generated" or "real"."""
    return np.where(unsure, "unsure", np.where(generated, "generated", "real"))


def verdicts(
    scores: NDArray[np.floating],
    generated: NDArray[np.bool_],
    delivered: pd.DataFrame,
    unsure_flips: int,
    undecidable: NDArray[np.bool_] | None = None,
) -> pd.DataFrame:
    """`COLUMNS` for each image.

    ``score_min``, ``score_median`` and ``score_max`` are taken over P(generated) of the unchanged image and of its
    deliveries; ``flips`` counts the deliveries that change the decision. The verdict is ``unsure`` if more than
    ``unsure_flips`` do, if no delivery could be scored, or if the score is undecidable; else it is ``generated`` or
    ``real``.

    Args:
        scores: [N] P(generated) of the unchanged images.
        generated: [N] whether they are called generated.
        delivered: from `curves`, for the same images in the same order.
        unsure_flips: number of flips that a sure verdict may have.
        undecidable: [N] whether each score is undecidable (`benchmarks.calibration.bands`); None if none is.
    """
    count = len(scores)
    again = delivered["score"].to_numpy(np.float64, na_value=np.nan).reshape(-1, count)
    known = delivered["generated"].notna().to_numpy().reshape(-1, count)
    calls = delivered["generated"].fillna(False).to_numpy(np.bool_).reshape(-1, count)
    values = np.concatenate([np.asarray(scores, dtype=np.float64)[None], again])
    flips = ((calls != generated) & known).sum(0)
    unsure = (flips > unsure_flips) | ~known.any(0)
    found = verdict(generated, unsure if undecidable is None else unsure | undecidable)
    counts = pd.array(flips, dtype="Int64")  # whole numbers also beside images that could not be read
    columns = (np.nanmin(values, 0), np.nanmedian(values, 0), np.nanmax(values, 0), counts, found)
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))


def counted_verdicts(found: pd.DataFrame, delivered: pd.DataFrame | None, undecidable: int | None) -> str:
    """A line with the number of each verdict, of undecidable scores (None if unknown), and of missing scores."""
    numbers = ", ".join(f"{(found['verdict'] == name).sum():,} {name}" for name in ("generated", "real", "unsure"))
    band = "" if undecidable is None else f"; {counted(undecidable, 'score')} undecidable by the calibration"
    if delivered is None:
        return f"verdicts: {numbers}{band}"
    line = f"verdicts, deliveries included ({delivered['delivery'].nunique()}): {numbers}{band}"
    missing = int((delivered["error"] != "").sum())
    return f"{line}; {counted(missing, 'delivered image')} could not be scored" if missing else line
