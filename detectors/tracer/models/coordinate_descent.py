"""Iterated conditional modes for VAR's tokens: each token in turn takes the code that is best given all others.

The features are affine in the code vectors: f_hat = const + Σ_j L_j e_j, with L_j = "bicubic, then the scale's linear
refinement" for token j. With residual r = f − f_hat, giving token j the code e changes ½‖r‖² by

    ½ eᵀG_j e − eᵀ(L_jᵀ r + G_j e_old) + const,     G_j = L_jᵀ L_j.

With a table of ½ eᵀG_j e per token and code, computed once per tokenizer, the exact search over all codes is one matrix
product. Tokens of a scale whose contributions do not overlap are updated together, which does not change the result.
This method is our own; it is the exact counterpart of Algorithm 3's gradient search.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from detectors.tracer.models.var_quantiser import VarQuantiser


@dataclass(frozen=True)
class TokenGroup:
    """Tokens of one scale that share no pixels, and their part of the scale's linear map."""

    index: Tensor  # int64 [g], indices within the scale
    spread: Tensor  # [g, side²], a unit at each token after bicubic upsampling
    gram: Tensor  # [g, C, C], G_j
    table: Tensor  # [g, V], ½ eᵀG_j e


@dataclass(frozen=True)
class ScaleMap:
    """The linear part of one scale."""

    kernel: Tensor  # [C, C, 3, 3], the refinement ½ identity + ½ convolution as one convolution
    groups: tuple[TokenGroup, ...]  # All tokens of the scale, each in one group


def _groups(spread: Tensor, side: int) -> tuple[Tensor, ...]:
    """Group the tokens of a scale by greedy colouring of pixel overlap (with a margin of one for the refinement)."""
    maps = spread.ne(0).float().reshape(-1, 1, side, side)
    touched = F.max_pool2d(maps, 3, stride=1, padding=1).flatten(1)
    overlap = (touched @ touched.T > 0).cpu()
    groups: list[list[int]] = []
    blocked: list[Tensor] = []
    for token in range(len(overlap)):
        free = next((i for i, mask in enumerate(blocked) if not mask[token]), None)
        if free is None:
            groups.append([token])
            blocked.append(overlap[token].clone())
        else:
            groups[free].append(token)
            blocked[free] |= overlap[token]
    return tuple(torch.tensor(group, device=spread.device) for group in groups)


@torch.no_grad()
def scale_map(quantiser: VarQuantiser, scale: int) -> ScaleMap:
    """The linear part of a scale; it takes milliseconds and is independent of images."""
    side, n = quantiser.side, quantiser.patch_nums[scale]
    codebook = quantiser.embedding.weight.float()
    C = codebook.shape[1]
    # One channel is enough, since upsampling treats all channels alike; image j of the batch holds token j's unit.
    units = torch.eye(n * n, device=codebook.device)[:, :, None]
    spread = quantiser.upsample(units, scale).flatten(1)
    kernel = 0.5 * quantiser.phi(scale).weight.float()
    kernel[:, :, 1, 1] += 0.5 * torch.eye(C, device=kernel.device)
    shifted = F.unfold(spread.reshape(-1, 1, side, side), 3, padding=1)  # [n², 9, side²]
    shift_gram = shifted @ shifted.transpose(1, 2)
    taps = kernel.flatten(2).permute(2, 0, 1)  # [9, C_out, C_in]
    tap_gram = torch.einsum("sac,tad->stcd", taps, taps)
    gram = torch.einsum("jst,stcd->jcd", shift_gram, tap_gram)
    table = 0.5 * torch.einsum("vc,jcd,vd->jv", codebook, gram, codebook)
    groups = (TokenGroup(index, spread[index], gram[index], table[index]) for index in _groups(spread, side))
    return ScaleMap(kernel, tuple(groups))


@torch.no_grad()
def scale_maps(quantiser: VarQuantiser) -> list[ScaleMap]:
    """All scales' linear parts (11 MB of tables at the published size)."""
    return [scale_map(quantiser, scale) for scale in range(len(quantiser.lengths))]


@torch.no_grad()
def coordinate_descent(
    quantiser: VarQuantiser,
    f: Tensor,
    *,
    sweeps: int = 3,
    start: Tensor | None = None,
    maps: list[ScaleMap] | None = None,
) -> Tensor:
    """Improve tokens until no single change helps, for at most a number of sweeps.

    Args:
        quantiser: VAR's.
        f: Features [B, C, side, side].
        sweeps: Maximum number of passes over all tokens, coarse to fine.
        start: int64 [B, L]; the greedy tokens by default.
        maps: From :func:`scale_maps`; computed by default.

    Returns:
        Tokens int64 [B, L]; no image has a larger squared error than at its start.
    """
    target = f.float()
    codebook = quantiser.embedding.weight.float()
    tokens = (quantiser.quantise(target)[0] if start is None else start).clone()
    maps = scale_maps(quantiser) if maps is None else maps
    offsets = [sum(quantiser.lengths[:scale]) for scale in range(len(quantiser.lengths))]
    for _ in range(sweeps):
        residual = target - quantiser.features(tokens)  # recomputed in each sweep, to avoid accumulated rounding
        changed = False
        for scale_part, offset in zip(maps, offsets, strict=True):
            for group in scale_part.groups:
                changed |= _update(scale_part.kernel, group, tokens, offset, codebook, residual)
        if not changed:
            break
    return tokens


def _update(kernel: Tensor, group: TokenGroup, tokens: Tensor, offset: int, codebook: Tensor, residual: Tensor) -> bool:
    """Give each token of a group its best code, in place; return whether any changed."""
    B, C, side, _ = residual.shape
    old = tokens[:, offset + group.index]  # [B, g]
    e_old = codebook[old]
    back = F.conv_transpose2d(residual, kernel, padding=1).flatten(2)
    pull = torch.einsum("gp,bcp->bgc", group.spread, back) + torch.einsum("gcd,bgd->bgc", group.gram, e_old)
    score = group.table - pull @ codebook.T  # [B, g, V]
    best, new = score.min(-1)
    kept = score.gather(-1, old[..., None])[..., 0]
    # a gain within rounding does not count, since it could lead to an endless cycle
    gains = best < kept - 1e-6 * (1.0 + kept.abs())
    if not bool(gains.any()):
        return False
    new = torch.where(gains, new, old)
    tokens[:, offset + group.index] = new
    step = torch.einsum("gp,bgc->bcp", group.spread, codebook[new] - e_old).reshape(B, C, side, side)
    residual -= F.conv2d(step, kernel, padding=1)
    return True
