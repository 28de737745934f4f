"""An image backbone and a linear head, probed or tuned."""

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
from detectors.base import Detector, FrozenPart, Scores, Training
from detectors.classifier.adapters import Tuning, from_transformers
from detectors.classifier.aliases import expanded
from detectors.classifier.backbones import Backbone, create_backbone, find_backbone, with_positions
from detectors.classifier.device_augment import DeviceAugment
from detectors.classifier.frozen import Frozen, state_hash
from detectors.classifier.quick_gelu import replace_quick_gelu
from detectors.classifier.svd import penalty
from detectors.parts.foreign_heads import own_layout
from detectors.parts.least_side import least_side
from detectors.parts.normalise import normalise
from detectors.parts.precision import linear_float32
from detectors.parts.slices import in_slices

MODES = ("probe", "tune")


class ClassifierNet(nn.Module):
    """Backbone, dropout, and one linear unit.

    Args:
        backbone: normalised images [B, 3, H, W] → features [B, feature_dim].
        feature_dim: length of a feature vector.
        dropout: probability of a feature to be dropped in training.
        frozen: never train the backbone.
        unit_features: scale every feature vector to length 1.
        head_std: standard deviation of the head's first weights; None for torch's own rule.
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
        backbone: ``library/model``, e.g. ``timm/resnet18``; see `backbones`. A name of AI-GenBench's
            (``dinov2_vitl14_tune``, ``RN50_probe``) says the mode, too; see `aliases`.
        mode: "tune" trains everything; "probe" trains the head alone, and the checkpoint holds the head alone.
        pretrained: start from the library's weights.
        weights: start from this file instead.
        pooling: "avg", "max", "catavgmax", of timm's transformers also "token" and "map"; None for the backbone's own.
        image_size: side of the images in the default views; None for the size the backbone was trained with.
        dropout: on the features.
        normalisation: "clip", "imagenet" or "half" (`contracts.normalisations`); None for the backbone's own.
        unit_features: scale every feature vector to length 1, as CLIP's own losses do.
        head_std: standard deviation of the head's first weights; None for torch's own rule.
        label_smoothing: ε; targets become ε / 2 and 1 - ε / 2.
        tune: what ``mode=tune`` trains of the backbone: "all"; "svd", the smallest singular directions of its attention
            matrices (Effort, ICML 2025); or "lora", low-rank adapters of the linear layers in its blocks.
        rank: singular directions of each matrix (None for 1), or rank of the adapters (None for 8).
        alpha: adapters are scaled by alpha / rank; None for a scale of 1.
        rank_stabilised: adapters are scaled by alpha / √rank instead.
        tuned_modules: regular expression for names of the layers that get adapters; None for all linear ones in blocks.
        regulariser: weight of Effort's penalty for ``tune=svd``; its paper has 1, its released code 0.
        positions: rule by which position embeddings are resampled for ``image_size``: "timm", or "dinov2" as the hub
            code of that model does it.
        augment: augmentations of training batches on the device, or None.
        train_view: None resizes to ``image_size``.
        eval_view: None resizes to ``image_size``.
        training: see `Detector`.
        channels_last: keep weights and images in channels-last order; only convolutional nets gain by it.

    Raises:
        ConfigError: values that do not work, alone or together.
        CheckpointError: backbone weights that cannot be had or do not fit.
    """

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
                "detector.mode=probe with detector.pretrained=false would probe random features, and not save them",
                "Set detector.pretrained=true, give detector.weights=FILE, or choose detector.mode=tune.",
            )
        if not 0 <= label_smoothing < 1:
            raise ConfigError(f"detector.label_smoothing={label_smoothing}", "Give a number from 0 to below 1.")
        if not 0 <= dropout < 1:
            raise ConfigError(f"detector.dropout={dropout}", "Give a probability from 0 to below 1.")
        tuning = Tuning(tune, rank, alpha, rank_stabilised, tuned_modules, regulariser)
        if mode == "probe" and tune != "all":
            raise ConfigError(f"detector.tune={tune} with detector.mode=probe", "Choose detector.mode=tune.")
        made = create_backbone(backbone, pretrained, weights, pooling, image_size, positions)
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
        self.label_smoothing = label_smoothing
        self.augment = augment
        self.record = made
        self.quick_gelu = made.quick_gelu
        self.mean, self.std = NORMALISATIONS[normalisation] if normalisation else (made.mean, made.std)
        self.net = ClassifierNet(made.module, made.feature_dim, dropout, mode == "probe", unit_features, head_std)

    def forward(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W], uint8 or unit-range float32, or a frozen backbone's features [B, D] → logits [B]."""
        if images.ndim == 2:
            return self.net.logits(images)
        return self.net(self.to_memory_format(normalise(images, self.mean, self.std)))  # type: ignore[no-any-return]

    def sides(self) -> Sides:
        """What the backbone can take without running out of pixels."""
        return Sides() if self.record.fixed_size else Sides(least_side(self.net.backbone))

    def loss(self, batch: Batch) -> Tensor:
        """Binary cross-entropy with smoothed targets, of augmented images."""
        images = batch.images
        if self.augment is not None:
            images = self.augment(as_unit_float(images), batch.key[batch.crop_to_image])
        target = batch.label[batch.crop_to_image].float()
        smoothed = target * (1 - self.label_smoothing) + self.label_smoothing / 2
        entropy = F.binary_cross_entropy_with_logits(self(images), smoothed)
        weight = self.tuning.regulariser
        return entropy + weight * penalty(self.net.backbone) if weight else entropy

    def score(self, batch: Batch) -> Scores:
        """One logit a crop."""
        return Scores(in_slices(self, batch.images, fours=True))

    def on_load_weights(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """A checkpoint of ours as it is; a published backbone with a linear head of 1 or 2 outputs in our layout.

        Raises:
            CheckpointError: a classifier of more outputs; or a probe is given another backbone.
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
        if frozen is None or len(ours) == 2:
            return ours
        if any(key not in inside or not torch.equal(v, inside[key]) for key, v in _without_head(ours).items()):
            raise CheckpointError(
                f"it brings a backbone of its own, and detector.mode=probe keeps that of {self.record.name}",
                "Set detector.mode=tune.",
            )
        return {key: value for key, value in ours.items() if key.startswith("head.")}

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
        """Weights of the same detector without adapters or split matrices, i.e. with ``tune=all``."""
        backbone = {f"backbone.{key}": value for key, value in self.tuning.merged(self.net.backbone).items()}
        return backbone | {f"head.{key}": value for key, value in self.net.head.state_dict().items()}

    @classmethod
    def for_checkpoint(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        """A tuned backbone comes with the checkpoint, so nothing need be downloaded or read beside it."""
        if expanded(arguments).get("mode", "tune") == "tune":
            return {**arguments, "pretrained": False, "weights": None}
        return arguments

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Note which backbone the head was trained on."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["backbone"] = {**_identity(self.record), **self._activation()}

    def check_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Refuse a head that was trained on another backbone, and keep the activation a checkpoint was trained with.

        Raises:
            CheckpointError: name or weights file of the backbone differ.
        """
        noted, own = checkpoint.get("backbone"), _identity(self.record)
        if not isinstance(noted, Mapping) or "name" not in noted:
            return  # of somebody else
        if self.mode == "probe" and {key: noted.get(key) for key in own} != own:
            raise CheckpointError(
                f"the checkpoint's head was trained on backbone {dict(noted)}, this one is {own}",
                "Give the same detector.backbone and detector.weights.",
            )
        if self.quick_gelu and "activation" not in noted:
            replace_quick_gelu(self.net)
            self.quick_gelu = False
            warnings.warn(
                f"the checkpoint was trained with GELU in {self.record.name}, by a version of ours that did not heed "
                "the QuickGELU of that name's record; it is used as it was trained, train again for QuickGELU",
                stacklevel=2,
            )

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Lightning's hook on resuming.

        Raises:
            CheckpointError: as `check_checkpoint`; or a probe of an older version of ours, trained on features of GELU.
        """
        before = self.quick_gelu
        super().on_load_checkpoint(checkpoint)
        if self.mode == "probe" and before != self.quick_gelu:  # features of QuickGELU may lie in a cache by now
            raise CheckpointError(
                f"the probe was trained with GELU in {self.record.name} and would go on with QuickGELU",
                "Start it anew under another experiment_id; its finished checkpoints are still read, as trained.",
            )

    def _activation(self) -> dict[str, str]:
        """What is noted of a backbone whose activation its name does not say."""
        return {"activation": "quick_gelu"} if self.quick_gelu else {}


def _without_head(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix("backbone."): v for k, v in state.items() if k.startswith("backbone.")}


def _identity(backbone: Backbone) -> dict[str, str | None]:
    return {"name": backbone.name, "sha256": backbone.sha256}
