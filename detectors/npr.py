"""Single-scale NPR (Tan et al., CVPR 2024, arXiv 2312.10461) as a detector."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from contracts.batch import Batch
from contracts.errors import ConfigError
from contracts.view import View
from detectors.base import Detector, Scores
from detectors.normalise import normalise
from detectors.npr_net import NPRNet
from detectors.precision import float32_unless_asked, reference_arithmetic


class NPR(Detector):
    """NPR residual → half a ResNet-50 → one logit, trained with binary cross-entropy.

    Args:
        train_view: size policy and augmentation of a training image (published: resize 256, crop 224, flip 0.5).
        eval_view: size policy of an evaluated image (published: resize 256 for most tables, native size for others).
        exact: evaluate with the original's arithmetic, operation by operation, in float32; else batch norms are folded
            and images kept channels-last, and logits agree within 1e-5.
        **training: optimiser, scheduler, ``compile`` and ``channels_last`` of `detectors.base.Detector`.

    Raises:
        ConfigError: ``exact`` together with ``compile``, which re-orders arithmetic.
    """

    net: NPRNet

    def __init__(self, train_view: View, eval_view: View, exact: bool = False, **training: Any) -> None:
        if exact and training.get("compile"):
            raise ConfigError("detector.exact=true with detector.compile=true", "Choose one: compiling re-orders sums.")
        if exact:
            training["channels_last"] = False
        super().__init__(train_view, eval_view, **training)
        self.net = NPRNet(exact)

    def forward(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W], uint8 or unit-range float32 → logits [B] float32."""
        normalised = normalise(images)
        if self.channels_last:
            normalised = normalised.contiguous(memory_format=torch.channels_last)
        return self.net(normalised)  # type: ignore[no-any-return]

    def loss(self, batch: Batch) -> Tensor:
        """Binary cross-entropy of the logits."""
        target = batch.label[batch.crop_to_image].float()
        return F.binary_cross_entropy_with_logits(self(batch.images), target)

    def score(self, batch: Batch) -> Scores:
        """One logit a crop."""
        with reference_arithmetic(self.device.type) if self.net.exact else float32_unless_asked():
            return Scores(self(batch.images))
