"""A calibration of a dump with cross-fitted figures, and the file it is kept in."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.calibration.measures import measured, ordered
from benchmarks.calibration.methods import Affine, fit
from benchmarks.intervals import Bootstrap, clusters, interval_of
from benchmarks.predictions import Predictions
from contracts.errors import CheckpointError, DataError

FOLDS = 5
"""Fewer where a class has fewer photographs."""
Floats = NDArray[np.float64]
Figures = dict[str, dict[str, tuple[float, float, float]]]
"""``before``, ``after`` and ``order`` to each figure's value and the ends of its interval."""


def cross_fitted(method: str, predictions: Predictions, seed: int) -> tuple[Floats, Floats]:
    """[N] calibrated logits and the shares they assume, fitted on the folds without the image's photograph.

    Args:
        method: see `benchmarks.calibration.methods.fit`.
        predictions: labelled.
        seed: of the folds.

    Raises:
        DataError: there are too few photographs of a class.
    """
    from sklearn.model_selection import StratifiedGroupKFold  # slow to import

    labels, groups = predictions.fused_labels, clusters(predictions)
    fewest = min(len(np.unique(groups[labels == kind])) for kind in (0, 1))
    if fewest < 2:
        raise DataError("one photograph of a class is too few for cross-fitting", "Give at least 2 of each class.")
    folds = StratifiedGroupKFold(min(FOLDS, fewest), shuffle=True, random_state=seed)
    logits = predictions.fused_logits.astype(np.float64)
    calibrated, shares = np.empty(len(logits)), np.empty(len(logits))
    for train, held in folds.split(logits, labels, groups):
        if np.unique(labels[train]).size < 2:
            raise DataError("a fold has images of one class only", "Give more photographs of both classes.")
        one = fit(method, logits[train], labels[train])
        calibrated[held], shares[held] = one(logits[held]), one.share
    return calibrated, shares


def figures(predictions: Predictions, calibrated: Floats, shares: Floats, bootstrap: Bootstrap) -> Figures:
    """Figures before and after with clustered intervals; those of the order (minCllr, EER) are the same for both.

    Args:
        predictions: labelled; uncalibrated scores are taken to assume equal shares.
        calibrated: [N] from `cross_fitted`.
        shares: [N] from `cross_fitted`.
        bootstrap: of photographs.
    """
    logits, labels = predictions.fused_logits.astype(np.float64), predictions.fused_labels
    equal = np.full(len(labels), 0.5)

    def all_of(images: NDArray[np.int64]) -> dict[str, dict[str, float]]:
        y = labels[images]
        return {
            "before": measured(logits[images], y, equal[images]),
            "after": measured(calibrated[images], y, shares[images]),
            "order": ordered(logits[images], y),
        }

    values = all_of(np.arange(len(labels)))
    drawn = [all_of(np.repeat(np.arange(len(labels)), w.astype(np.int64))) for w in bootstrap.weights(predictions)]
    return {
        kind: {
            name: (value, *interval_of(np.array([one[kind][name] for one in drawn]), bootstrap.level))
            for name, value in found.items()
        }
        for kind, found in values.items()
    }


def as_json(calibration: Affine, method: str, checkpoint: str, found: Figures | None, about: dict[str, Any]) -> str:
    """The JSON text that `load` reads."""
    content = {"format": 1, "method": method, "checkpoint_sha256": checkpoint, "calibration": asdict(calibration)}
    return json.dumps(content | {"figures": found} | about, indent=1, sort_keys=True) + "\n"


def load(path: Path, checkpoint: str) -> Affine:
    """The calibration of a file that ``task=calibrate`` wrote for a checkpoint.

    Args:
        path: of the file.
        checkpoint: SHA-256 of the checkpoint that it is to be applied to.

    Raises:
        DataError: no such file, or none of ours.
        CheckpointError: it was fitted for another checkpoint.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found, fitted = Affine(**content["calibration"]), content["checkpoint_sha256"]
    except FileNotFoundError as error:
        raise DataError(f"no calibration file {path}", "Make one with task=calibrate.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is no calibration of task=calibrate: {error}", "Make it again.") from error
    if fitted != checkpoint:
        raise CheckpointError(
            f"{path} was fitted for another checkpoint ({fitted[:12]}, not {checkpoint[:12]})",
            "Run task=calibrate on a validation dump of this checkpoint.",
        )
    return found
