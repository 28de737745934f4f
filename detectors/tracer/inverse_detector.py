"""The inverse decoder as a detector: trained with ``task=fit``, and scored by the provenance score."""

import copy
from pathlib import Path
from typing import Any, Literal, Unpack

import torch
from torch import Tensor

from contracts.batch import Batch, as_unit_float
from contracts.errors import ConfigError
from contracts.view import Sides, View
from detectors.base import Detector, Optimisation, Scores
from detectors.tracer.augment import augment, stage_at
from detectors.tracer.measuring.inverse_decoder import (
    TokenizerModel,
    TrainingPair,
    freeze_decoder,
    inverse_loss,
    roundtrip_pair,
)
from detectors.tracer.measuring.provenance import provenance_signals
from detectors.tracer.measuring.zoo import TOKENIZERS, Zoo
from detectors.tracer.models.tokenizer import NO_RESAMPLING, from_unit, to_unit

Target = Literal["generated", "roundtrip"]


class InverseDecoderDetector(Detector):
    """Encoder (and VAR's ``quant_conv``) retrained to invert the frozen decoder.

    Source: Zhao et al., "Data Provenance for Image Auto-Regressive Generation" (2026), equation 5 and Table A2. As a
    detector its logit is minus the logarithm of the provenance score (equation 9): higher means "made by this family".
    ``val/inverse`` is the training loss on validation images; it selects the checkpoint for ``task=trace``.

    Args:
        weights: folder of weight files (`detectors.tracer.measuring.zoo.Zoo`).
        family: ``var`` or ``rar``.
        target: ``generated``: the batch's images were saved by the family's generators and their tokens are known
            (``datamodule=tracer``); ``roundtrip``: any image is encoded, quantised and decoded first.
        staged: augment the encoder's input, more strongly in later epochs (none, weak, medium, strong).
        train_view: must give the tokenizer's image size; by default images are used unchanged.
        eval_view: as ``train_view``.
        training: see `Detector`.
        optimizer: published: Adam, learning rate 5e-5 (VAR) or 5e-4 (RAR).
        scheduler: published: times 0.9 every two epochs.
    """

    net: TokenizerModel
    takes_paired = False

    def __init__(
        self,
        weights: str | Path,
        family: str,
        target: Target = "roundtrip",
        staged: bool = True,
        train_view: View | None = None,
        eval_view: View | None = None,
        **training: Unpack[Optimisation],
    ) -> None:
        if family not in TOKENIZERS:
            raise ConfigError(f"detector.family={family!r} is unknown", "Choose var or rar.")
        if target not in ("generated", "roundtrip"):
            raise ConfigError(f"detector.target={target!r} is unknown", "Choose generated or roundtrip.")
        zoo = Zoo.of(Path(weights).expanduser())
        if family not in zoo.tokenizers:
            raise ConfigError(
                f"detector.weights={weights} holds no {TOKENIZERS[family]}", "Download it to this folder."
            )
        original = zoo.tokenizer(family)
        native = View(crop=original.image_size, fill="error")
        super().__init__(
            train_view or native,
            eval_view or native,
            **(Optimisation(scheduler_interval="epoch") | training),
        )
        self.target = target
        self.staged = staged
        self.net = copy.deepcopy(original)
        freeze_decoder(self.net)
        self._original = [original]  # in a list, since checkpoints must not hold it as a sub-module

    @property
    def original(self) -> TokenizerModel:
        """The tokenizer as published, on this module's device."""
        return self._original[0].to(self.device)

    def sides(self) -> Sides:
        """The tokenizer's own size."""
        return Sides(exact=self.net.image_size, reason=NO_RESAMPLING)

    def loss(self, batch: Batch) -> Tensor:
        """Mean squared error to the features of the clean image."""
        pair = self.pair(batch)
        seen = pair.images
        if self.staged:
            stage = stage_at(self.current_epoch, max(1, self.trainer.max_epochs or 1))
            generator = torch.Generator().manual_seed(int(batch.key[0]))
            unit = to_unit(self.net, pair.images).clamp(0, 1)  # rounding can exceed [0, 1] by one part in 10⁷
            seen = from_unit(self.net, augment(unit, stage, generator))
        return inverse_loss(self.net, pair, seen=self.to_memory_format(seen))

    def pair(self, batch: Batch) -> TrainingPair:
        """Images and the features they were decoded from."""
        x = self.to_memory_format(from_unit(self.net, as_unit_float(batch.images)))
        if self.target == "roundtrip":
            return roundtrip_pair(self.original, x)
        datamodule: Any = self.trainer.datamodule  # type: ignore[attr-defined]  # Lightning does not declare it
        if not hasattr(datamodule, "tokens"):
            raise ConfigError(
                f"{type(datamodule).__name__} has no tokens, which detector.target=generated needs",
                "Choose datamodule=tracer, or detector.target=roundtrip.",
            )
        family = "var" if self.net.value_range[0] < 0 else "rar"
        tokens = torch.from_numpy(datamodule.tokens(batch.row.cpu().numpy(), family)).to(x.device)
        with torch.no_grad():
            return TrainingPair(x, self.net.features(tokens))

    def score(self, batch: Batch) -> Scores:
        """Minus the logarithm of the provenance score; the extras are both losses."""
        x = self.to_memory_format(from_unit(self.net, as_unit_float(batch.images)))
        signals = provenance_signals(self.net, x)
        extras = {"quant_loss": signals.quant_loss, "enc_loss": signals.enc_loss}
        return Scores(-signals.score.clamp_min(1e-20).log(), extras)

    def validation_step(self, batch: Batch | None, batch_idx: int) -> Scores | None:  # type: ignore[override]
        """Logs ``val/inverse``."""
        if batch is not None:
            value = inverse_loss(self.net, self.pair(batch))
            self.log("val/inverse", value, batch_size=len(batch.label), sync_dist=True, prog_bar=True)
        return super().validation_step(batch, batch_idx)
