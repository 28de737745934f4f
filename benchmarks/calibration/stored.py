"""A fitted calibration as it is kept in ``calibration.json`` and in a checkpoint."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf, isinf
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.calibration.bands import Band
from benchmarks.calibration.forms import Calibration, as_plain, from_plain
from benchmarks.predictions import Predictions, sigmoid
from contracts.errors import CheckpointError, DataError

FORMAT = 2
RAW = "uncalibrated"  # Column of a calibrated dump with the detector's own logit


@dataclass(frozen=True)
class Stored:
    """A calibration, and the detector that it was fitted for."""

    method: str  # one of `benchmarks.calibration.methods.METHODS`
    calibration: Calibration  # of logits
    weights: str  # SHA-256 of the detector's weights
    detector: str  # hash of the options that its scores depend on
    band: Band | None = None  # scores that cannot be decided, or None where labels were missing

    def probability(self, logits: NDArray[np.floating]) -> NDArray[np.float32]:
        """[N] calibrated P(generated)."""
        return sigmoid(self.calibration(logits))

    def threshold(self, raw: float) -> float:
        """The calibrated probability that corresponds to a threshold on the uncalibrated P(generated)."""
        with np.errstate(divide="ignore"):
            logit = np.log(np.float64(raw)) - np.log1p(-np.float64(raw))
        return float(np.exp(-np.logaddexp(0, -self.calibration(np.array([logit]))[0])))

    def applied(self, predictions: Predictions) -> Predictions:
        """The predictions with calibrated fused scores and logits, and the former logits as column `RAW`.

        Scores and losses of single crops stay as they are.
        """
        raw = predictions.fused_logits
        calibrated = self.calibration(raw)
        return replace(
            predictions,
            fused_logits=calibrated.astype(np.float32),
            fused_scores=sigmoid(calibrated),
            extra={**predictions.extra, RAW: raw},
        )

    def plain(self) -> dict[str, Any]:
        """The calibration in plain containers."""
        band = self.band and {
            "low": None if isinf(self.band.low) else self.band.low,
            "high": None if isinf(self.band.high) else self.band.high,
            "sure": self.band.sure,
        }
        return {
            "format": FORMAT,
            "method": self.method,
            "calibration": as_plain(self.calibration),
            "weights_sha256": self.weights,
            "detector_hash": self.detector,
            "undecidable": band,
        }

    def refuse_other(self, weights: str, detector: str, where: object) -> None:
        """Checks that it was fitted for this detector.

        Raises:
            CheckpointError: for other weights, or for other options.
        """
        step = "Run task=calibrate on a validation dump of this checkpoint, scored with the same options."
        if weights != self.weights:
            raise CheckpointError(
                f"{where}: the calibration was fitted for another checkpoint (weights {self.weights[:12]}, not "
                f"{weights[:12]})",
                step,
            )
        if detector != self.detector:
            raise CheckpointError(f"{where}: the calibration was fitted with other options of the detector", step)


def stored(content: Mapping[str, Any]) -> Stored:
    """The calibration that `Stored.plain` described.

    Raises:
        ValueError: it does not describe a calibration.
        KeyError: an entry is missing.
        TypeError: an entry has another type.
    """
    if content["format"] != FORMAT:
        raise ValueError(f"it has format {content['format']!r}, and this version reads {FORMAT}")
    band = content["undecidable"]
    if band is not None:
        low, high = (
            missing if band[key] is None else float(band[key]) for key, missing in (("low", -inf), ("high", inf))
        )
        band = Band(low, high, float(band["sure"]))
    weights, detector = str(content["weights_sha256"]), str(content["detector_hash"])
    return Stored(str(content["method"]), from_plain(content["calibration"]), weights, detector, band)


def load(path: Path) -> Stored:
    """The calibration in a file of ``task=calibrate``.

    Raises:
        DataError: the file does not exist, or was not written by ``task=calibrate``.
    """
    try:
        return stored(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise DataError(f"the calibration file {path} does not exist", "Write it with task=calibrate.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is not a calibration file: {error}", "Write it again with task=calibrate.") from error
