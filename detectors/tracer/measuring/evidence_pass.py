"""All evidence of a batch at once; the models stay loaded between batches."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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
from detectors.tracer.measuring.provenance import ProvenanceSignals
from detectors.tracer.measuring.zoo import Variant, Zoo
from detectors.tracer.models.quantise import Method
from detectors.tracer.models.var_vqvae import VarVqvae


@dataclass
class EvidencePass:
    """The passes of ``task=trace`` without its cache: each model is loaded when first needed, then kept in memory.

    Raises:
        ConfigError: the policy is ``given``.
    """

    zoo: Zoo  # the models
    inverse: Mapping[str, Path]  # family → file of its inverse decoder
    quantiser: Method  # as in :class:`detectors.tracer.tracer.Tracer`, as are the remaining settings
    soft_steps: int
    labels: LabelPolicy  # ``given`` is rejected, since a batch has no class labels
    candidates: int
    classifier: Callable[[], nn.Module]  # makes the label classifier
    spread: Spread
    _loaded: dict[str, nn.Module] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        if self.labels == "given":
            raise ConfigError(
                "this tracer was fitted with detector.labels=given, and a batch has no class labels",
                "Run task=trace on these images, or fit a tracer with detector.labels=generator.",
            )

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Evidence:
        """Evidence of images [B, 3, S, S], float32 in [0, 1]; tokenizers run in float32 even under autocast."""
        losses: dict[str, ProvenanceSignals] = {}
        scored: dict[str, Scored] = {}
        lengths = {}
        for family in self.zoo.tokenizers:
            tokenizer = cast(TokenizerModel, self._model(f"{family} tokenizer", self._tokenizer(family), images.device))
            method: Method = self.quantiser if family == "var" else "greedy"
            with torch.autocast(images.device.type, enabled=False):
                encoded = encode_pass(tokenizer, images, method, self.soft_steps)
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
        families = {variant.name: variant.family for variant in self.zoo.variants}
        return Evidence(
            families=families,
            lengths=lengths,
            names={families[name]: done.names for name, done in scored.items()},
            features={name: scored[name].features.cpu().numpy() for name in families},
            lp={name: scored[name].lp.cpu().numpy() for name in families},
            quant_loss={family: signals.quant_loss.cpu().numpy() for family, signals in losses.items()},
            enc_loss={family: signals.enc_loss.cpu().numpy() for family, signals in losses.items()},
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

    def _tokenizer(self, family: str) -> Callable[[], nn.Module]:
        return lambda: self.zoo.tokenizer(family, self.inverse.get(family))

    def _variant(self, variant: Variant, device: torch.device) -> TokenModel:
        return cast(TokenModel, self._model(variant.name, lambda: self.zoo.model(variant), device))

    def _model(self, name: str, load: Callable[[], nn.Module], device: torch.device) -> nn.Module:
        if name not in self._loaded:
            self._loaded[name] = load().to(device)
        return self._loaded[name]
