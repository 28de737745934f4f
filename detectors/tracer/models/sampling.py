"""Generate images with either family as the originals do, and keep the tokens.

Source: FoundationVision/VAR models/var.py (autoregressive_infer_cfg) and bytedance/1d-tokenizer modeling/rar.py
(generate).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from detectors.tracer.models.rar_transformer import RarTransformer
from detectors.tracer.models.rar_vqgan import RarVqgan
from detectors.tracer.models.sizes import RarSampling, VarSampling
from detectors.tracer.models.tokenizer import to_uint8, to_unit
from detectors.tracer.models.var_quantiser import VarQuantiser
from detectors.tracer.models.var_transformer import KeyValueCache, VarTransformer
from detectors.tracer.models.var_vqvae import VarVqvae


@dataclass(frozen=True)
class Generated:
    """A batch of generated images."""

    images: Tensor  # uint8 [B, 3, S, S], truncated as the originals save them
    unit: Tensor  # float32 [B, 3, S, S] in [0, 1], before truncation
    tokens: Tensor  # int64 [B, L]


def var_guidance(cfg: float, scale: int, scales: int) -> float:
    """Guidance strength t of a scale: rises linearly from 0 to ``cfg``; logits become (1 + t) cond − t null."""
    return cfg * scale / (scales - 1)


def rar_guidance(sampling: RarSampling, length: int) -> Tensor:
    """Guidance strength s of every token [L], from 1 to ``guidance``; logits become null + s (cond − null).

    Source: power-cosine schedule of Gao et al., "Masked Diffusion Transformer" (2023).
    """
    place = torch.arange(length, dtype=torch.float64) / length
    return 1.0 + (sampling.guidance - 1.0) * (1.0 - torch.cos(math.pi * place**sampling.power)) / 2.0


def keep_top(logits: Tensor, top_k: int, top_p: float) -> Tensor:
    """Mask of the tokens that remain after top-k and then top-p filtering.

    Args:
        logits: [..., V].
        top_k: Keep this many of the likeliest (ties with the last one stay); 0 keeps all.
        top_p: Keep the likeliest tokens needed to reach this probability; 0 keeps all.

    Returns:
        bool [..., V].
    """
    kept = torch.ones_like(logits, dtype=torch.bool)
    if top_k > 0:
        least = logits.topk(min(top_k, logits.shape[-1]), dim=-1).values[..., -1:]
        kept = logits >= least
    if top_p > 0:
        rising, order = logits.masked_fill(~kept, -torch.inf).sort(dim=-1)
        out = rising.softmax(-1).cumsum(-1) <= 1 - top_p
        out[..., -1] = False
        kept = kept & ~torch.zeros_like(out).scatter(-1, order, out)
    return kept


def _sample_tokens(logits: Tensor, generator: torch.Generator | None) -> Tensor:
    """One token per row of logits [..., V]."""
    flat = logits.softmax(-1).flatten(0, -2)
    return torch.multinomial(flat, 1, generator=generator).reshape(logits.shape[:-1])


@torch.no_grad()
def sample(
    model: VarTransformer | RarTransformer,
    tokenizer: VarVqvae | RarVqgan,
    labels: Tensor,
    sampling: VarSampling | RarSampling,
    generator: torch.Generator | None = None,
) -> Generated:
    """Images of the given classes: VAR scale by scale, RAR token by token in raster order.

    Args:
        model: Any size of either family; its grids (VAR) or its length (RAR) must be the tokenizer's.
        tokenizer: The family's tokenizer.
        labels: int64 [B].
        sampling: The family's guidance, filters and temperature.
        generator: Source of randomness, on the labels' device.

    Raises:
        ValueError: If the model, the tokenizer and the settings are not all of one family.
    """
    both = torch.cat([labels, torch.full_like(labels, model.null_label)])
    match model, tokenizer, sampling:
        case VarTransformer(), VarVqvae(), VarSampling():
            tokens = _var_tokens(model, tokenizer.quantize, both, sampling, generator)
        case RarTransformer(), RarVqgan(), RarSampling():
            tokens = _rar_tokens(model, both, sampling, generator)
        case _:
            names = ", ".join(type(part).__name__ for part in (model, tokenizer, sampling))
            raise ValueError(f"model, tokenizer and sampling settings must be of one family, got {names}")
    unit = to_unit(tokenizer, tokenizer.decode(tokenizer.features(tokens)))
    return Generated(images=to_uint8(unit), unit=unit, tokens=tokens)


def _var_tokens(
    model: VarTransformer,
    quantiser: VarQuantiser,
    both: Tensor,
    sampling: VarSampling,
    generator: torch.Generator | None,
) -> Tensor:
    """Tokens [B, L] for labels [2 B], the classes and then the null label for each."""
    cache, scales = KeyValueCache(), len(model.lengths)
    f_hat: Tensor | None = None
    tokens = []
    for scale in range(scales):
        fed = None if f_hat is None else quantiser.pool(f_hat, scale).repeat(2, 1, 1)
        cond, null = model.step(both, scale, fed, cache).chunk(2)
        t = var_guidance(sampling.cfg, scale, scales)
        logits = (1 + t) * cond - t * null
        logits = logits.masked_fill(~keep_top(logits, sampling.top_k, sampling.top_p), -torch.inf)
        tokens.append(_sample_tokens(logits, generator))
        part = quantiser.lift(quantiser.embedding(tokens[-1]), scale)
        f_hat = part if f_hat is None else f_hat + part
    return torch.cat(tokens, 1)


def _rar_tokens(
    model: RarTransformer, both: Tensor, sampling: RarSampling, generator: torch.Generator | None
) -> Tensor:
    """Tokens [B, L] for labels [2 B], the classes and then the null label for each."""
    cache = KeyValueCache()
    tokens: list[Tensor] = []
    for index, s in enumerate(rar_guidance(sampling, model.length).tolist()):
        last = tokens[-1].repeat(2) if tokens else None
        cond, null = model.step(both, index, last, cache).chunk(2)
        tokens.append(_sample_tokens((null + s * (cond - null)) / sampling.temperature, generator))
    return torch.stack(tokens, 1)
