"""Training-free detection by the drift of features under a perturbation, as a detector."""

import sys
from collections.abc import Sequence
from hashlib import blake2b
from itertools import count, product
from typing import Any, Literal, Unpack, get_args

import numpy as np
import torch
from pytorch_lightning.utilities import rank_zero_info
from torch import Tensor, nn
from torchvision.transforms.v2.functional import InterpolationMode, center_crop, resize_image

from contracts.batch import Batch, as_unit_float
from contracts.errors import ConfigError, DataError, nearest
from contracts.keys import generator, random_key
from contracts.view import View
from contracts.words import counted
from detectors.backbones.frozen import Frozen
from detectors.backbones.on_frozen import OfBackbone, OnFrozen
from detectors.backbones.tokens import AllTokens
from detectors.base import Scores
from detectors.drift.choice import Choice, choose
from detectors.drift.perturbations import (
    blurred,
    haar_high_band,
    mean_feature_similarity,
    noisy,
    patches,
    sharpened,
    similarity,
    token_similarity,
)  # fmt: skip
from detectors.parts.passes import FittedOnce, measured

Kind = Literal["noise", "blur", "minimum", "haar"]
Statistic = Literal["cosine", "token_norm", "mean_feature"]


class DriftNet(nn.Module):
    """A frozen backbone and what was fitted: index of the strength, and sign, centre and spread of the logit."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = Frozen(backbone)
        self.register_buffer("chosen", torch.tensor(0))
        self.register_buffer("line", torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64))


class Drift(OnFrozen, FittedOnce):
    """Distance of a frozen backbone's features before and after a perturbation.

    ``task=fit`` trains nothing: one pass over the validation images measures every strength, and keeps the one whose
    AUROC is farthest from one half, with its sign, since which class moves farther changes with the strength. All
    AUROCs are printed and kept in the checkpoint with their intervals. The logit is the distance in standard
    deviations from its mean on those images, with that sign.

    Args:
        backbone: see `OnFrozen`.
        kind: ``noise`` (RIGID), ``blur``, ``minimum`` of both (MINDER) or ``haar`` (WaRPAD).
        strengths: candidate standard deviations of the noise on the unit range, or shares of the Haar band removed.
        blur_strengths: candidate standard deviations of the blur in pixels.
        draws: number of noise images that the distance or feature is averaged over.
        statistic: ``cosine`` of the pooled features; ``token_norm``: norm of the cosines of all tokens;
            ``mean_feature``: cosine with the mean of the noisy features. The last two are for ``kind=noise``.
        noise_key: the noise belongs to the ``id`` of an image, or to its ``pixels``, so that copies get equal scores.
        perturb_side: perturb images of this size, then shrink them as RIGID's authors' processors do (shorter side
            to 8/7 of the backbone's, bicubic, central crop), which weakens the noise; None perturbs at the
            backbone's own size.
        train_view: see `OnFrozen`.
        eval_view: None resizes to ``perturb_side`` or the backbone's size; for ``haar`` to 4 times that, bicubic.
        other: see `OnFrozen`.

    Raises:
        ConfigError: an unknown name or a value out of range.
    """

    net: DriftNet
    takes_paired = False

    def __init__(
        self,
        backbone: str,
        kind: Kind = "noise",
        strengths: Sequence[float] = (0.05,),
        blur_strengths: Sequence[float] = (0.55,),
        draws: int = 1,
        statistic: Statistic = "cosine",
        noise_key: Literal["id", "pixels"] = "id",
        perturb_side: int | None = None,
        train_view: View | None = None,
        eval_view: View | None = None,
        **other: Unpack[OfBackbone],
    ) -> None:
        for name, word, known in (
            ("kind", kind, get_args(Kind)),
            ("statistic", statistic, get_args(Statistic)),
            ("noise_key", noise_key, ("id", "pixels")),
        ):
            if word not in known:
                raise ConfigError(f"detector.{name}={word!r} is unknown", nearest(word, known))
        for name, values in (("strengths", strengths), ("blur_strengths", blur_strengths)):
            least = 0 if name == "strengths" else sys.float_info.min
            if not values or not all(least <= value < float("inf") for value in values):
                raise ConfigError(f"detector.{name}={list(values)}", "Give at least one positive number.")
        if draws < 1:
            raise ConfigError(f"detector.draws={draws}", "Give 1 or more.")
        if statistic != "cosine" and kind != "noise":
            raise ConfigError(
                f"detector.statistic={statistic} with detector.kind={kind}", "Choose detector.kind=noise."
            )
        if perturb_side is not None and kind == "haar":
            raise ConfigError("detector.perturb_side with detector.kind=haar", "Leave detector.perturb_side out.")
        super().__init__(backbone, train_view, eval_view, **other)
        module = self.record.module
        self.side = self.record.image_size
        if kind == "haar" and self.side % 4:
            raise ConfigError(f"detector.image_size={self.side} with detector.kind=haar", "Give a multiple of 4.")
        if eval_view is None:
            wide = View(resize=4 * self.side, interpolation="bicubic")
            self.eval_view = wide if kind == "haar" else View(resize=perturb_side or self.side)
        self.kind, self.statistic, self.noise_key, self.draws = kind, statistic, noise_key, draws
        self.perturb_side = perturb_side
        first: Sequence[float] = strengths if kind != "blur" else (0.0,)
        second: Sequence[float] = blur_strengths if kind in ("blur", "minimum") else (0.0,)
        self.candidates = [(float(a), float(b)) for a, b in product(first, second)]
        self.net = DriftNet(AllTokens(module, self.record.name) if statistic == "token_norm" else module)
        self.fitted: Choice | None = None

    def features(self, unit: Tensor) -> Tensor:
        """Images [B, 3, H, W] on the unit range → features [B, D], or tokens [B, T, D]."""
        if self.perturb_side is not None:
            unit = resize_image(unit, [round(self.side * 8 / 7)], InterpolationMode.BICUBIC, antialias=True)
            unit = center_crop(unit, [self.side, self.side])
        features: Tensor = self.net.backbone(self.normalised(unit))
        return features

    def distances(self, images: Tensor, keys: Sequence[int], strengths: Sequence[tuple[float, float]]) -> Tensor:
        """Distances [B, strengths] float64 of images [B, 3, H, W]; higher means that features move farther.

        Args:
            images: uint8, or float32 on the unit range.
            keys: the noise key of each image.
            strengths: strengths of noise or band, and of the blur.
        """
        unit = as_unit_float(images)
        if self.kind == "haar":
            return torch.stack([self._haar(unit, level) for level, _ in strengths], 1)
        before = self.features(unit) if self.kind != "blur" else None
        found = []
        for sigma, blur in strengths:
            both = [] if before is None else [self._noise(unit, before, keys, sigma)]
            both += [self._blur(unit, blur)] if self.kind != "noise" else []
            found.append(torch.stack(both).amin(0))
        return torch.stack(found, 1)

    def _noise(self, unit: Tensor, before: Tensor, keys: Sequence[int], sigma: float) -> Tensor:
        after = torch.stack([self.features(noisy(unit, self._noises(unit, keys, d), sigma)) for d in range(self.draws)])
        if self.statistic == "mean_feature":
            return 1 - mean_feature_similarity(before, after)
        if self.statistic == "token_norm":
            return torch.stack([1 - token_similarity(before, one) / before.shape[1] ** 0.5 for one in after]).mean(0)
        return (1 - similarity(before, after)).mean(0)

    def _noises(self, unit: Tensor, keys: Sequence[int], draw: int) -> Tensor:
        shape = unit.shape[1:]
        each = [generator(key, f"drift/{draw}").standard_normal(shape, dtype=np.float32) for key in keys]
        return torch.from_numpy(np.stack(each)).to(unit.device)

    def _blur(self, unit: Tensor, sigma: float) -> Tensor:
        blur = blurred(unit, sigma)
        return 1 - similarity(self.features(blur), self.features(sharpened(unit, blur)))

    def _haar(self, unit: Tensor, level: float) -> Tensor:
        cut = patches(self.normalised(unit), self.side)
        each = cut.flatten(0, 1)
        moved = similarity(self.net.backbone(each), self.net.backbone(each - level * haar_high_band(each)))
        return 1 - moved.reshape(cut.shape[:2]).mean(1)

    def keys(self, batch: Batch) -> list[int]:
        """The noise key of every crop, derived from the image's id and the crop's number, or from the crop's pixels."""
        if self.noise_key == "pixels":
            pixels = [image.cpu().contiguous().numpy().tobytes() for image in batch.images]
            return [random_key(blake2b(one).hexdigest()) for one in pixels]
        numbers = {image: count() for image in batch.crop_to_image.tolist()}
        of = batch.key.tolist()
        return [random_key(of[image], f"crop{next(numbers[image])}") for image in batch.crop_to_image.tolist()]

    def score(self, batch: Batch) -> Scores:
        """One logit per crop; the distance is a column of the dump."""
        chosen = self.candidates[int(self.net.get_buffer("chosen"))]
        distance = self.distances(batch.images, self.keys(batch), [chosen])[:, 0]
        sign, centre, spread = self.net.get_buffer("line")
        return Scores((sign * (distance - centre) / spread).float(), {"distance": distance.float()})

    def on_train_start(self) -> None:
        """Chooses strength and sign on the validation images.

        Raises:
            DataError: they all belong to one class.
        """
        loader = self.trainer.datamodule.val_dataloader()  # type: ignore[attr-defined]
        distances, labels = measured(
            self.trainer, loader, lambda batch: self.distances(batch.images, self.keys(batch), self.candidates)
        )
        choice = choose(distances.numpy(), labels.numpy(), self.candidates)
        if choice is None:
            raise DataError("the validation images all belong to one class", "detector=drift needs both.")
        self.fitted = choice
        self.net.get_buffer("chosen").fill_(choice.index)
        self.net.get_buffer("line").copy_(torch.tensor([choice.sign, choice.centre, choice.spread]))
        rank_zero_info(f"{type(self).__name__} on {counted(len(labels), 'validation image')}:\n{choice}")

    def on_validation_epoch_end(self) -> None:
        """Logs the chosen strength's AUROC before its sign is applied, and the ends of its interval."""
        if self.fitted is not None and self.trainer.training:
            one = self.fitted.judged[self.fitted.index]
            self.log("val/drift_auroc", one.auroc)
            self.log("val/drift_auroc_low", one.low)
            self.log("val/drift_auroc_high", one.high)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Also stores all AUROCs and intervals."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["drift"] = {"kind": self.kind, "fitted": self.fitted.plain() if self.fitted else None}
