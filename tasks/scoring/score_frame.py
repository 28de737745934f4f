"""The table of ``task=predict``: one row per image, including those that could not be read."""

import csv
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.predictions import Predictions
from benchmarks.thresholds.columns import ColumnThreshold
from benchmarks.thresholds.conformal import posterior
from contracts.errors import DataError, nearest

LEADING = ("id", "where", "label", "generator", "group", "score", "logit", "generated", "error", "note")
"""First columns of the table for every detector, followed by its own scores."""


def column_of(predictions: Predictions, name: str) -> NDArray[Any]:
    """A score by its name: ``score``, ``logit`` or an extra.

    Raises:
        DataError: the detector has no such score.
    """
    known = {"score": predictions.fused_scores, "logit": predictions.fused_logits, **predictions.extra}
    if name not in known:
        raise DataError(f"the threshold is on {name!r}, which is not a score of this detector", nearest(name, known))
    return known[name]


def called(predictions: Predictions, threshold: float | ColumnThreshold | None) -> NDArray[np.bool_]:
    """[N] whether each image is called generated, by a threshold on P(generated) or on any score; 0.5 if None."""
    if isinstance(threshold, ColumnThreshold):
        return threshold.called(column_of(predictions, threshold.column))
    return predictions.fused_scores > (0.5 if threshold is None else threshold)


def scores_frame(
    predictions: Predictions,
    threshold: float | ColumnThreshold | None,
    first: Sequence[str] = (),
    failures: Sequence[Any] = (),
    notes: Mapping[str, str] | None = None,
    prevalence: float | None = None,
    further: pd.DataFrame | None = None,
    share: float = 0.5,
    calibrated: NDArray[np.floating] | None = None,
) -> pd.DataFrame:
    """One row per image: `LEADING`, then every extra; images that could not be read come last, with an ``error``.

    A conformal threshold adds ``p_value``, a prevalence ``posterior``.

    Args:
        predictions: of the scored images.
        threshold: on P(generated), or on any score; 0.5 if None.
        first: extras that come before the others.
        failures: images that could not be read (``id``, ``where``, ``reason``).
        notes: of images that could be read, by id.
        prevalence: expected share of generated images, or None.
        further: columns that follow, with a row for each scored image.
        share: share of generated images that the logits assume, for the posterior.
        calibrated: [N] logits for the posterior, if not those of the predictions.
    """
    places = zip(predictions.where.tolist(), predictions.row.tolist(), strict=True)
    frame = pd.DataFrame(
        {
            "id": predictions.fused_ids,
            "where": [f"{where}[{row}]" if row >= 0 else where for where, row in places],
            "label": predictions.fused_labels,
            "generator": predictions.generators,
            "group": predictions.group,
            "score": predictions.fused_scores,
            "logit": predictions.fused_logits,
            "generated": called(predictions, threshold),
            "error": "",
            "note": [(notes or {}).get(name, "") for name in predictions.fused_ids.tolist()],
        }
    )
    if isinstance(threshold, ColumnThreshold) and threshold.calibration:
        frame["p_value"] = threshold.p_values(column_of(predictions, threshold.column))
    if prevalence is not None:
        logits = predictions.fused_logits if calibrated is None else calibrated
        frame["posterior"] = posterior(logits, prevalence, share)
    if further is not None:
        frame = pd.concat([frame, further], axis=1)
    for name in (*first, *(extra for extra in predictions.extra if extra not in first)):
        values = predictions.extra[name]
        for column, part in enumerate(values.reshape(len(values), -1).T):
            frame[name if values.ndim == 1 else f"{name}_{column}"] = part
    if not failures:
        return frame
    empty = {"label": -1, "generator": "", "group": "", "note": ""}
    failed = pd.DataFrame([{"id": f.id, "where": f.where, "error": f.reason, **empty} for f in failures])
    return pd.concat([frame, failed], ignore_index=True)[list(frame)]


def summary(frame: pd.DataFrame, names: Sequence[str]) -> dict[str, Any]:
    """Mean, median and 95th percentile of columns, and numbers of images scored, failed and called generated."""
    scored = frame[frame["error"] == ""]
    return {
        "images": len(frame),
        "scored": len(scored),
        "failed": len(frame) - len(scored),
        "called_generated": int(scored["generated"].astype(bool).sum()),
        "scores": {
            name: {
                "mean": float(scored[name].mean()),
                "median": float(scored[name].median()),
                "p95": float(scored[name].quantile(0.95)),
            }
            for name in names
        },
    }


def csv_text(frame: pd.DataFrame) -> str:
    """A table as CSV that `csv` and pandas read back.

    Before Python 3.13, a carriage return inside a name is not quoted where rows end with line feeds.
    """
    returns = any("\r" in str(value) for name in ("id", "where", "group") for value in frame[name])
    text: str = frame.to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC if returns else csv.QUOTE_MINIMAL)
    return text
