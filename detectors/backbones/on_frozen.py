"""Shared parts of detectors on a frozen backbone: its arguments, its views, and its record in the checkpoint."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Unpack

from torch import Tensor

from contracts.errors import CheckpointError, ConfigError, nearest
from contracts.normalisations import NORMALISATIONS
from contracts.view import View
from detectors.backbones.backbones import create_backbone
from detectors.backbones.frozen import state_hash
from detectors.base import Detector, Optimisation, Training
from detectors.parts.normalise import normalise


class OfBackbone(Optimisation, total=False):
    """Arguments of every detector on a frozen backbone; `OnFrozen` explains them and holds their defaults."""

    pretrained: bool
    weights: str | Path | None
    pooling: str | None
    image_size: int | None
    normalisation: str | None
    positions: str


class OnFrozen(Detector):
    """A detector whose backbone is never trained and never saved: its checkpoint names the backbone instead.

    Args:
        backbone: ``library/model``; see `detectors.backbones.backbones`.
        train_view: None resizes to the backbone's size.
        eval_view: None resizes to the backbone's size.
        pretrained: take the library's weights.
        weights: take this file instead.
        pooling: as `create_backbone`.
        image_size: side of the backbone's input; None for the size its weights were trained with.
        normalisation: "clip", "imagenet" or "half"; None for the backbone's own.
        positions: rule for resampling position embeddings to ``image_size``: "timm", or "dinov2" for that of DINOv2's
            hub code.
        training: see `Detector`.

    Raises:
        ConfigError: neither ``pretrained`` nor ``weights``, or values that do not work.
        CheckpointError: the backbone's weights cannot be loaded or do not fit.
    """

    def __init__(
        self,
        backbone: str,
        train_view: View | None = None,
        eval_view: View | None = None,
        pretrained: bool = True,
        weights: str | Path | None = None,
        pooling: str | None = None,
        image_size: int | None = None,
        normalisation: str | None = None,
        positions: str = "timm",
        **training: Unpack[Optimisation],
    ) -> None:
        if not pretrained and weights is None:
            raise ConfigError(
                "detector.pretrained=false would use random features, and not save them",
                "Set detector.pretrained=true, or give detector.weights=FILE.",
            )
        if normalisation is not None and normalisation not in NORMALISATIONS:
            raise ConfigError(
                f"detector.normalisation={normalisation!r} is unknown", nearest(normalisation, NORMALISATIONS)
            )
        made = create_backbone(backbone, pretrained, weights, pooling, image_size, positions, True)
        whole = View(resize=made.image_size)
        super().__init__(train_view or whole, eval_view or whole, **(Training(channels_last=False) | training))
        self.record, self.positions = made, positions
        self.mean, self.std = NORMALISATIONS[normalisation] if normalisation else (made.mean, made.std)

    def normalised(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W], uint8 or unit-range float32, as the backbone expects them."""
        return self.to_memory_format(normalise(images, self.mean, self.std))

    def identity(self) -> dict[str, Any]:
        """The backbone, as the checkpoint names it."""
        activation = {"activation": "quick_gelu"} if self.record.quick_gelu else {}
        positions = {"positions": self.positions} if self.positions != "timm" else {}
        return {"name": self.record.name, "sha256": self.record.sha256, **activation, **positions}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Note the backbone."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["backbone"] = self.identity()

    def check_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Refuse a checkpoint that was fitted on another backbone.

        Raises:
            CheckpointError: name, weights file, activation or positions of the backbone differ.
        """
        noted = checkpoint.get("backbone")
        if isinstance(noted, Mapping) and "name" in noted and dict(noted) != self.identity():
            raise CheckpointError(
                f"the checkpoint was fitted on backbone {dict(noted)}, this one is {self.identity()}",
                "Give the same detector.backbone, detector.weights and detector.positions.",
            )

    def feature_settings(self, tokens: str) -> dict[str, Any]:
        """Everything that cached features depend on (`FrozenPart.settings`); ``tokens`` names the features."""
        return {
            "tokens": tokens,
            "backbone": self.identity(),
            "weights": state_hash(self.record.module),
            "mean": list(self.mean),
            "std": list(self.std),
            "train_view": repr(self.train_view),
            "eval_view": repr(self.eval_view),
        }
