"""Losses to train small VAR and RAR siblings, and their tokenizers, from scratch (for tests and teaching).

Source: Tian et al. (VAR, 2024) and Yu et al. (RAR, 2024): mean cross-entropy over all tokens, one label in ten dropped;
RAR sees random orders first and raster order in the end. The tokenizers go without adversarial and perceptual losses.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from detectors.tracer.models.rar_transformer import RarTransformer
from detectors.tracer.models.rar_vqgan import RarVqgan
from detectors.tracer.models.var_transformer import VarTransformer
from detectors.tracer.models.var_vqvae import VarVqvae

LABEL_DROP = 0.1
COMMITMENT = 0.25
# RAR's orders are all random up to the first share of training, and all raster from the second on
RANDOM_UNTIL, RASTER_FROM = 0.5, 0.75


def drop_labels(labels: Tensor, null_label: int, share: float, generator: torch.Generator) -> Tensor:
    """Replace a random share of labels int64 [B] by the null label."""
    dropped = torch.rand(len(labels), generator=generator) < share
    return torch.where(dropped.to(labels.device), null_label, labels)


def random_order_share(progress: float) -> float:
    """Share of sequences that are permuted at a point of training (0 start, 1 end)."""
    return min(1.0, max(0.0, (RASTER_FROM - progress) / (RASTER_FROM - RANDOM_UNTIL)))


def var_loss(
    model: VarTransformer,
    labels: Tensor,
    tokens: Tensor,
    teacher_input: Tensor,
    generator: torch.Generator,
    *,
    drop: float = LABEL_DROP,
) -> Tensor:
    """Mean cross-entropy of all tokens.

    Args:
        model: Being trained.
        labels: int64 [B].
        tokens: int64 [B, L].
        teacher_input: [B, L − 1, C] from the tokenizer.
        generator: Of the label drop, on the CPU.
        drop: Share of labels dropped.
    """
    given = drop_labels(labels, model.null_label, drop, generator)
    return F.cross_entropy(model(given, teacher_input).flatten(0, 1), tokens.flatten())


def rar_loss(
    model: RarTransformer,
    labels: Tensor,
    tokens: Tensor,
    generator: torch.Generator,
    *,
    random_orders: float,
    drop: float = LABEL_DROP,
) -> Tensor:
    """Mean cross-entropy of all tokens, some sequences in a random order.

    Args:
        model: Being trained.
        labels: int64 [B].
        tokens: int64 [B, L] in raster order.
        generator: Of orders and label drop, on the CPU.
        random_orders: Share of sequences permuted, from :func:`random_order_share`.
        drop: Share of labels dropped.
    """
    B, L = tokens.shape
    given = drop_labels(labels, model.null_label, drop, generator)
    shuffled = torch.rand(B, L, generator=generator).argsort(1)
    permuted = torch.rand(B, 1, generator=generator) < random_orders
    orders = torch.where(permuted, shuffled, torch.arange(L)).to(tokens.device)
    return F.cross_entropy(model(given, tokens, orders).flatten(0, 1), tokens.gather(1, orders).flatten())


def tokenizer_loss(tokenizer: VarVqvae | RarVqgan, x: Tensor, *, commitment: float = COMMITMENT) -> Tensor:
    """Reconstruction through the quantiser (straight-through), codebook and commitment terms.

    Source: van den Oord et al., "Neural Discrete Representation Learning" (2017), equation 3.

    Args:
        tokenizer: Being trained.
        x: [B, 3, S, S] in its range.
        commitment: Weight of the commitment term.
    """
    f = tokenizer.encode(x)
    tokens, _ = tokenizer.quantise(f.detach())
    f_z = tokenizer.features(tokens)
    rebuilt = tokenizer.decode(f + (f_z - f).detach())
    pull_codes = F.mse_loss(f_z, f.detach())
    commit = F.mse_loss(f, f_z.detach())
    return F.mse_loss(rebuilt, x) + pull_codes + commitment * commit
