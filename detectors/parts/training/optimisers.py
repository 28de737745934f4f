"""Optimisers that treat parameters differently."""

from collections.abc import Iterable

from torch import nn
from torch.optim import AdamW


def adamw_without_vector_decay(
    parameters: Iterable[nn.Parameter], lr: float, weight_decay: float = 0.01, betas: tuple[float, float] = (0.9, 0.999)
) -> AdamW:
    """AdamW that decays only weights of two or more axes, not biases or the scales of normalisation layers.

    Args:
        parameters: all parameters.
        lr: learning rate.
        weight_decay: decay of the weights of two or more axes.
        betas: decay of the first and second moment.
    """
    all_of_them = list(parameters)
    groups = [
        {"params": [p for p in all_of_them if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in all_of_them if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return AdamW([group for group in groups if group["params"]], lr=lr, betas=betas)
