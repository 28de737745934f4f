"""Multi-scale attention NPR as a detector."""

import warnings
from collections.abc import Sequence
from itertools import count
from typing import Unpack

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contracts.batch import Batch, as_unit_float
from contracts.errors import CheckpointError, ConfigError
from contracts.view import Sides, View
from detectors.backbones.backbones import create_backbone
from detectors.base import Detector, Scores, Training
from detectors.npr.detector import with_arithmetic
from detectors.npr.multiscale_net import Fused, MultiScaleNet, ResidualBranch, check_scales, refuse_other_scales
from detectors.npr.residual import scale_residual
from detectors.parts.least_side import least_side
from detectors.parts.normalise import normalise
from detectors.parts.precision import reference_arithmetic, tf32_only_if_allowed
from detectors.parts.slices import slices


class NPRMultiScale(Detector):
    """NPR residuals at several scales, with one branch per scale, fused by attention.

    Args:
        train_view: size policy and augmentation of training images.
        eval_view: size policy of evaluated images; any size works.
        scales: factors in (0, 1); (0.25, 0.5, 0.75) in the extension.
        branch: backbone of every branch, by its name in `backbones`; None for the extension's small ResNet.
        pretrained: start backbones from their library's weights.
        feature_dim: length of a branch's feature vector.
        reduction: divisor: the attention's hidden layer has ``feature_dim // reduction`` units.
        dropout: dropout probability in the attention's hidden layer.
        entropy_weight: w in the loss, cross-entropy - w · H, where H is the mean entropy of the attention in nats.
            w > 0 favours equal weights, w < 0 a single scale. (The extension offers 0.01 against equal weights, which
            has the opposite effect.)
        residual_fusion: add the mean of all features, with a learnt weight, to their weighted sum.
        exact: evaluate with the original's arithmetic in float32; otherwise batch norms are folded.
        training: see `Detector`; ``exact`` excludes ``compile`` and ``channels_last``.

    Raises:
        ConfigError: scales outside (0, 1), a hidden layer without units, or ``exact`` together with ``compile``.
    """

    net: MultiScaleNet

    graph_outputs = ("logits", "attention")

    def __init__(
        self,
        train_view: View,
        eval_view: View,
        scales: Sequence[float] = (0.25, 0.5, 0.75),
        branch: str | None = None,
        pretrained: bool = False,
        feature_dim: int = 128,
        reduction: int = 4,
        dropout: float = 0.1,
        entropy_weight: float = 0.0,
        residual_fusion: bool = False,
        exact: bool = False,
        **training: Unpack[Training],
    ) -> None:
        check_scales(scales)
        if reduction < 1 or feature_dim // reduction < 1:
            raise ConfigError(
                f"detector.reduction={reduction} leaves no hidden unit of detector.feature_dim={feature_dim}",
                f"Give a reduction from 1 to {feature_dim}.",
            )
        super().__init__(train_view, eval_view, **with_arithmetic(training, exact))
        self.exact = exact
        self.entropy_weight = entropy_weight
        branches = [make_branch(branch, pretrained, feature_dim, exact, eval_view.square) for _ in scales]
        self.net = MultiScaleNet(scales, branches, feature_dim, reduction, dropout, residual_fusion)

    def forward(self, images: Tensor) -> Fused:
        """Images [B, 3, H, W], uint8 or unit-range float32 → logits [B] and attention [B, S], float32."""
        return self.net(self.to_memory_format(normalise(images)))  # type: ignore[no-any-return]

    @property
    def map_names(self) -> tuple[str, ...]:
        """The scales, as names of the maps (`contracts.explain.Explainable`)."""
        return tuple(f"{scale:g}x" for scale in self.net.factors)

    def artefact_maps(self, images: Tensor) -> Tensor:
        """|residual| of unit-range images at each scale, averaged over channels: [B, 3, H, W] → [B, S, H, W]."""
        images = as_unit_float(images)
        return torch.stack([scale_residual(images, scale).abs().mean(1) for scale in self.net.factors], dim=1)

    def sides(self) -> Sides:
        """At least one pixel at the smallest scale, and the minimum size of every branch."""
        smallest = min(self.net.factors)
        least = next(side for side in count(1) if int(side * smallest) >= 1)
        return Sides(max(least, *(least_side(branch) for branch in self.net.feature_branches)))

    def loss(self, batch: Batch) -> Tensor:
        """Binary cross-entropy of the logits minus the weighted entropy of the attention."""
        return self._losses(batch)[0]

    def _losses(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Loss and attention [B, S]."""
        out = self(batch.images)
        loss = F.binary_cross_entropy_with_logits(out.logits, batch.label[batch.crop_to_image].float())
        if self.entropy_weight != 0:
            loss = loss - self.entropy_weight * entropy(out.attention).mean()
        return loss, out.attention.detach()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:  # noqa: ARG002 - Lightning's signature
        """The loss, logged with the mean attention of each scale and its entropy."""
        loss, attention = self._losses(batch)
        if self.paired is not None:
            loss = loss + self.paired(self, batch)
        count = len(batch.label)
        self.log("train/loss", loss, prog_bar=True, batch_size=count)
        means = {f"train/attention_{s:g}": a for s, a in zip(self.net.factors, attention.mean(0), strict=True)}
        self.log_dict({**means, "train/attention_entropy": entropy(attention).mean()}, batch_size=count)
        return loss

    def score(self, batch: Batch) -> Scores:
        """One logit per crop, and ``attention`` [B, S]."""
        with reference_arithmetic(self.device.type) if self.exact else tf32_only_if_allowed():
            parts = [self(part) for part in ((batch.images,) if self.exact else slices(batch.images))]
        logits, attention = map(torch.cat, zip(*parts, strict=True))
        return Scores(logits, {"attention": attention})

    def on_load_weights(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Add our scales to weights of the extension, which stores none, if their number agrees.

        Raises:
            CheckpointError: the checkpoint has other scales, or another number of them.
        """
        own = self.net.scales
        if "scales" in state:
            refuse_other_scales(state["scales"], own)
            return state
        count = len({key.split(".")[1] for key in state if key.startswith("feature_branches.")})
        if 0 < count != len(own):
            raise CheckpointError(
                f"the checkpoint has {count} branches, detector.scales={own.tolist()} has {len(own)}",
                "Give the scales it was trained with, in their order; the file does not contain them.",
            )
        return {**state, "scales": own}


def entropy(attention: Tensor) -> Tensor:
    """Entropy in nats of each row of weights [B, S] → [B]; from 0 (one scale) to log S (equal weights)."""
    terms: Tensor = torch.special.entr(attention)
    return terms.sum(1)


def make_branch(name: str | None, pretrained: bool, feature_dim: int, exact: bool, image_size: int | None) -> nn.Module:
    """A branch: the extension's small ResNet, or a backbone with a linear projection to ``feature_dim``."""
    if name is None:
        if pretrained:
            warnings.warn("detector.pretrained=true has no effect without detector.branch", stacklevel=2)
        return ResidualBranch(feature_dim, exact)
    made = create_backbone(name, pretrained, image_size=image_size)
    return nn.Sequential(made.module, nn.Linear(made.feature_dim, feature_dim))
