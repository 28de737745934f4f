"""Detectors on residuals of small filters: a front end and a small network, chosen by name."""

from collections.abc import Mapping
from typing import Any, Unpack, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contracts.batch import Batch, as_unit_float
from contracts.errors import ConfigError, nearest
from contracts.normalisations import NORMALISATIONS
from contracts.view import Sides, View
from detectors.base import Detector, Scores, Training
from detectors.npr.detector import with_arithmetic
from detectors.parts.least_side import least_side
from detectors.parts.normalise import normalise
from detectors.parts.precision import reference_arithmetic, tf32_only_if_allowed
from detectors.parts.slices import in_slices
from detectors.residual.bodies import make_body
from detectors.residual.front_ends import make_front_end
from detectors.residual.patch_nets import PatchNet

UNIT = "unit"  # Name of the normalisation that leaves images on the unit range


class Residual(Detector):
    """Normalised image → front end → body → logit, trained with binary cross-entropy.

    Published detectors are presets: SAFE (``dwt_hh``, ``safe``), FerretNet (``median``, ``ferretnet``), LaDeDa and its
    tiny student (``npr`` or ``gradient``, ``ladeda`` or ``tiny_ladeda``), FreqNet (``fft_high_pass``, ``freqnet``) and
    NPR (``npr``, ``npr``, with two_thirds). Their released checkpoints load by their own keys.

    Args:
        train_view: size policy and augmentation of a training image.
        eval_view: size policy of an evaluated image.
        front_end: ``raw``, ``npr``, ``dwt_hh``, ``median``, ``gradient``, ``srm``, ``fft_high_pass`` or ``bit_planes``.
        body: ``npr``, ``safe``, ``ferretnet``, ``ladeda``, ``tiny_ladeda`` or ``freqnet``.
        front_end_options: arguments of the front end, such as {window: 5} of ``median``; see `front_ends`.
        body_options: arguments of the body, such as {width: 32} of ``ferretnet``; see `bodies`.
        normalisation: ``imagenet``, ``clip``, ``half`` (`contracts.normalisations`), or ``unit`` for the unit range.
        two_thirds: multiply the front end's output by 2/3, as NPR and the weights derived from it need.
        exact: evaluate with the originals' arithmetic in float32; else batch norms are folded and images kept
            channels-last, and logits agree within 5e-5.
        label_smoothing: ε; targets become ε / 2 and 1 - ε / 2.
        training: see `Detector`; ``exact`` excludes ``compile`` and ``channels_last``.

    Raises:
        ConfigError: an unknown name, an option that a part does not have, or a value out of range.
    """

    graph_outputs = ("logits",)

    def __init__(
        self,
        train_view: View,
        eval_view: View,
        front_end: str = "npr",
        body: str = "npr",
        front_end_options: Mapping[str, Any] | None = None,
        body_options: Mapping[str, Any] | None = None,
        normalisation: str = "imagenet",
        two_thirds: bool = False,
        exact: bool = False,
        label_smoothing: float = 0.0,
        **training: Unpack[Training],
    ) -> None:
        super().__init__(train_view, eval_view, **with_arithmetic(training, exact))
        if normalisation not in (UNIT, *NORMALISATIONS):
            raise ConfigError(
                f"detector.normalisation={normalisation!r} is unknown", nearest(normalisation, (UNIT, *NORMALISATIONS))
            )
        if not 0 <= label_smoothing < 1:
            raise ConfigError(f"detector.label_smoothing={label_smoothing}", "Give a number from 0 to below 1.")
        self.front_end = make_front_end(front_end, front_end_options)
        if self.front_end.needs_unit and normalisation != UNIT:
            raise ConfigError(
                f"detector.front_end={front_end} with detector.normalisation={normalisation}",
                f"Set detector.normalisation={UNIT}.",
            )
        self.net = make_body(body, body_options, self.front_end.channels, exact)
        self.exact = exact
        self.front_end_name = front_end
        self.normalisation = NORMALISATIONS.get(normalisation)
        self.two_thirds = two_thirds
        self.label_smoothing = label_smoothing

    def forward(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W], uint8 or unit-range float32 → logits [B] float32."""
        return cast(Tensor, self.net(self.residual(images)))

    def residual(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W], uint8 or unit-range float32 → the body's input, [B, channels, H', W']."""
        unit = as_unit_float(images)
        normalised = unit if self.normalisation is None else normalise(images, *self.normalisation)
        left = self.front_end(normalised)
        if self.two_thirds:
            left = left * 2.0 / 3.0  # not 2/3 in one factor, which differs in the last bit
        return self.to_memory_format(left)

    def sides(self) -> Sides:
        """At least the smallest side with which front end and body run."""
        return Sides(least_side(nn.Sequential(self.front_end, self.net)))

    def loss(self, batch: Batch) -> Tensor:
        """Binary cross-entropy with smoothed targets; for a body with two outputs this equals their cross-entropy."""
        target = batch.label[batch.crop_to_image].float()
        smoothed = target * (1 - self.label_smoothing) + self.label_smoothing / 2
        return F.binary_cross_entropy_with_logits(self(batch.images), smoothed)

    def score(self, batch: Batch) -> Scores:
        """One logit per crop."""
        if self.exact:
            with reference_arithmetic(self.device.type):
                return Scores(self(batch.images))
        with tf32_only_if_allowed():
            return Scores(in_slices(self, batch.images))

    map_unit = "logit of a patch"

    @torch.no_grad()
    def maps(self, image: Tensor) -> dict[str, Tensor]:
        """``patches`` [H, W]: at every pixel, the logit of the patch whose centre is nearest; their mean is the score.

        Raises:
            ConfigError: the body pools features before its last layer.
        """
        if not isinstance(self.net, PatchNet):
            return super().maps(image)
        with tf32_only_if_allowed():
            found = self.net.score_map(self.residual(image[None].to(self.device)))[0].cpu()
        centre = (self.net.patch - 1) / 2
        rows, columns = (
            ((torch.arange(side) - centre) / self.net.step).round().long().clamp(0, units - 1)
            for side, units in zip(image.shape[-2:], found.shape, strict=True)
        )
        return {"patches": found[rows][:, columns]}

    @property
    def map_names(self) -> tuple[str, ...]:
        """The front end's output (`contracts.explain.Explainable`)."""
        return (self.front_end_name,)

    def artefact_maps(self, images: Tensor) -> Tensor:
        """|front end's output| of unit-range images, mean over the channels: [B, 3, H, W] → [B, 1, H', W']."""
        left: Tensor = self.front_end(as_unit_float(images))
        return left.abs().mean(1, keepdim=True)
