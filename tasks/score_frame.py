"""The table of ``task=predict``: one row an image, those that could not be read included where a detector wants it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.column_thresholds import ColumnThreshold
from benchmarks.predictions import Predictions
from contracts.errors import DataError, nearest


def column_of(predictions: Predictions, name: str) -> NDArray[Any]:
    """A score by its name: ``score``, ``logit`` or an extra.

    Raises:
        DataError: the detector gives no such score.
    """
    known = {"score": predictions.fused_scores, "logit": predictions.fused_logits, **predictions.extra}
    if name not in known:
        raise DataError(f"the threshold is on {name!r}, a score this detector does not give", nearest(name, known))
    return known[name]


def scores_frame(
    predictions: Predictions,
    threshold: float | ColumnThreshold | None,
    first: Sequence[str] = (),
    failures: Sequence[Any] = (),
) -> pd.DataFrame:
    """One row an image: id, where, score, logit, verdict at the threshold, and every extra.

    Args:
        predictions: what was scored.
        threshold: on P(generated), or on any score; 0.5 if None.
        first: extras that stand first, behind ``path`` and ``label``. The table then has an ``error`` column too, and
            a row for each of ``failures``.
        failures: images that could not be read (``id``, ``where``, ``reason``).
    """
    if isinstance(threshold, ColumnThreshold):
        generated = threshold.called(column_of(predictions, threshold.column))
    else:
        generated = predictions.fused_scores > (0.5 if threshold is None else threshold)
    frame = pd.DataFrame(
        {
            "id": predictions.fused_ids,
            "where": predictions.where,
            "label": predictions.fused_labels,
            "generator": predictions.generators,
            "group": predictions.group,
            "score": predictions.fused_scores,
            "logit": predictions.fused_logits,
            "generated": generated,
        }
    )
    for name, values in predictions.extra.items():
        for column, part in enumerate(values.reshape(len(values), -1).T):
            frame[name if values.ndim == 1 else f"{name}_{column}"] = part
    if not first:
        return frame.drop(columns=["generator", "group"])
    place = np.where(predictions.row >= 0, [f"{w}[{r}]" for w, r in _places(predictions)], predictions.where)
    frame = frame.drop(columns="where").assign(path=place, error="")
    head = ["path", "label", *first]
    frame = frame[[*head, *(name for name in frame if name not in head)]]
    failed = pd.DataFrame([{"path": f.where, "id": f.id, "label": -1, "error": f.reason} for f in failures])
    return frame if failed.empty else pd.concat([frame, failed], ignore_index=True)[list(frame)]


def _places(predictions: Predictions) -> list[tuple[str, int]]:
    return list(zip(predictions.where.tolist(), predictions.row.tolist(), strict=True))


def summary(frame: pd.DataFrame, names: Sequence[str]) -> dict[str, Any]:
    """Mean, median and 95th percentile of some columns; how many images were scored, failed, called generated."""
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
