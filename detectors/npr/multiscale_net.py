"""NPR residuals at several scales, with one branch per scale, fused by attention.

State-dict keys are those of the multi-scale extension of NPR (192 entries, 2,088,260 parameters with three scales) and
``scales``.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contracts.errors import CheckpointError, ConfigError
from detectors.npr.fold import Shortcut, conv_bn
from detectors.npr.net import initialise
from detectors.npr.residual import scale_residual
from detectors.parts.precision import linear_float32, row_by_row


class BasicBlock(nn.Module):
    """ResNet basic block: two 3x3 convolutions, the first with the stride.

    Args:
        inputs: channels in.
        outputs: channels out.
        stride: stride of the first convolution and the shortcut.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = Shortcut(inputs, outputs, stride) if stride != 1 or inputs != outputs else None

    def forward(self, x: Tensor, fold: bool) -> Tensor:
        """[B, inputs, H, W] → [B, outputs, H / stride, W / stride]."""
        skip = x if self.downsample is None else self.downsample(x, fold)
        x = conv_bn(x, self.conv1, self.bn1, fold, relu=True)
        return conv_bn(x, self.conv2, self.bn2, fold, relu=True, skip=skip)


class ResidualBranch(nn.Module):
    """3x3 stem, two stages of two basic blocks, average pooling and a projection.

    Args:
        feature_dim: length of the feature vector.
        exact: the original's arithmetic, operation by operation, without folding.
    """

    def __init__(self, feature_dim: int, exact: bool) -> None:
        super().__init__()
        self.exact = exact
        self.conv1 = nn.Conv2d(3, 64, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = nn.ModuleList([BasicBlock(64, 64), BasicBlock(64, 64)])
        self.layer2 = nn.ModuleList([BasicBlock(64, 128, stride=2), BasicBlock(128, 128)])
        self.feature_proj = nn.Linear(128, feature_dim)
        initialise(self)

    def forward(self, residual: Tensor) -> Tensor:
        """Scaled residual [B, 3, H, W] → features [B, feature_dim]."""
        fold = not self.exact
        x = conv_bn(residual, self.conv1, self.bn1, fold, relu=True)
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        for block in (*self.layer1, *self.layer2):
            x = block(x, fold)
        return row_by_row(self.feature_proj, F.adaptive_avg_pool2d(x, 1).flatten(1))


class AttentionFusion(nn.Module):
    """Weights of the scales from all their features: Linear, ReLU, dropout, Linear, softmax.

    Args:
        feature_dim: length of a scale's feature vector.
        scales: number of scales.
        reduction: the hidden layer has ``feature_dim // reduction`` units.
        dropout: dropout probability in the hidden layer.
    """

    def __init__(self, feature_dim: int, scales: int, reduction: int, dropout: float) -> None:
        super().__init__()
        hidden = feature_dim // reduction
        self.attention_net = nn.Sequential(
            nn.Linear(feature_dim * scales, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, scales)
        )

    def forward(self, features: Tensor) -> Tensor:
        """[B, S, feature_dim] → [B, S], non-negative, with sum 1."""
        return torch.softmax(row_by_row(self.attention_net, features.flatten(1)), dim=1)


class Fused(NamedTuple):
    """Output of the net for B images at S scales: ``logits`` [B] and ``attention`` [B, S], both float32."""

    logits: Tensor
    attention: Tensor


class MultiScaleNet(nn.Module):
    """Residual at each scale → branch → attention-weighted sum of features → logit.

    Args:
        scales: distinct factors in (0, 1).
        branches: one per scale, scaled residual [B, 3, H, W] → [B, feature_dim].
        feature_dim: length of a branch's feature vector.
        reduction: see `AttentionFusion`.
        dropout: see `AttentionFusion`.
        residual_fusion: add the mean of the features, times a learnt weight that starts at 1, to their weighted sum.
            (The extension's sketch multiplies its base by 1 - Σ softmax, which is 0.)
    """

    scales: Tensor
    classifier: nn.Linear

    def __init__(
        self,
        scales: Sequence[float],
        branches: Sequence[nn.Module],
        feature_dim: int,
        reduction: int,
        dropout: float,
        residual_fusion: bool = False,
    ) -> None:
        super().__init__()
        self.factors = tuple(float(scale) for scale in scales)
        self.register_buffer("scales", torch.tensor(self.factors, dtype=torch.float64))
        self.feature_branches = nn.ModuleList(branches)
        self.attention_fusion = AttentionFusion(feature_dim, len(branches), reduction, dropout)
        self.classifier = nn.Linear(feature_dim, 1)
        self.residual_weight = nn.Parameter(torch.ones(())) if residual_fusion else None
        self.register_load_state_dict_pre_hook(_check_scales)  # type: ignore[no-untyped-call]

    def forward(self, images: Tensor) -> Fused:
        """Normalised images [B, 3, H, W] float32 of any size → logits and attention."""
        return self.fuse(self.features(images))

    def features(self, images: Tensor) -> Tensor:
        """Normalised images → features [B, S, feature_dim]."""
        pairs = zip(self.factors, self.feature_branches, strict=True)
        return torch.stack([branch(scale_residual(images, s) * (2.0 / 3.0)) for s, branch in pairs], dim=1)

    def fuse(self, features: Tensor) -> Fused:
        """[B, S, feature_dim] → logits and attention, float32 for features of any precision."""
        with torch.autocast(features.device.type, enabled=False):
            features = features.to(self.classifier.weight.dtype)
            attention = self.attention_fusion(features)
            fused = (features * attention.unsqueeze(2)).sum(1)
            if self.residual_weight is not None:
                fused = fused + self.residual_weight * features.mean(1)
            logits = linear_float32(fused, self.classifier)
        return Fused(logits.squeeze(1), attention.float())


def check_scales(scales: Sequence[float]) -> None:
    """Check the scales.

    Raises:
        ConfigError: the list is empty, or has a value outside (0, 1) or one twice.
    """
    bad = [scale for scale in scales if not 0 < scale < 1]
    if not scales or bad or len(set(scales)) < len(scales):
        raise ConfigError(
            f"detector.scales={list(scales)}" + (f" holds {bad[0]:g}" if bad else ""),
            "Give different factors between 0 and 1, e.g. [0.25,0.5,0.75].",
        )


def _check_scales(net: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Before loading: stored scales must equal ours; the extension stores none, so ours are added."""
    own = net.get_buffer("scales")
    stored = state.setdefault(f"{prefix}scales", own)
    refuse_other_scales(stored, own)


def refuse_other_scales(stored: Tensor, own: Tensor) -> None:
    """Check that stored scales are the net's own: a branch is useless at another scale.

    Raises:
        CheckpointError: number, values or order differ.
    """
    # the tolerance accepts scales that were converted to bfloat16
    if stored.shape != own.shape or not torch.allclose(stored.double().cpu(), own.double().cpu(), atol=1e-2):
        theirs, ours = (",".join(f"{scale:g}" for scale in scales.tolist()) for scales in (stored, own))
        raise CheckpointError(
            f"the checkpoint was trained with scales [{theirs}], detector.scales is [{ours}]",
            f"Set detector.scales=[{theirs}].",
        )
