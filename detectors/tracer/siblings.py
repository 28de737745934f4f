"""Small VAR and RAR siblings with their tokenizers, trained from scratch: for tests and for teaching.

What they generate is as small as they are; what they share with the published models is everything the tracer uses:
two tokenizers, several sizes of each family, conditional and null likelihoods, guided sampling.
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
    """One small variant.

    Attributes:
        family: ``var`` or ``rar``.
        depth: blocks.
        width: channels; VAR has heads of 32 channels here, RAR four heads.
        sampling: settings of :class:`VarSampling` or :class:`RarSampling`.
    """

    family: str
    depth: int
    width: int
    sampling: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str, node: Mapping[str, Any]) -> "Sibling":
        """From a node of the configuration.

        Raises:
            ConfigError: for an unknown key, family or sampling setting.
        """
        known = [f.name for f in fields(cls)]
        for key in node:
            if key not in known:
                raise ConfigError(f"detector.siblings.{name}.{key} is unknown", nearest(key, known))
        if absent := [key for key in known[:3] if key not in node]:
            raise ConfigError(f"detector.siblings.{name} lacks {', '.join(absent)}", f"Give {', '.join(known[:3])}.")
        sibling = cls(**node)
        if sibling.family not in SAMPLINGS:
            raise ConfigError(f"detector.siblings.{name}.family={sibling.family!r}", "Choose var or rar.")
        settings = [f.name for f in fields(SAMPLINGS[sibling.family])]
        for key in sibling.sampling:
            if key not in settings:
                raise ConfigError(f"detector.siblings.{name}.sampling.{key} is unknown", nearest(key, settings))
        return sibling

    @property
    def draws(self) -> Sampling:
        """How it samples."""
        return SAMPLINGS[self.family](**self.sampling)  # type: ignore[arg-type]  # the settings' own types, by name


class Siblings(nn.Module):
    """Two tokenizers of equal image size and any number of variants.

    Args:
        siblings: Name → variant.
        side: Grid of the finest tokens; images are 16 times as wide.
        codebook: Codes of either tokenizer.
        classes: Class labels there are.
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
        """Make the untrained encoders useful: standardise their features, and put the codes where features are.

        Data-dependent initialisation (Salimans & Kingma 2016). The encoders stay as they are from then on: a random
        convolutional network keeps enough of a picture, and a quantiser trained for a minute would lose most codes.

        Args:
            images: [B, 3, S, S] in [0, 1].
            generator: Of the draw, on the CPU.
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
            drawn = found[torch.randint(len(found), (len(codes),), generator=generator).to(found.device)]
            noise = torch.randn(codes.shape, generator=generator).to(drawn)
            # a residual quantiser needs small codes too
            shrink = torch.linspace(0.1, 1.0, len(codes), device=drawn.device)[:, None] if family == "var" else 1.0
            codes.copy_((drawn + 0.1 * noise) * shrink)
        self.ready.fill_(True)

    def decoders_loss(self, images: Tensor, tokens: Mapping[str, Tensor]) -> Tensor:
        """Mean square between images [B, 3, S, S] in [0, 1] and what their tokens decode to, summed over families."""
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
        """Name → mean log-likelihood of a token [B], given labels int64 [B]."""
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
            generator: Of label drop and orders, on the CPU.
            random_orders: Share of RAR's sequences that are permuted.
            drop: Share of labels dropped.
        """
        found = {}
        for name, sibling in self.siblings.items():
            model, given = self.variant(name), tokens[sibling.family]
            if isinstance(model, VarTransformer):
                found[name] = var_loss(model, labels, given, self._teacher_input(given), generator, drop=drop)
            else:
                found[name] = rar_loss(model, labels, given, generator, random_orders=random_orders, drop=drop)
        return found
