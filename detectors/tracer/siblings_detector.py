"""The detector of ``experiment=tracer_toy``, which trains small siblings with ``task=fit``."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Unpack

import torch
from torch import Tensor

from contracts.batch import Batch, as_unit_float
from contracts.errors import ConfigError
from contracts.view import View
from detectors.base import Detector, Optimisation, Scores
from detectors.tracer.measuring.zoo import save_zoo
from detectors.tracer.siblings import Sibling, Siblings
from detectors.tracer.training import LABEL_DROP, random_order_share


class SiblingsDetector(Detector):
    """Trains the decoders first, then all variants together on the tokens of the frozen tokenizers.

    The class label of an image is its generator's number in the data set (0 for a real image). The score is the largest
    mean log-likelihood of any sibling, which is at chance level for images that none of them made, as it should be.

    Args:
        siblings: name → ``{family, depth, width, sampling}``.
        train_view: must give ``16 * side`` pixels; without randomness, tokens are computed once per image.
        eval_view: must also give ``16 * side`` pixels.
        side: grid of the finest tokens.
        codebook: number of codes of each tokenizer.
        classes: number of class labels.
        tokenizer_epochs: epochs in which the decoders are trained.
        training: see `Detector`.
    """

    net: Siblings
    takes_paired = False

    def __init__(
        self,
        siblings: Mapping[str, Mapping[str, Any]],
        train_view: View,
        eval_view: View,
        side: int = 4,
        codebook: int = 64,
        classes: int = 10,
        tokenizer_epochs: int = 5,
        **training: Unpack[Optimisation],
    ) -> None:
        super().__init__(train_view, eval_view, **training)
        for name, view in (("train_view", train_view), ("eval_view", eval_view)):
            if view.square != 16 * side:
                raise ConfigError(
                    f"detector.{name} gives {view.square or 'native'} pixels, detector.side={side} needs {16 * side}",
                    f"Set detector.{name}.resize={16 * side}.",
                )
        if not siblings:
            raise ConfigError("detector.siblings is empty", "Name at least one variant.")
        if tokenizer_epochs < 0:
            raise ConfigError(f"detector.tokenizer_epochs={tokenizer_epochs}", "Give 0 or more.")
        self.net = Siblings({name: Sibling.of(name, node) for name, node in siblings.items()}, side, codebook, classes)
        self.tokenizer_epochs = tokenizer_epochs
        self._tokens: dict[int, dict[str, Tensor]] = {}

    def loss(self, batch: Batch) -> Tensor:
        """Loss of the decoders or of the variants, depending on the epoch."""
        generator = torch.Generator().manual_seed(int(batch.key[0]))
        images = self.to_memory_format(as_unit_float(batch.images))
        if not bool(self.net.ready):
            self.net.place_codes(images, generator)
        tokens = self._tokens_of(batch, images)
        if self.current_epoch < self.tokenizer_epochs:
            return self.net.decoders_loss(images, tokens)
        past = self.current_epoch - self.tokenizer_epochs
        share = random_order_share(past / max(1, (self.trainer.max_epochs or 1) - self.tokenizer_epochs))
        losses = self.net.losses(tokens, self._labels(batch), generator, random_orders=share, drop=LABEL_DROP)
        for name, value in losses.items():
            self.log(f"train/{name}", value, batch_size=len(images))
        return torch.stack(list(losses.values())).sum()

    def score(self, batch: Batch) -> Scores:
        """The logit is the largest mean log-likelihood per token of any sibling; the extras are those of each."""
        images = self.to_memory_format(as_unit_float(batch.images))
        lp = self.net.log_likelihoods(self.net.tokens(images), self._labels(batch))
        extras = {f"lp_{name}": value for name, value in lp.items()}
        return Scores(torch.stack(list(extras.values())).amax(0), extras)

    def validation_step(self, batch: Batch | None, batch_idx: int) -> Scores | None:  # type: ignore[override]
        """Logs ``val/nll``, the siblings' mean cross-entropy; infinite while the decoders are trained."""
        scores = super().validation_step(batch, batch_idx)
        if batch is None or scores is None:
            return None
        nll = -torch.stack(list(scores.extras.values())).mean()
        waiting = self.current_epoch < self.tokenizer_epochs
        self.log("val/nll", torch.full_like(nll, math.inf) if waiting else nll, batch_size=len(batch.label))
        return scores

    def export(self, folder: Path) -> None:
        """Write the models as a folder of weights (:class:`detectors.tracer.measuring.zoo.Zoo`)."""
        variants = {
            name: (self.net.variant(name), sibling.sampling_settings) for name, sibling in self.net.siblings.items()
        }
        save_zoo(
            folder, {family: self.net.tokenizer(family) for family in self.net.tokenizers}, variants, self.net.side
        )

    def _labels(self, batch: Batch) -> Tensor:
        return batch.generator[batch.crop_to_image] % self.net.classes

    def _tokens_of(self, batch: Batch, images: Tensor) -> dict[str, Tensor]:
        """Tokens of a batch, computed once per image unless the view is random."""
        if self.train_view.flip or self.train_view.augment or self.train_view.crop:
            return self.net.tokens(images)
        rows = batch.row.tolist()
        if any(row not in self._tokens for row in rows):
            found = self.net.tokens(images)
            self._tokens |= {row: {f: t[i] for f, t in found.items()} for i, row in enumerate(rows)}
        return {family: torch.stack([self._tokens[row][family] for row in rows]) for family in self.net.tokenizers}
