"""Exact entropy of 256-bin logistic mixtures, in nats.

The mixture's cumulative function is evaluated once at the 255 interior bin edges and differenced: 255 K sigmoids a
subpixel and no logarithm per component, against 256 K log-masses by the direct route.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from detectors.zed.entropy.entropy_numba import entropy_numpy
from detectors.zed.entropy.logistic import VALUES, Mixture, mixture_log_prob
from detectors.zed.entropy.nll_numba import nll_numpy

Backend = Literal["auto", "torch", "numba", "triton"]
CHUNK = 2**11  # Subpixels whose 256 bins are held at once by the plain route: 2 MB in float32, which a CPU cache holds


def entropy(mixture: Mixture, backend: Backend = "auto") -> Tensor:
    """Entropy of every mixture.

    Args:
        mixture: Parameters ``[..., K]``.
        backend: ``torch`` is differentiable and keeps the dtype of the parameters; ``numba`` (CPU) and ``triton``
            (GPU) are fused float32 kernels without gradient, within 2e-5 nats of it. ``auto`` takes the device's fused
            kernel unless a parameter is float64 or needs a gradient.

    Returns:
        ``[...]``, between 0 and log 256.

    Raises:
        ValueError: If the backend is unknown or does not fit the device.
    """
    kind = mixture.mu.device.type
    if backend == "auto":
        plain = mixture.mu.dtype == torch.float64 or (torch.is_grad_enabled() and mixture.mu.requires_grad)
        backend = "torch" if plain else {"cpu": "numba", "cuda": "triton"}.get(kind, "torch")  # type: ignore[assignment]
    if backend == "torch":
        return entropy_by_edges(mixture)
    fitting = {"numba": "cpu", "triton": "cuda"}
    if backend not in fitting:
        raise ValueError(f"entropy backend {backend!r} is unknown: choose auto, torch, numba or triton")
    if fitting[backend] != kind:
        raise ValueError(f"entropy backend {backend!r} runs on {fitting[backend]}, the parameters are on {kind}")
    shape, flat = _flat(Mixture(*(p.detach().float() for p in mixture)))
    if backend == "numba":
        logits, mu, log_s = (p.numpy() for p in flat)
        found = entropy_numpy(logits, mu, log_s, torch.get_num_threads())
        return torch.from_numpy(found).view(shape)
    # triton exists only beside a GPU build of torch
    from detectors.zed.entropy.entropy_triton import entropy_triton

    return entropy_triton(torch.softmax(flat.logits, dim=-1), flat.mu, torch.exp(-flat.log_s)).view(shape)


def negative_log_prob(value: Tensor, mixture: Mixture, clamp_p: float | None = None) -> Tensor:
    """NLL of every value: by a fused kernel on a CPU in float32 without gradient, otherwise by `mixture_log_prob`.

    Args:
        value: Pixel values ``[...]``.
        mixture: Parameters ``[..., K]``.
        clamp_p: See `detectors.zed.entropy.logistic.log_prob`; the fused kernel has no such floor.

    Returns:
        ``[...]``, in nats.
    """
    plain = mixture.mu.device.type != "cpu" or mixture.mu.dtype != torch.float32 or clamp_p is not None
    if plain or (torch.is_grad_enabled() and mixture.mu.requires_grad):
        return -mixture_log_prob(value, mixture, clamp_p)
    shape, flat = _flat(mixture)
    values = value.float().expand(shape).reshape(-1)
    logits, mu, log_s = (p.detach().float().numpy() for p in flat)
    found = torch.from_numpy(nll_numpy(values.numpy(), logits, mu, log_s, torch.get_num_threads()))
    beyond = found.isnan()
    if bool(beyond.any()):
        found[beyond] = -mixture_log_prob(values[beyond], Mixture(*(p[beyond] for p in flat)))
    return found.view(shape)


def entropy_by_edges(mixture: Mixture, chunk: int = CHUNK) -> Tensor:
    """Entropy by the cumulative function at the bin edges: the readable, differentiable reference."""
    return _chunked(by_edges, mixture, chunk)


def entropy_by_log_probs(mixture: Mixture, chunk: int = CHUNK) -> Tensor:
    """Entropy from the 256 log-masses of every component: the direct route, kept as a check and as a baseline."""
    return _chunked(_by_log_probs, mixture, chunk)


def _chunked(route: Callable[[Mixture], Tensor], mixture: Mixture, chunk: int) -> Tensor:
    shape, flat = _flat(mixture)
    starts = range(0, max(len(flat.mu), 1), chunk)
    return torch.cat([route(Mixture(*(p[i : i + chunk] for p in flat))) for i in starts]).view(shape)


def _flat(mixture: Mixture) -> tuple[torch.Size, Mixture]:
    """Leading shape, and the same parameters as ``[N, K]``."""
    shape = torch.broadcast_shapes(*(p.shape for p in mixture))  # type: ignore[no-untyped-call]
    return shape[:-1], Mixture(*(p.expand(shape).reshape(-1, shape[-1]) for p in mixture))


def by_edges(mixture: Mixture) -> Tensor:
    """`entropy_by_edges` of all mixtures at once."""
    weights = torch.softmax(mixture.logits, dim=-1)
    edges = torch.arange(VALUES - 1, device=weights.device, dtype=weights.dtype) + 0.5
    inv_s = torch.exp(-mixture.log_s)
    cdf = torch.zeros(*weights.shape[:-1], VALUES - 1, device=weights.device, dtype=weights.dtype)
    for k in range(weights.shape[-1]):
        cdf = cdf + weights[..., k, None] * torch.sigmoid((edges - mixture.mu[..., k, None]) * inv_s[..., k, None])
    p = torch.cat([cdf[..., :1], cdf.diff(dim=-1), 1 - cdf[..., -1:]], dim=-1).clamp_min(0)
    return -(p * torch.log(p.clamp_min(torch.finfo(p.dtype).tiny))).sum(dim=-1)


def _by_log_probs(mixture: Mixture) -> Tensor:
    values = torch.arange(VALUES, device=mixture.mu.device, dtype=mixture.mu.dtype)
    log_p = mixture_log_prob(values, Mixture(*(p.unsqueeze(-2) for p in mixture)))
    return -(log_p.exp() * log_p).sum(dim=-1)
