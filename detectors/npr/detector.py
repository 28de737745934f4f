"""Single-scale NPR (Tan et al., CVPR 2024, arXiv 2312.10461) as a detector."""

import torch.nn.functional as F
from torch import Tensor

from contracts.batch import Batch, as_unit_float
from contracts.errors import ConfigError
from contracts.view import Sides, View
from detectors.base import Detector, OptimizerFactory, SchedulerFactory, Scores
from detectors.npr.net import NPRNet
from detectors.npr.residual import even_size, npr_residual
from detectors.parts.normalise import normalise
from detectors.parts.precision import float32_unless_asked, reference_arithmetic
from detectors.parts.slices import in_slices


class NPR(Detector):
    """NPR residual → half a ResNet-50 → one logit, trained with binary cross-entropy.

    Args:
        train_view: size policy and augmentation of a training image (published: resize 256, crop 224, flip 0.5).
        eval_view: size policy of an evaluated image (published: resize 256 for most tables, native size for others).
        exact: evaluate with the original's arithmetic, operation by operation, in float32; else batch norms are folded
            and images kept channels-last, and logits agree within 1e-5.
        optimizer: see `Detector`, as all that follow.
        scheduler: published: `detectors.parts.schedules.NPRDecay`, by epoch.
        scheduler_steps: name of the scheduler's argument for the number of steps.
        scheduler_interval: "step" or "epoch".
        compile: compile the inner net.
        channels_last: keep weights and images in channels-last order; never done where ``exact``.

    Raises:
        ConfigError: ``exact`` together with ``compile``, which re-orders arithmetic.
    """

    net: NPRNet

    def __init__(
        self,
        train_view: View,
        eval_view: View,
        exact: bool = False,
        optimizer: OptimizerFactory | None = None,
        scheduler: SchedulerFactory | None = None,
        scheduler_steps: str | None = None,
        scheduler_interval: str = "step",
        compile: bool = False,  # noqa: A002 - the word torch and its users have for it
        channels_last: bool = True,
    ) -> None:
        if exact and compile:
            raise ConfigError("detector.exact=true with detector.compile=true", "Choose one: compiling re-orders sums.")
        super().__init__(
            train_view,
            eval_view,
            optimizer,
            scheduler,
            scheduler_steps,
            scheduler_interval,
            compile,
            channels_last and not exact,
        )
        self.net = NPRNet(exact)

    def forward(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W], uint8 or unit-range float32 → logits [B] float32."""
        return self.net(self.to_memory_format(normalise(images)))  # type: ignore[no-any-return]

    @property
    def map_names(self) -> tuple[str, ...]:
        """The one residual (`contracts.explain.Explainable`)."""
        return ("NPR",)

    def artefact_maps(self, images: Tensor) -> Tensor:
        """|NPR| of unit-range images, mean over the channels: [B, 3, H, W] → [B, 1, H', W'], both sides even."""
        return npr_residual(even_size(as_unit_float(images))).abs().mean(1, keepdim=True)

    def sides(self) -> Sides:
        """An image without a 2x2 block has no residual."""
        return Sides(2)

    def loss(self, batch: Batch) -> Tensor:
        """Binary cross-entropy of the logits."""
        target = batch.label[batch.crop_to_image].float()
        return F.binary_cross_entropy_with_logits(self(batch.images), target)

    def score(self, batch: Batch) -> Scores:
        """One logit a crop."""
        if self.net.exact:
            with reference_arithmetic(self.device.type):
                return Scores(self(batch.images))
        with float32_unless_asked():
            return Scores(in_slices(self, batch.images))
