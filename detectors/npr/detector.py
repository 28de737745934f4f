"""Single-scale NPR (Tan et al., CVPR 2024, arXiv 2312.10461) as a detector."""

from typing import Unpack

import torch.nn.functional as F
from torch import Tensor

from contracts.batch import Batch, as_unit_float
from contracts.errors import ConfigError
from contracts.view import Sides, View
from detectors.base import Detector, Scores, Training
from detectors.npr.net import NPRNet
from detectors.npr.residual import even_size, npr_residual
from detectors.parts.normalise import normalise
from detectors.parts.precision import reference_arithmetic, tf32_only_if_allowed
from detectors.parts.slices import in_slices


def with_arithmetic(training: Training, exact: bool) -> Training:
    """The arguments; if ``exact``, without channels-last order, which changes the order of sums.

    Raises:
        ConfigError: ``exact`` together with ``compile``, which changes it too.
    """
    if exact and training.get("compile"):
        raise ConfigError("detector.exact=true with detector.compile=true", "Choose one: compiling reorders sums.")
    return training | Training(channels_last=False) if exact else training


class NPR(Detector):
    """NPR residual → half a ResNet-50 → one logit, trained with binary cross-entropy.

    Args:
        train_view: size policy and augmentation of training images (published: resize 256, crop 224, flip 0.5).
        eval_view: size policy of evaluated images (published: resize 256 for most tables, native size for others).
        exact: evaluate with the original's arithmetic, operation by operation, in float32; otherwise batch norms are
            folded and images stored channels-last, and logits agree within 1e-5.
        training: see `Detector`; published: `detectors.parts.training.schedules.NPRDecay`, by epoch. ``exact`` excludes
            ``compile`` and ``channels_last``.

    Raises:
        ConfigError: ``exact`` together with ``compile``.
    """

    graph_outputs = ("logits",)
    net: NPRNet

    def __init__(
        self,
        train_view: View,
        eval_view: View,
        exact: bool = False,
        **training: Unpack[Training],
    ) -> None:
        super().__init__(train_view, eval_view, **with_arithmetic(training, exact))
        self.net = NPRNet(exact)

    def forward(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W], uint8 or unit-range float32 → logits [B] float32."""
        return self.net(self.to_memory_format(normalise(images)))  # type: ignore[no-any-return]

    @property
    def map_names(self) -> tuple[str, ...]:
        """Name of the only map (`contracts.explain.Explainable`)."""
        return ("NPR",)

    def artefact_maps(self, images: Tensor) -> Tensor:
        """|NPR| of unit-range images, averaged over channels: [B, 3, H, W] → [B, 1, H', W'], H' and W' even."""
        return npr_residual(even_size(as_unit_float(images))).abs().mean(1, keepdim=True)

    def sides(self) -> Sides:
        """At least 2 pixels: an image without a 2x2 block has no residual."""
        return Sides(2)

    def loss(self, batch: Batch) -> Tensor:
        """Binary cross-entropy of the logits."""
        target = batch.label[batch.crop_to_image].float()
        return F.binary_cross_entropy_with_logits(self(batch.images), target)

    def score(self, batch: Batch) -> Scores:
        """One logit per crop."""
        if self.net.exact:
            with reference_arithmetic(self.device.type):
                return Scores(self(batch.images))
        with tf32_only_if_allowed():
            return Scores(in_slices(self, batch.images))
