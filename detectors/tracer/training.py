"""Losses to train small VAR and RAR siblings from scratch (for tests and teaching).

Source: Tian et al. (VAR, 2024) and Yu et al. (RAR, 2024): mean cross-entropy over all tokens, one label in ten dropped;
RAR sees random orders first and raster order in the end.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from detectors.tracer.models.rar_transformer import RarTransformer
from detectors.tracer.models.var_transformer import VarTransformer

LABEL_DROP = 0.1
# RAR's orders are all random up to the first fraction of training, and all raster from the second onwards
RANDOM_UNTIL, RASTER_FROM = 0.5, 0.75


def drop_labels(labels: Tensor, null_label: int, share: float, generator: torch.Generator) -> Tensor:
    """Replace a random fraction of the labels int64 [B] by the null label."""
    dropped = torch.rand(len(labels), generator=generator) < share
    return torch.where(dropped.to(labels.device), null_label, labels)


def random_order_share(progress: float) -> float:
    """Fraction of sequences that are permuted at a point of training (0 start, 1 end)."""
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
        model: The model to train.
        labels: int64 [B].
        tokens: int64 [B, L].
        teacher_input: [B, L − 1, C] from the tokenizer.
        generator: Source of randomness of the label drop, on the CPU.
        drop: Fraction of labels dropped.
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
        model: The model to train.
        labels: int64 [B].
        tokens: int64 [B, L] in raster order.
        generator: Source of randomness of orders and label drop, on the CPU.
        random_orders: Fraction of sequences permuted, from :func:`random_order_share`.
        drop: Fraction of labels dropped.
    """
    B, L = tokens.shape
    given = drop_labels(labels, model.null_label, drop, generator)
    shuffled = torch.rand(B, L, generator=generator).argsort(1)
    permuted = torch.rand(B, 1, generator=generator) < random_orders
    orders = torch.where(permuted, shuffled, torch.arange(L)).to(tokens.device)
    return F.cross_entropy(model(given, tokens, orders).flatten(0, 1), tokens.gather(1, orders).flatten())
