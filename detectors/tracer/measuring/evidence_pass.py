"""All evidence of a batch at once: models stay loaded, so that images may come one batch after another."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from contracts.errors import ConfigError
from detectors.tracer.deciding.evidence import Evidence
from detectors.tracer.measuring.class_labels import LabelPolicy, screen_labels
from detectors.tracer.measuring.inverse_decoder import TokenizerModel
from detectors.tracer.measuring.likelihood import TokenModel
from detectors.tracer.measuring.membership import Spread
from detectors.tracer.measuring.passes import NULL, Scored, encode_pass, lengths_of, variant_pass
from detectors.tracer.measuring.zoo import Variant, Zoo
from detectors.tracer.models.quantise import Method
from detectors.tracer.models.var_vqvae import VarVqvae


class EvidencePass:
    """The passes of ``task=trace`` without its cache and order: each model is loaded when first needed, then kept.

    Args:
        zoo: the models.
        inverse: family → file of its inverse decoder.
        quantiser: as :class:`detectors.tracer.tracer.Tracer`, as are all that follow.
        soft_steps: as above.
        labels: as above; ``given`` is refused, since a batch brings no class labels.
        candidates: as above.
        classifier: makes the label classifier.
        spread: as above.

    Raises:
        ConfigError: see ``labels``.
    """

    def __init__(
        self,
        zoo: Zoo,
        inverse: Mapping[str, Path],
        *,
        quantiser: Method,
        soft_steps: int,
        labels: LabelPolicy,
        candidates: int,
        classifier: Callable[[], nn.Module],
        spread: Spread,
    ) -> None:
        if labels == "given":
            raise ConfigError(
                "this tracer was fitted with detector.labels=given, and a batch brings no class labels",
                "Judge these images by task=trace, or fit one with detector.labels=generator.",
            )
        self.zoo = zoo
        self.inverse = dict(inverse)
        self.quantiser: Method = quantiser
        self.soft_steps = soft_steps
        self.labels = labels
        self.candidates = candidates
        self.classifier = classifier
        self.spread: Spread = spread
        self._loaded: dict[str, nn.Module] = {}

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Evidence:
        """Evidence of images [B, 3, S, S], float32 in [0, 1]; tokenizers work in float32, whatever autocast says."""
        losses, scored, lengths = {}, {}, {}
        for family in self.zoo.tokenizers:
            tokenizer = cast(TokenizerModel, self._model(f"{family} tokenizer", self._tokenizer(family), images.device))
            with torch.autocast(images.device.type, enabled=False):
                encoded = encode_pass(tokenizer, images, self._method(family), self.soft_steps)
            fed = tokenizer.quantize.teacher_input(encoded.tokens) if isinstance(tokenizer, VarVqvae) else None
            losses[family] = encoded
            labels, log_prior = self._candidates(family, images, encoded.tokens, fed)
            for variant in self.zoo.family(family):
                model = self._variant(variant, images.device)
                scored[variant.name] = variant_pass(
                    model, encoded.tokens, labels, log_prior, variant.sampling, teacher_input=fed,
                    spread=self.spread, mixed=self.labels == "marginal",
                )  # fmt: skip
                lengths[variant.name] = lengths_of(model)
        return self._gathered(scored, lengths, {k: v.quant_loss for k, v in losses.items()},
                              {k: v.enc_loss for k, v in losses.items()})  # fmt: skip

    def _gathered(
        self,
        scored: Mapping[str, Scored],
        lengths: Mapping[str, tuple[int, ...]],
        quant_loss: Mapping[str, Tensor],
        enc_loss: Mapping[str, Tensor],
    ) -> Evidence:
        families = {variant.name: variant.family for variant in self.zoo.variants}
        return Evidence(
            families=families,
            lengths=lengths,
            names={families[name]: done.names for name, done in scored.items()},
            features={name: scored[name].features.cpu().numpy() for name in families},
            lp={name: scored[name].lp.cpu().numpy() for name in families},
            quant_loss={family: loss.cpu().numpy() for family, loss in quant_loss.items()},
            enc_loss={family: loss.cpu().numpy() for family, loss in enc_loss.items()},
        )

    def _candidates(
        self, family: str, images: Tensor, tokens: Tensor, teacher_input: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Labels int64 [B, K] and the logarithm of their weights [B, K]."""
        if self.labels == "null":
            return torch.full_like(tokens[:, :1], NULL), images.new_zeros(len(images), 1)
        if self.labels == "generator":
            smallest = self._variant(self.zoo.smallest(family), images.device)
            labels, _ = screen_labels(smallest, tokens, self.candidates, teacher_input=teacher_input)
            return labels, images.new_zeros(labels.shape)
        found: tuple[Tensor, Tensor] = self._model("classifier", self.classifier, images.device)(images)
        return found

    def _method(self, family: str) -> Method:
        return self.quantiser if family == "var" else "greedy"

    def _tokenizer(self, family: str) -> Callable[[], nn.Module]:
        return lambda: self.zoo.tokenizer(family, self.inverse.get(family))

    def _variant(self, variant: Variant, device: torch.device) -> TokenModel:
        return cast(TokenModel, self._model(variant.name, lambda: self.zoo.model(variant), device))

    def _model(self, name: str, load: Callable[[], nn.Module], device: torch.device) -> nn.Module:
        if name not in self._loaded:
            self._loaded[name] = load().to(device)
        return self._loaded[name]
