"""Statistics of a variant's softmax from one teacher-forced pass, without storing the softmax.

Conditional passes for several candidate labels and one null pass go through the model as one batch; the last linear
layer and its softmax are then computed for one slice of positions at a time, so [B, L, V] logits never exist.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from detectors.tracer.measuring.membership import TokenStatistics, token_statistics
from detectors.tracer.models.guided import rar_guided_log_prob, var_guided_log_prob
from detectors.tracer.models.rar_transformer import RarTransformer
from detectors.tracer.models.sizes import RarSampling, VarSampling
from detectors.tracer.models.var_transformer import VarTransformer

TokenModel = VarTransformer | RarTransformer
Sampling = VarSampling | RarSampling


@dataclass(frozen=True)
class TokenScores:
    """Per image, candidate label and token."""

    cond: TokenStatistics  # Statistics [B, K, L] of the conditional softmax
    contrast: TokenStatistics  # Statistics [B, K, L] of the softmax of conditional minus null logits
    lp_null: Tensor  # [B, L] log-probability without a class
    lp_guided: Tensor  # [B, K, L] log-probability under the variant's own sampling; −inf for tokens it cannot sample

    def choose(self, index: Tensor) -> "TokenScores":
        """The scores [B, 1, L] of one candidate label per image; ``index`` int64 [B]."""
        rows = torch.arange(len(index), device=index.device)

        def pick(x: Tensor) -> Tensor:
            return x[rows, index][:, None]

        return TokenScores(
            cond=self.cond.map(pick),
            contrast=self.contrast.map(pick),
            lp_null=self.lp_null,
            lp_guided=pick(self.lp_guided),
        )


def model_inputs(model: TokenModel, tokens: Tensor, teacher_input: Tensor | None) -> Tensor:
    """Input of the model: for RAR the tokens, for VAR the family's shared teacher-forcing input.

    Raises:
        ValueError: If it is absent for a VAR model.
    """
    if isinstance(model, RarTransformer):
        return tokens
    if teacher_input is None:
        raise ValueError("a VAR model needs teacher_input, from VarQuantiser.teacher_input(tokens)")
    return teacher_input


@torch.no_grad()
def token_scores(
    model: TokenModel,
    tokens: Tensor,
    labels: Tensor,
    sampling: Sampling,
    *,
    teacher_input: Tensor | None = None,
    positions: int = 64,
) -> TokenScores:
    """Score tokens under one variant.

    Args:
        model: The variant; run it under ``torch.autocast`` for bfloat16 blocks (head and softmax stay float32).
        tokens: int64 [B, L].
        labels: int64 [B, K] candidate labels of each image.
        sampling: Sampling settings of the variant.
        teacher_input: For VAR, [B, L − 1, C], the same for every variant of the family.
        positions: Tokens per slice of the softmax; limits memory to (K + 1) B × positions × V floats.
    """
    B, K = labels.shape
    inputs = model_inputs(model, tokens, teacher_input)
    null = torch.full((B, 1), model.null_label, dtype=labels.dtype, device=labels.device)
    stacked = torch.cat([null, labels], 1).T.flatten()  # label-major: null of all images first
    hidden = model.trunk(stacked, inputs.repeat(K + 1, *[1] * (inputs.ndim - 1)))
    hidden = hidden.unflatten(0, (K + 1, B))  # type: ignore[no-untyped-call]
    parts: list[tuple[TokenStatistics, TokenStatistics, Tensor, Tensor]] = []
    for first in range(0, tokens.shape[1], positions):
        at = tokens[:, first : first + positions]
        logits = model.project(hidden[:, :, first : first + positions])
        uncond, cond = logits[0], logits[1:]
        wide = at.expand(K, -1, -1)
        guided = torch.stack([_guided(model, one, uncond, at, sampling, first) for one in cond])
        lp_null = uncond.log_softmax(-1).gather(-1, at[..., None])[..., 0]
        parts.append((token_statistics(cond, wide), token_statistics(cond - uncond, wide), lp_null, guided))

    def joined(which: int) -> TokenStatistics:
        slices = zip(*(vars(part[which]).values() for part in parts), strict=True)
        return TokenStatistics(*(torch.cat(values, -1).transpose(0, 1) for values in slices))

    return TokenScores(
        cond=joined(0),
        contrast=joined(1),
        lp_null=torch.cat([part[2] for part in parts], -1),
        lp_guided=torch.cat([part[3] for part in parts], -1).transpose(0, 1),
    )


def _guided(model: TokenModel, cond: Tensor, null: Tensor, at: Tensor, sampling: Sampling, first: int) -> Tensor:
    if isinstance(model, VarTransformer) and isinstance(sampling, VarSampling):
        return var_guided_log_prob(cond, null, at, sampling, model.lengths, first)[0]
    if isinstance(model, RarTransformer) and isinstance(sampling, RarSampling):
        return rar_guided_log_prob(cond, null, at, sampling, model.length, first)
    raise ValueError(f"{type(sampling).__name__} is not how a {type(model).__name__} samples")


@torch.no_grad()
def log_likelihood(
    model: TokenModel, tokens: Tensor, labels: Tensor, *, teacher_input: Tensor | None = None, positions: int = 64
) -> Tensor:
    """Log-likelihood [B, K] of tokens given each candidate label, without other statistics.

    Args:
        model: The variant.
        tokens: int64 [B, n], whole or an exact prefix (VAR: of whole scales).
        labels: int64 [B, K].
        teacher_input: For VAR, [B, n − 1, C].
        positions: Tokens per slice of the softmax.
    """
    B, K = labels.shape
    inputs = model_inputs(model, tokens, teacher_input)
    hidden = model.trunk(labels.flatten(), inputs.repeat_interleave(K, 0))
    total = torch.zeros(B * K, device=tokens.device)
    for first in range(0, tokens.shape[1], positions):
        at = tokens[:, first : first + positions].repeat_interleave(K, 0)
        lp = model.project(hidden[:, first : first + positions]).log_softmax(-1)
        total += lp.gather(-1, at[..., None])[..., 0].sum(-1)
    return total.reshape(B, K)
