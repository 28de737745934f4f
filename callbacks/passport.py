"""The passport of a checkpoint: a description with which it can be used without other configuration."""
# ruff: noqa: ARG002 - the signatures are Lightning's

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

from contracts.errors import CheckpointError
from contracts.process.lightning import Callback
from detectors.base import PASSPORT, Detector

if TYPE_CHECKING:
    import pytorch_lightning as L

    from callbacks.validation_metrics import ValidationMetrics

FORMAT = 1


class Passport(Callback):
    """Writes the detector's configuration, the threshold and the versions into every checkpoint.

    Args:
        detector: the detector's resolved configuration in plain containers.
        validation: provides the threshold.
        about: further entries (seed, generators seen, versions) in plain containers.
    """

    def __init__(self, detector: Mapping[str, Any], validation: ValidationMetrics, about: Mapping[str, Any]) -> None:
        self.detector = dict(detector)
        self.validation = validation
        self.about = dict(about)

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Sets the detector's passport, with the threshold of the last validation, if any."""
        threshold = self.validation.threshold
        cast(Detector, pl_module).passport = {
            "format": FORMAT,
            "detector": self.detector,
            "threshold": asdict(threshold) if threshold else None,
            **self.about,
        }

    on_validation_epoch_end = on_fit_start


def passport(checkpoint: Mapping[str, Any], path: object) -> dict[str, Any] | None:
    """The passport of a checkpoint; None if it was not written by PixelProof.

    Raises:
        CheckpointError: a newer version wrote it.
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
