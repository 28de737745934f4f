"""RINE as a detector; with `benchmark.features` its head trains on cached tokens."""

from typing import Unpack

import torch
import torch.nn.functional as F
from torch import Tensor

from contracts.batch import Batch
from contracts.errors import ConfigError
from contracts.view import View
from detectors.backbones.frozen import Frozen
from detectors.backbones.on_frozen import OfBackbone, OnFrozen
from detectors.backbones.tokens import BlockTokens
from detectors.base import FrozenPart, Scores
from detectors.rine.net import RineNet, supervised_contrast


class RINE(OnFrozen):
    """Class tokens of all blocks of a frozen CLIP tower, projected and weighted by block and channel.

    The tokens are those after the second LayerNorm inside each block, which the released weights expect; the paper's
    figure and text describe the blocks' outputs.

    Args:
        backbone: a vision transformer of open_clip or timm; see `OnFrozen`.
        layers: linear layers of each projection; 4 in the released 1- and 2-class files, 2 in the 4-class file.
        dim: width of the projections; 128 in the released 2-class file, 1024 in the others.
        contrast: weight ξ of the contrastive term, added to the cross-entropy, which is summed over a batch.
        train_view: see `OnFrozen`.
        eval_view: see `OnFrozen`.
        other: see `OnFrozen`.

    Raises:
        ConfigError: a value out of range, or a backbone without such tokens.
    """

    net: RineNet

    def __init__(
        self,
        backbone: str,
        layers: int = 2,
        dim: int = 1024,
        contrast: float = 0.2,
        train_view: View | None = None,
        eval_view: View | None = None,
        **other: Unpack[OfBackbone],
    ) -> None:
        for name, value, least in (("layers", layers, 1), ("dim", dim, 1), ("contrast", contrast, 0)):
            if value < least:
                raise ConfigError(f"detector.{name}={value}", f"Give {least} or more.")
        super().__init__(backbone, train_view, eval_view, **other)
        tokens = BlockTokens(self.record.module, self.record.name).eval()
        with torch.no_grad():
            _, blocks, width = tokens(torch.zeros(1, 3, self.record.image_size, self.record.image_size)).shape
        self.contrast, self.size = contrast, blocks * width
        self.net = RineNet(Frozen(tokens), blocks, width, layers, dim)

    def tokens(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W], or cached tokens [B, n · d], → [B, n, d]."""
        if images.ndim == 2:
            return images.reshape(len(images), self.net.alpha.shape[1], -1)
        tokens: Tensor = self.net.backbone(self.normalised(images))
        return tokens

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy summed over the batch, as published, plus ξ times the contrastive term."""
        labels = batch.label[batch.crop_to_image]
        logits, embeddings = self.net(self.tokens(batch.images))
        entropy = F.binary_cross_entropy_with_logits(logits, labels.float(), reduction="sum")
        return entropy + self.contrast * supervised_contrast(embeddings, labels)

    def score(self, batch: Batch) -> Scores:
        """One logit per crop."""
        return Scores(self.net(self.tokens(batch.images))[0])

    def frozen_part(self) -> FrozenPart:
        """The tokens of all blocks."""
        settings = self.feature_settings("second norm of each block")
        return FrozenPart(lambda images: self.tokens(images).flatten(1), self.size, settings)
