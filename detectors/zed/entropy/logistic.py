"""Discretised logistic distributions on 0..255 and their mixtures (Salimans et al. 2017, PixelCNN++, section 2.1).

The mass of pixel value v is the logistic's mass on [v - 1/2, v + 1/2]; values 0 and 255 take the whole tail on their
side, so the 256 masses sum to one. Everything is in nats and in pixel units.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

VALUES = 256
SREC_CLAMP = 1e-12  # Floor of each component's mass in SReC and ZED_Rep


class Mixture(NamedTuple):
    """A one-dimensional mixture of logistics per subpixel, components on the last axis."""

    logits: Tensor  # Unnormalised log-weights ``[..., K]``; -inf marks an unused component
    mu: Tensor  # Means ``[..., K]`` in pixel units
    log_s: Tensor  # Log-scales ``[..., K]`` in log pixel units


def log_prob(value: Tensor, mu: Tensor, log_s: Tensor, clamp_p: float | None = None) -> Tensor:
    """Log-mass of a single discretised logistic, exact in both tails and with a gradient everywhere.

    A difference of sigmoids cancels about 17 scales right of the mean in float32. With a and b the standardised bin
    edges, the same mass is sigmoid(b) * sigmoid(-a) * (1 - exp(a - b)), each factor of which has an exact logarithm.

    Args:
        value: Pixel values 0..255, any dtype, broadcast against the parameters.
        mu: Means.
        log_s: Log-scales; below -80 float32 overflows, and the models stop at -7.
        clamp_p: Floor of the mass (``SREC_CLAMP`` for parity with the originals); gradients below it are 0.
    """
    inv_s = torch.exp(-log_s)
    centred = value - mu
    lower, upper = (centred - 0.5) * inv_s, (centred + 0.5) * inv_s
    below = torch.where(value >= VALUES - 1, 0.0, _log_sigmoid(upper))
    above = torch.where(value <= 0, 0.0, _log_sigmoid(-lower))
    interior = (value > 0) & (value < VALUES - 1)
    width = torch.where(interior, _log_of_rest(inv_s), 0.0)
    result = below + above + width
    return result if clamp_p is None else result.clamp_min(math.log(clamp_p))


def _log_sigmoid(x: Tensor) -> Tensor:
    """log(1 / (1 + e^-x)); in exported graphs, with operators that no runtime splits into a logarithm of 0."""
    if torch.compiler.is_exporting():
        return x.clamp(max=0) - torch.log(1 + torch.exp(-x.abs()))
    return F.logsigmoid(x)


def _log_of_rest(x: Tensor) -> Tensor:
    """log(1 - e^-x) of positive x; for graphs as log(tanh(x / 2) (1 + e^-x)), since ONNX has no expm1."""
    if torch.compiler.is_exporting():
        return torch.log(torch.tanh(x / 2) * (1 + torch.exp(-x)))
    return torch.log(-torch.expm1(-x))


def mixture_log_prob(value: Tensor, mixture: Mixture, clamp_p: float | None = None) -> Tensor:
    """Log-mass ``[...]`` of ``value`` ``[...]`` under a mixture; see `log_prob` for ``clamp_p``."""
    parts = log_prob(value.unsqueeze(-1), mixture.mu, mixture.log_s, clamp_p)
    return torch.logsumexp(F.log_softmax(mixture.logits, dim=-1) + parts, dim=-1)


def chain_weights(value: Tensor, shared: Mixture) -> Mixture:
    """Turn a mixture whose weights the channels share into one mixture per channel, by the chain rule.

    One hidden component explains all channels of a pixel. Knowing R therefore re-weights the components for G, and R
    and G those for B: w_R = pi, w_G ~ pi p_R(x_R), w_B ~ w_G p_G(x_G). The channels' log-masses add up to the joint's.

    Args:
        value: Pixel values ``[B, C, ...]``.
        shared: ``logits`` ``[B, 1, ..., K]``; ``mu`` and ``log_s`` ``[B, C, ..., K]``.

    Returns:
        The same means and scales with logits ``[B, C, ..., K]``.
    """
    # nothing is known from the last channel
    seen = log_prob(value[:, :-1].unsqueeze(-1), shared.mu[:, :-1], shared.log_s[:, :-1])
    before = torch.cat([torch.zeros_like(shared.mu[:, :1]), seen.cumsum(dim=1)], dim=1)
    return Mixture(F.log_softmax(shared.logits, dim=-1) + before, shared.mu, shared.log_s)


def sample(mixture: Mixture, generator: torch.Generator | None = None) -> Tensor:
    """Sample one pixel value ``[...]``, float32 in 0..255, from each mixture."""
    weights = torch.softmax(mixture.logits, dim=-1)
    shape = weights.shape[:-1]
    k = torch.multinomial(weights.reshape(-1, weights.shape[-1]), 1, generator=generator).view(*shape, 1)
    mu, log_s = (p.expand_as(mixture.logits).gather(-1, k).squeeze(-1) for p in (mixture.mu, mixture.log_s))
    u = torch.rand(shape, generator=generator, device=mu.device, dtype=mu.dtype).clamp(1e-7, 1 - 1e-7)
    return torch.round(mu + log_s.exp() * torch.logit(u)).clamp(0, VALUES - 1)
