"""Small VAR and RAR siblings with their tokenizers, trained from scratch, for tests and teaching.

Their images are small, but like the published models they have everything the tracer uses: two tokenizers, several
sizes of each family, conditional and null likelihoods, and guided sampling.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contracts.errors import ConfigError, nearest
from detectors.tracer.measuring.inverse_decoder import TokenizerModel
from detectors.tracer.measuring.likelihood import Sampling, TokenModel, log_likelihood
from detectors.tracer.measuring.zoo import SAMPLINGS
from detectors.tracer.models.rar_transformer import RarTransformer
from detectors.tracer.models.rar_vqgan import RarVqgan
from detectors.tracer.models.sizes import RarSize, RarVqganSize, VarSize, VarVqvaeSize
from detectors.tracer.models.tokenizer import from_unit, to_unit
from detectors.tracer.models.var_transformer import VarTransformer
from detectors.tracer.models.var_vqvae import VarVqvae
from detectors.tracer.training import rar_loss, var_loss


@dataclass(frozen=True)
class Sibling:
    """One small variant."""

    family: str  # ``var`` or ``rar``
    depth: int  # number of blocks
    width: int  # channels; VAR has heads of 32 channels here, and RAR has four heads
    sampling: dict[str, float] = field(default_factory=dict)  # settings of :class:`VarSampling` or :class:`RarSampling`

    @classmethod
    def of(cls, name: str, node: Mapping[str, Any]) -> "Sibling":
        """Build from a node of the configuration.

        Raises:
            ConfigError: if a key, family or sampling setting is unknown or absent.
        """
        known = [f.name for f in fields(cls)]
        for key in node:
            if key not in known:
                raise ConfigError(f"detector.siblings.{name}.{key} is unknown", nearest(key, known))
        if absent := [key for key in known[:3] if key not in node]:
            raise ConfigError(f"detector.siblings.{name} lacks {', '.join(absent)}", f"Set {', '.join(known[:3])}.")
        sibling = cls(**node)
        if sibling.family not in SAMPLINGS:
            raise ConfigError(f"detector.siblings.{name}.family={sibling.family!r}", "Choose var or rar.")
        settings = [f.name for f in fields(SAMPLINGS[sibling.family])]
        for key in sibling.sampling:
            if key not in settings:
                raise ConfigError(f"detector.siblings.{name}.sampling.{key} is unknown", nearest(key, settings))
        return sibling

    @property
    def sampling_settings(self) -> Sampling:
        """The sampling settings as an object."""
        return SAMPLINGS[self.family](**self.sampling)  # type: ignore[arg-type]  # the settings' own types, by name


class Siblings(nn.Module):
    """Two tokenizers of equal image size and any number of variants.

    Args:
        siblings: Name → variant.
        side: Grid of the finest tokens; images are 16 times as wide.
        codebook: Number of codes of each tokenizer.
        classes: Number of class labels.
    """

    ready: Tensor

    def __init__(self, siblings: Mapping[str, Sibling], side: int, codebook: int, classes: int) -> None:
        super().__init__()
        self.siblings = dict(siblings)
        self.classes = classes
        self.side = side
        patch_nums = tuple(range(1, side + 1))
        var = VarVqvaeSize(channels=32, latent=8, codebook=codebook, patch_nums=patch_nums)
        rar = RarVqganSize(channels=32, latent=16, codebook=codebook, side=side)
        families = {sibling.family for sibling in siblings.values()}
        self.tokenizers = nn.ModuleDict()
        if "var" in families:
            self.tokenizers["var"] = VarVqvae(var)
        if "rar" in families:
            self.tokenizers["rar"] = RarVqgan(rar)
        self.variants = nn.ModuleDict()
        for name, s in siblings.items():
            self.variants[name] = (
                VarTransformer(
                    VarSize(s.depth, s.width, max(1, s.width // 32), classes, codebook, var.latent, patch_nums)
                )
                if s.family == "var"
                else RarTransformer(RarSize(s.width, s.depth, 4, 4 * s.width, classes, codebook, side * side))
            )
        self.register_buffer("ready", torch.zeros((), dtype=torch.bool))

    def tokenizer(self, family: str) -> TokenizerModel:
        """A family's tokenizer."""
        return cast(TokenizerModel, self.tokenizers[family])

    def variant(self, name: str) -> TokenModel:
        """A variant's transformer."""
        return cast(TokenModel, self.variants[name])

    @torch.no_grad()
    def place_codes(self, images: Tensor, generator: torch.Generator) -> None:
        """Initialise the untrained encoders and codebooks: standardise the features, and copy some of them as codes.

        Data-dependent initialisation (Salimans & Kingma 2016). The encoders are never trained: a random
        convolutional network keeps enough of an image, and a quantiser trained for a minute would lose most codes.

        Args:
            images: [B, 3, S, S] in [0, 1].
            generator: Source of randomness, on the CPU.
        """
        for family in self.tokenizers:
            tokenizer = self.tokenizer(family)
            x = from_unit(tokenizer, images)
            last = tokenizer.quant_conv if isinstance(tokenizer, VarVqvae) else tokenizer.encoder.conv_out
            f = tokenizer.encode(x)
            mean, std = f.mean((0, 2, 3)), f.std((0, 2, 3)) + 1e-6
            assert last.bias is not None  # noqa: S101 - both have one
            last.weight /= std[:, None, None, None]
            last.bias.sub_(mean).div_(std)
            found = tokenizer.encode(x).flatten(2).transpose(1, 2).reshape(-1, f.shape[1])
            codes = tokenizer.quantize.embedding.weight
            sampled = found[torch.randint(len(found), (len(codes),), generator=generator).to(found.device)]
            noise = torch.randn(codes.shape, generator=generator).to(sampled)
            # a residual quantiser also needs small codes
            shrink = torch.linspace(0.1, 1.0, len(codes), device=sampled.device)[:, None] if family == "var" else 1.0
            codes.copy_((sampled + 0.1 * noise) * shrink)
        self.ready.fill_(True)

    def decoders_loss(self, images: Tensor, tokens: Mapping[str, Tensor]) -> Tensor:
        """Mean squared error of images [B, 3, S, S] in [0, 1] decoded from their tokens, summed over families."""
        losses = []
        for family, given in tokens.items():
            tokenizer = self.tokenizer(family)
            with torch.no_grad():
                features = tokenizer.features(given)
            losses.append(F.mse_loss(to_unit(tokenizer, tokenizer.decode(features)), images))
        return torch.stack(losses).sum()

    @torch.no_grad()
    def tokens(self, images: Tensor) -> dict[str, Tensor]:
        """Family → greedy tokens int64 [B, L] of images [B, 3, S, S] in [0, 1]."""
        found = {}
        for family in self.tokenizers:
            tokenizer = self.tokenizer(family)
            found[family] = tokenizer.quantise(tokenizer.encode(from_unit(tokenizer, images)))[0]
        return found

    @torch.no_grad()
    def log_likelihoods(self, tokens: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """Name → mean log-likelihood per token [B], given labels int64 [B]."""
        found = {}
        for name, sibling in self.siblings.items():
            model, given = self.variant(name), tokens[sibling.family]
            fed = self._teacher_input(given) if isinstance(model, VarTransformer) else None
            found[name] = log_likelihood(model, given, labels[:, None], teacher_input=fed)[:, 0] / given.shape[1]
        return found

    @torch.no_grad()
    def _teacher_input(self, tokens: Tensor) -> Tensor:
        return cast(VarVqvae, self.tokenizer("var")).quantize.teacher_input(tokens)

    def losses(
        self,
        tokens: Mapping[str, Tensor],
        labels: Tensor,
        generator: torch.Generator,
        *,
        random_orders: float,
        drop: float,
    ) -> dict[str, Tensor]:
        """Mean cross-entropy of every variant.

        Args:
            tokens: From :meth:`tokens`.
            labels: int64 [B].
            generator: Source of randomness of label drop and orders, on the CPU.
            random_orders: Fraction of RAR's sequences that are permuted.
            drop: Fraction of labels dropped.
        """
        found = {}
        for name, sibling in self.siblings.items():
            model, given = self.variant(name), tokens[sibling.family]
            if isinstance(model, VarTransformer):
                found[name] = var_loss(model, labels, given, self._teacher_input(given), generator, drop=drop)
            else:
                found[name] = rar_loss(model, labels, given, generator, random_orders=random_orders, drop=drop)
        return found
