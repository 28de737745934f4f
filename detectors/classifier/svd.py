"""Tuning the smallest singular directions of attention matrices (Effort: Yan et al., ICML 2025)."""

import re
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from contracts.errors import ConfigError
from detectors.backbones.library import State

ATTENTION = re.compile(r"(?:^|\.)(?:attn|self_attn)\.(qkv|q_proj|k_proj|v_proj|proj|out_proj)$")


class Split(nn.Module):
    """Parametrisation of a weight [parts · out, in]: the fixed part, plus U diag(S) V of each matrix.

    Args:
        weight: matrices one above the other; each is decomposed by itself (queries, keys and values have singular
            values of very different sizes).
        parts: number of matrices.
        rank: trained directions of each, those of the smallest singular values.
        regularised: also keep the other directions, which `penalty` needs.
    """

    def __init__(self, weight: Tensor, parts: int, rank: int, regularised: bool) -> None:
        super().__init__()
        each = weight.detach().unflatten(0, (parts, -1))  # type: ignore[no-untyped-call]
        U, S, V = torch.linalg.svd(each.float(), full_matrices=False)
        if not 0 < rank < S.shape[1]:
            raise ConfigError(
                f"detector.rank={rank} of matrices with {S.shape[1]} singular directions",
                f"Give 1 to {S.shape[1] - 1}, the number of directions to train.",
            )
        self.U = nn.Parameter(U[:, :, -rank:].to(weight.dtype).clone())
        self.S = nn.Parameter(S[:, -rank:].to(weight.dtype).clone())
        self.V = nn.Parameter(V[:, -rank:].to(weight.dtype).clone())
        if regularised:  # of the weight that training started from, so never part of a checkpoint
            self.register_buffer("other_U", U[:, :, :-rank].clone(), persistent=False)
            self.register_buffer("other_V", V[:, :-rank].clone(), persistent=False)
            self.register_buffer("squared_norm", each.square().sum((1, 2)), persistent=False)

    def residual(self) -> Tensor:
        """U diag(S) V, [parts · out, in]."""
        return (self.U * self.S[:, None] @ self.V).flatten(0, 1)

    def forward(self, main: Tensor) -> Tensor:
        """The weight in use."""
        return main + self.residual()

    def right_inverse(self, weight: Tensor) -> Tensor:
        """The fixed part of a weight."""
        return weight - self.residual().detach()

    def penalty(self, main: Tensor) -> tuple[Tensor, Tensor]:
        """Distance from orthonormal directions, and change of the squared norm, each [parts].

        ½ ‖ŨŨᵀ - I‖ + ½ ‖ṼṼᵀ - I‖ with all directions side by side, and | ‖W‖² - ‖W₀‖² |, Frobenius norms.
        """
        U = torch.cat([self.get_buffer("other_U"), self.U], 2)
        V = torch.cat([self.get_buffer("other_V"), self.V], 1)
        apart = [M @ M.mT - torch.eye(M.shape[1], device=M.device) for M in (U, V)]
        orthogonal = sum(0.5 * torch.linalg.matrix_norm(one) for one in apart)
        now = self(main).unflatten(0, (len(self.S), -1)).square().sum((1, 2))
        return torch.as_tensor(orthogonal), (now - self.get_buffer("squared_norm")).abs()


def attention_weights(module: nn.Module) -> Iterator[tuple[str, nn.Module, str, int]]:
    """Name, module, tensor's name and number of matrices of every attention projection of a transformer."""
    for name, part in module.named_modules():
        found = ATTENTION.search(name)
        if isinstance(part, nn.MultiheadAttention):
            yield f"{name}.in_proj", part, "in_proj_weight", 3
        elif isinstance(part, nn.Linear) and found:
            yield name, part, "weight", 3 if found[1] == "qkv" else 1


def split_attention(module: nn.Module, name: str, rank: int, regularised: bool) -> None:
    """Freeze a transformer and make the smallest directions of its attention projections trainable, in place.

    Raises:
        ConfigError: it has no attention projections, or fewer directions.
    """
    module.requires_grad_(False)
    weights = list(attention_weights(module))
    if not weights:
        raise ConfigError(f"detector.tune=svd: {name} has no attention projections", "Choose a vision transformer.")
    for _, part, tensor, count in weights:
        split = Split(getattr(part, tensor), count, rank, regularised)
        parametrize.register_parametrization(part, tensor, split)
        _kept(part, tensor).requires_grad_(False)


def _kept(part: nn.Module, tensor: str) -> Tensor:
    kept: Any = part.get_submodule(f"parametrizations.{tensor}")
    original: Tensor = kept.original
    return original


def splits(module: nn.Module) -> Iterator[tuple[Split, Tensor]]:
    """Every `Split` inside, and the kept matrix beside it."""
    for name, part in module.named_modules():
        if isinstance(part, Split):
            yield part, module.get_parameter(f"{name.rpartition('.')[0]}.original")


def penalty(module: nn.Module) -> Tensor:
    """Mean over all matrices of both penalties, the paper's regulariser; the released training leaves it out."""
    found = [sum(split.penalty(main)) for split, main in splits(module)]
    return torch.cat([torch.as_tensor(one) for one in found]).mean()


def merged_splits(module: nn.Module) -> State:
    """The state dict that the network has with plain weights, which compute the same."""
    state = {k: v for k, v in module.state_dict().items() if ".parametrizations." not in f".{k}"}
    for name, part in module.named_modules():
        if parametrize.is_parametrized(part):
            for tensor in dict(part.get_submodule("parametrizations").named_children()):
                state[f"{name}.{tensor}".lstrip(".")] = getattr(part, tensor).detach()
    return state
