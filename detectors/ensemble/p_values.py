"""P-values of logits among real images, and one of several, as `benchmarks.real_stats.p_values` but in torch."""

from math import sqrt

import torch
from torch import Tensor

EPSILON = 2.0**-23  # P-values are kept this far from 0 and 1 before they are combined (RealStats, AISTATS 2026)


def exact_p_values(reference: Tensor, values: Tensor) -> Tensor:
    """Two-sided p-values [m, k] float64 of values [m, k] among real images [n, k], by ranks; from 2 / (n + 1) to 1."""
    ordered, sought = reference.sort(0).values.T.contiguous(), values.T.contiguous()
    below = torch.searchsorted(ordered, sought, right=True)
    above = len(reference) - torch.searchsorted(ordered, sought)
    return (2 * (1 + torch.minimum(below, above)).double() / (len(reference) + 1)).clamp(max=1).T


def combined_p_value(p_values: Tensor, rule: str) -> Tensor:
    """One p-value [m] of several independent ones [m, k]: ``stouffer`` (Σ Φ⁻¹(p) / √k) or ``minimum`` (Šidák)."""
    kept, count = p_values.clamp(EPSILON, 1 - EPSILON), p_values.shape[1]
    if rule == "stouffer":
        z: Tensor = torch.special.ndtri(kept).sum(1) / sqrt(count)
        p: Tensor = torch.special.ndtr(z)
        return p
    return 1 - (1 - kept.min(1).values) ** count
