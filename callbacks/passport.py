"""What a checkpoint says of itself, so that it can be used without any configuration."""
# ruff: noqa: ARG002 - the signatures are Lightning's

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, cast

import pytorch_lightning as L

from callbacks.validation_metrics import ValidationMetrics
from contracts.errors import CheckpointError
from detectors.base import PASSPORT, Detector

FORMAT = 1


class Passport(L.Callback):
    """Writes the detector's configuration, the threshold and the versions into every checkpoint.

    Args:
        detector: the detector's resolved node (plain containers).
        validation: where the threshold comes from.
        about: anything else worth knowing later (seed, generators seen, versions), plain containers.
    """

    def __init__(self, detector: Mapping[str, Any], validation: ValidationMetrics, about: Mapping[str, Any]) -> None:
        self.detector = dict(detector)
        self.validation = validation
        self.about = dict(about)

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Hands the detector its passport, without a threshold so far."""
        self._issue(cast(Detector, pl_module))

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Adds the threshold just chosen."""
        self._issue(cast(Detector, pl_module))

    def _issue(self, detector: Detector) -> None:
        threshold = self.validation.threshold
        detector.passport = {
            "format": FORMAT,
            "detector": self.detector,
            "threshold": asdict(threshold) if threshold else None,
            **self.about,
        }


def passport(checkpoint: Mapping[str, Any], path: object) -> dict[str, Any] | None:
    """The entry of a checkpoint of ours, None in one of somebody else's.

    Raises:
        CheckpointError: it was written by a newer version.
    """
    entry = checkpoint.get(PASSPORT)
    if entry is None:
        return None
    if not isinstance(entry, dict) or entry.get("format") != FORMAT:
        found = entry.get("format") if isinstance(entry, dict) else type(entry).__name__
        raise CheckpointError(
            f"{path} was written in format {found!r}; this version reads {FORMAT}", "Use the version that wrote it."
        )
    return entry
