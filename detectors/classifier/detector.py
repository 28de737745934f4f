"""An image backbone with a linear head: linear probe or fine-tuning."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Unpack

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contracts.batch import Batch, as_unit_float
from contracts.errors import CheckpointError, ConfigError, nearest
from contracts.normalisations import NORMALISATIONS
from contracts.view import Sides, View
from detectors.backbones.backbones import Backbone, create_backbone, find_backbone, with_positions
from detectors.backbones.frozen import Frozen, state_hash
from detectors.backbones.quick_gelu import replace_quick_gelu
from detectors.base import Detector, FrozenPart, Scores, Training
from detectors.classifier.adapters import Tuning, from_transformers
from detectors.classifier.aliases import expanded
from detectors.classifier.device_augment import DeviceAugment
from detectors.classifier.svd import penalty
from detectors.parts.foreign_heads import own_layout
from detectors.parts.least_side import least_side
from detectors.parts.normalise import normalise
from detectors.parts.precision import linear_float32
from detectors.parts.slices import in_slices
from detectors.parts.training.contrast import pair_contrast

MODES = ("probe", "tune")


class ClassifierNet(nn.Module):
    """Backbone, dropout and one linear unit.

    Args:
        backbone: normalised images [B, 3, H, W] → features [B, feature_dim].
        feature_dim: length of a feature vector.
        dropout: dropout probability of a feature in training.
        frozen: do not train the backbone.
        unit_features: scale every feature vector to length 1.
        head_std: standard deviation of the head's initial weights; None for torch's initialisation.
    """

    def __init__(
        self,
        backbone: nn.Module,
        feature_dim: int,
        dropout: float,
        frozen: bool,
        unit_features: bool = False,
        head_std: float | None = None,
    ) -> None:
        super().__init__()
        self.backbone = Frozen(backbone) if frozen else backbone
        self.unit_features = unit_features
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(feature_dim, 1)
        if head_std is not None:
            nn.init.normal_(self.head.weight, 0.0, head_std)

    def features(self, images: Tensor) -> Tensor:
        """Normalised images [B, 3, H, W] → features [B, feature_dim]."""
        features: Tensor = self.backbone(images)
        return F.normalize(features, dim=1) if self.unit_features else features

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images [B, 3, H, W] → logits [B] float32."""
        return self.logits(self.features(images))

    def logits(self, features: Tensor) -> Tensor:
        """Features [B, feature_dim] → logits [B] float32."""
        return linear_float32(self.dropout(features), self.head).squeeze(1)


class Classifier(Detector):
    """A backbone of timm, torchvision, open_clip or the DINO family with one linear unit on its features.

    Args:
        backbone: ``library/model``, e.g. ``timm/resnet18``; see `backbones`. A name of AI-GenBench
            (``dinov2_vitl14_tune``, ``RN50_probe``) also sets the mode; see `aliases`.
        mode: "tune" trains everything; "probe" trains only the head, and the checkpoint contains only the head.
        pretrained: start from the library's weights.
        weights: start from this file instead.
        pooling: "avg", "max", "catavgmax", of timm's transformers also "token" and "map"; None for the backbone's own.
        image_size: side of the images in the default views; None for the size the backbone was trained with.
        dropout: dropout probability of the features.
        normalisation: "clip", "imagenet" or "half" (`contracts.normalisations`); None for the backbone's own.
        unit_features: scale every feature vector to length 1, as CLIP's loss does.
        head_std: standard deviation of the head's initial weights; None for torch's initialisation.
        label_smoothing: ε; targets are ε / 2 and 1 - ε / 2.
        tune: part of the backbone that ``mode=tune`` trains: "all"; "svd", the smallest singular directions of its
            attention matrices (Effort, ICML 2025); or "lora", low-rank adapters of the linear layers in its blocks.
        rank: singular directions of each matrix (None for 1), or rank of the adapters (None for 8).
        alpha: scale of the adapters times their rank: they are scaled by alpha / rank; None for a scale of 1.
        rank_stabilised: scale adapters by alpha / √rank instead.
        tuned_modules: regular expression for names of the layers that get adapters; None for all linear ones in blocks.
        regulariser: weight of Effort's penalty for ``tune=svd``; its paper has 1, its released code 0.
        positions: rule for resampling position embeddings to ``image_size``: "timm", or "dinov2" for that of DINOv2's
            hub code.
        augment: augmentations of training batches on the device, or None.
        train_view: size policy and augmentation of training images; None resizes to ``image_size``.
        eval_view: size policy of evaluated images; None resizes to ``image_size``.
        contrast: fraction c from 0 to 1; the loss is (1 - c) cross-entropy + c times DDA's contrastive term.
        training: see `Detector`; ``channels_last`` is off by default, since only convolutional nets gain from it.

    Raises:
        ConfigError: a value is out of range, or values contradict each other.
        CheckpointError: the backbone's weights cannot be loaded or do not fit.
    """

    graph_outputs = ("logits",)
    net: ClassifierNet

    def __init__(
        self,
        backbone: str,
        mode: str = "tune",
        pretrained: bool = True,
        weights: str | Path | None = None,
        pooling: str | None = None,
        image_size: int | None = None,
        dropout: float = 0.0,
        label_smoothing: float = 0.0,
        normalisation: str | None = None,
        unit_features: bool = False,
        head_std: float | None = None,
        tune: str = "all",
        rank: int | None = None,
        alpha: float | None = None,
        rank_stabilised: bool = False,
        tuned_modules: str | None = None,
        regulariser: float = 0.0,
        contrast: float = 0.0,
        positions: str = "timm",
        augment: DeviceAugment | None = None,
        train_view: View | None = None,
        eval_view: View | None = None,
        **training: Unpack[Training],
    ) -> None:
        named = expanded({"backbone": backbone, "mode": mode, "unit_features": unit_features, "head_std": head_std})
        backbone, mode, unit_features, head_std = (
            named[key] for key in ("backbone", "mode", "unit_features", "head_std")
        )
        if normalisation is not None and normalisation not in NORMALISATIONS:
            raise ConfigError(
                f"detector.normalisation={normalisation!r} is unknown", nearest(normalisation, NORMALISATIONS)
            )
        if mode not in MODES:
            raise ConfigError(f"detector.mode={mode!r} is unknown", nearest(mode, MODES))
        if mode == "probe" and not pretrained and weights is None:
            raise ConfigError(
                "detector.mode=probe with detector.pretrained=false would probe random features, which are not saved",
                "Set detector.pretrained=true, give detector.weights=FILE, or choose detector.mode=tune.",
            )
        if not 0 <= label_smoothing < 1:
            raise ConfigError(f"detector.label_smoothing={label_smoothing}", "Give a number from 0 to below 1.")
        if not 0 <= contrast <= 1:
            raise ConfigError(f"detector.contrast={contrast}", "Give a fraction from 0 to 1.")
        if not 0 <= dropout < 1:
            raise ConfigError(f"detector.dropout={dropout}", "Give a probability from 0 to below 1.")
        tuning = Tuning(tune, rank, alpha, rank_stabilised, tuned_modules, regulariser)
        if mode == "probe" and tune != "all":
            raise ConfigError(f"detector.tune={tune} with detector.mode=probe", "Choose detector.mode=tune.")
        made = create_backbone(backbone, pretrained, weights, pooling, image_size, positions, mode == "probe")
        for name, view in (("train_view", train_view), ("eval_view", eval_view)):
            if view is not None and made.fixed_size and view.square != made.image_size:
                raise ConfigError(
                    f"detector.{name} gives images of side {view.square}, but {made.name} takes {made.image_size}",
                    f"Set detector.image_size={view.square}, or the view's size to {made.image_size}.",
                )
        whole = View(resize=made.image_size)
        super().__init__(train_view or whole, eval_view or whole, **(Training(channels_last=False) | training))
        self.mode, self.tuning, self.positions = mode, tuning, positions
        tuning.apply(made.module, made.name)
        self.label_smoothing, self.contrast = label_smoothing, contrast
        self.augment = augment
        self.record = made
        self.quick_gelu = made.quick_gelu
        self.mean, self.std = NORMALISATIONS[normalisation] if normalisation else (made.mean, made.std)
        self.net = ClassifierNet(made.module, made.feature_dim, dropout, mode == "probe", unit_features, head_std)

    def forward(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W], uint8 or unit-range float32, or features [B, D] of a frozen backbone → logits [B]."""
        if images.ndim == 2:
            return self.net.logits(images)
        return self.net(self.to_memory_format(normalise(images, self.mean, self.std)))  # type: ignore[no-any-return]

    def sides(self) -> Sides:
        """The backbone's minimum size."""
        return Sides() if self.record.fixed_size else Sides(least_side(self.net.backbone))

    def loss(self, batch: Batch) -> Tensor:
        """Smoothed binary cross-entropy of augmented images, mixed with the contrastive term, plus Effort's penalty."""
        images = batch.images
        if self.augment is not None:
            images = self.augment(as_unit_float(images), batch.key[batch.crop_to_image])
        labels = batch.label[batch.crop_to_image]
        if self.contrast:
            images = images if images.ndim == 2 else self._features(images)
        smoothed = labels.float() * (1 - self.label_smoothing) + self.label_smoothing / 2
        loss = F.binary_cross_entropy_with_logits(self(images), smoothed)
        if self.contrast:
            loss = (1 - self.contrast) * loss + self.contrast * pair_contrast(images, labels)
        weight = self.tuning.regulariser
        return loss + weight * penalty(self.net.backbone) if weight else loss

    def score(self, batch: Batch) -> Scores:
        """One logit per crop."""
        return Scores(in_slices(self, batch.images, fours=True))

    def on_load_weights(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Convert a published backbone with a linear head of 1 or 2 outputs; our checkpoints are not changed.

        Raises:
            CheckpointError: the classifier has more outputs, or a probe is given another backbone.
        """
        own = self.net.state_dict()
        self.layout = ""
        if state.keys() == own.keys() and all(state[key].shape == own[key].shape for key in own):
            return state
        frozen = self.net.backbone if isinstance(self.net.backbone, Frozen) else None
        backbone: nn.Module = self.net.backbone if frozen is None else frozen.get_submodule("module")
        _, library, name = find_backbone(self.record.name)
        inside = backbone.state_dict()

        def adapted(part: dict[str, Tensor]) -> dict[str, Tensor]:
            part = from_transformers(part)
            return library.adapt(name, backbone, with_positions(part, backbone) if self.positions == "dinov2" else part)

        found = own_layout(
            self.tuning.translated(state), self.net.head.in_features, library.heads(name), inside, adapted
        )
        if found is None:
            return state
        ours, self.layout = found
        if frozen is None:
            return ours
        head = {key: ours.pop(key) for key in ("head.weight", "head.bias")}
        known = {f"backbone.{key}": value for key, value in inside.items()}
        if any(key not in known or not torch.equal(value, known[key].to(value.dtype)) for key, value in ours.items()):
            raise CheckpointError(
                f"it contains another backbone, and detector.mode=probe uses that of {self.record.name}",
                "Set detector.mode=tune.",
            )
        return head

    def frozen_part(self) -> FrozenPart | None:
        """The backbone of a probe."""
        if self.mode != "probe" or self.augment is not None:
            return None
        settings = {
            "backbone": self.record.name,
            "weights": state_hash(self.net.backbone.get_submodule("module")),
            "mean": list(self.mean),
            "std": list(self.std),
            "unit_features": self.net.unit_features,
            "train_view": repr(self.train_view),
            "eval_view": repr(self.eval_view),
            **self._activation(),
            **({"positions": self.positions} if self.positions != "timm" else {}),
        }
        return FrozenPart(self._features, self.net.head.in_features, settings)

    def _features(self, images: Tensor) -> Tensor:
        self.configure_model()
        return self.net.features(self.to_memory_format(normalise(images, self.mean, self.std)))

    def merged(self) -> dict[str, Tensor]:
        """Weights of the same detector with ``tune=all``: without adapters or split matrices, with its backbone."""
        own = self.net.backbone
        inside = own.get_submodule("module") if isinstance(own, Frozen) else own
        backbone = {f"backbone.{key}": value for key, value in self.tuning.merged(inside).items()}
        return backbone | {f"head.{key}": value for key, value in self.net.head.state_dict().items()}

    def exported(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The arguments of a classifier with ``tune=all``, which needs no file but its checkpoint."""
        left_out = ("rank", "alpha", "rank_stabilised", "tuned_modules", "regulariser", "head_std")
        kept = {key: value for key, value in arguments.items() if key not in left_out}
        own = {"backbone": self.record.name, "mode": "tune", "tune": "all", "unit_features": self.net.unit_features}
        return kept | own | {"pretrained": False, "weights": None}

    @classmethod
    def for_checkpoint(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        """The checkpoint contains a tuned backbone, so its pretrained weights are not needed."""
        if expanded(arguments).get("mode", "tune") == "tune":
            return {**arguments, "pretrained": False, "weights": None}
        return arguments

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Record the backbone that the head was trained on."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["backbone"] = {**_identity(self.record), **self._activation()}

    def check_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Reject a head that was trained on another backbone, and use the activation the checkpoint was trained with.

        Raises:
            CheckpointError: the backbone's name or weights file differs.
        """
        noted, own = checkpoint.get("backbone"), _identity(self.record)
        if not isinstance(noted, Mapping) or "name" not in noted:
            return  # a published checkpoint
        if self.mode == "probe" and {key: noted.get(key) for key in own} != own:
            raise CheckpointError(
                f"the checkpoint's head was trained on backbone {dict(noted)}, this one is {own}",
                "Give the same detector.backbone and detector.weights.",
            )
        if self.quick_gelu and "activation" not in noted:
            replace_quick_gelu(self.net)
            self.quick_gelu = False
            warnings.warn(
                f"the checkpoint was trained with GELU in {self.record.name} by an older version, which ignored that "
                "its weights need QuickGELU; it is used with GELU, as it was trained. Train again to use QuickGELU",
                stacklevel=2,
            )

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Lightning's hook on resuming.

        Raises:
            CheckpointError: as `check_checkpoint`; or the probe was trained on GELU features by an older version.
        """
        before = self.quick_gelu
        super().on_load_checkpoint(checkpoint)
        if self.mode == "probe" and before != self.quick_gelu:  # QuickGELU features may be cached already
            raise CheckpointError(
                f"the probe was trained with GELU in {self.record.name} and would continue with QuickGELU",
                "Start it again under another experiment_id; its finished checkpoints can still be used, with GELU.",
            )

    def _activation(self) -> dict[str, str]:
        """Record of an activation that the backbone's name does not imply."""
        return {"activation": "quick_gelu"} if self.quick_gelu else {}


def _identity(backbone: Backbone) -> dict[str, str | None]:
    return {"name": backbone.name, "sha256": backbone.sha256}
