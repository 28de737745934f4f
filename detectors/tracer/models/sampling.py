"""Generate images with either family, the way the originals do, keeping the tokens.

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
from detectors.tracer.models.var_transformer import KeyValueCache, VarTransformer
from detectors.tracer.models.var_vqvae import VarVqvae


@dataclass(frozen=True)
class Generated:
    """A batch of generated images.

    Attributes:
        images: uint8 [B, 3, S, S], truncated as the originals save them.
        unit: float32 [B, 3, S, S] in [0, 1], before truncation.
        tokens: int64 [B, L].
    """

    images: Tensor
    unit: Tensor
    tokens: Tensor


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
    """Mask of the tokens that top-k and then top-p filtering leave.

    Args:
        logits: [..., V].
        top_k: Keep this many of the likeliest (ties with the last one stay); 0 keeps all.
        top_p: Keep the likeliest that are needed to reach this probability; 0 keeps all.

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


def _draw(logits: Tensor, generator: torch.Generator | None) -> Tensor:
    """One token per row of logits [..., V]."""
    flat = logits.softmax(-1).flatten(0, -2)
    return torch.multinomial(flat, 1, generator=generator).reshape(logits.shape[:-1])


@torch.no_grad()
def sample_var(
    model: VarTransformer,
    vqvae: VarVqvae,
    labels: Tensor,
    sampling: VarSampling,
    generator: torch.Generator | None = None,
) -> Generated:
    """Images of the given classes, scale by scale.

    Args:
        model: Any size; its grids must be the tokenizer's.
        vqvae: The family's tokenizer.
        labels: int64 [B].
        sampling: Guidance and filters.
        generator: Source of randomness, on the labels' device.
    """
    both = torch.cat([labels, torch.full_like(labels, model.null_label)])
    cache, quantiser, scales = KeyValueCache(), vqvae.quantize, len(model.lengths)
    f_hat: Tensor | None = None
    tokens = []
    for scale in range(scales):
        fed = None if f_hat is None else quantiser.pool(f_hat, scale).repeat(2, 1, 1)
        cond, null = model.step(both, scale, fed, cache).chunk(2)
        t = var_guidance(sampling.cfg, scale, scales)
        logits = (1 + t) * cond - t * null
        logits = logits.masked_fill(~keep_top(logits, sampling.top_k, sampling.top_p), -torch.inf)
        tokens.append(_draw(logits, generator))
        part = quantiser.lift(quantiser.embedding(tokens[-1]), scale)
        f_hat = part if f_hat is None else f_hat + part
    return _decoded(vqvae, torch.cat(tokens, 1))


@torch.no_grad()
def sample_rar(
    model: RarTransformer,
    vqgan: RarVqgan,
    labels: Tensor,
    sampling: RarSampling,
    generator: torch.Generator | None = None,
) -> Generated:
    """Images of the given classes, token by token in raster order.

    Args:
        model: Any size; its length must be the tokenizer's.
        vqgan: The family's tokenizer.
        labels: int64 [B].
        sampling: Guidance schedule and temperature.
        generator: Source of randomness, on the labels' device.
    """
    both = torch.cat([labels, torch.full_like(labels, model.null_label)])
    cache = KeyValueCache()
    tokens: list[Tensor] = []
    for index, s in enumerate(rar_guidance(sampling, model.length).tolist()):
        last = tokens[-1].repeat(2) if tokens else None
        cond, null = model.step(both, index, last, cache).chunk(2)
        tokens.append(_draw((null + s * (cond - null)) / sampling.temperature, generator))
    return _decoded(vqgan, torch.stack(tokens, 1))


def _decoded(tokenizer: VarVqvae | RarVqgan, tokens: Tensor) -> Generated:
    unit = to_unit(tokenizer, tokenizer.decode(tokenizer.features(tokens)))
    return Generated(images=to_uint8(unit), unit=unit, tokens=tokens)
