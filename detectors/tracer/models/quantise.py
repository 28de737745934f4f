"""Three methods to turn features into VAR tokens: greedy, gradient search (Algorithm 3), exact coordinate descent.

Algorithm 3: Zhao et al., "Data Provenance for Image Auto-Regressive Generation" (2026). RAR has one plain codebook,
where the nearest neighbour is optimal; only VAR's residual scales need a search.
"""

from typing import Literal

import torch
from torch import Tensor

from detectors.tracer.models.coordinate_descent import coordinate_descent
from detectors.tracer.models.rar_vqgan import RarVqgan
from detectors.tracer.models.var_quantiser import VarQuantiser
from detectors.tracer.models.var_vqvae import VarVqvae

Method = Literal["greedy", "soft", "icm"]
START_LOGIT = 0.5
TAU_START, TAU_END = 2.0, 0.5
LEARNING_RATE = 0.1


def quantise(
    tokenizer: VarVqvae | RarVqgan, f: Tensor, method: Method = "greedy", *, steps: int = 200, sweeps: int = 3
) -> tuple[Tensor, Tensor]:
    """Tokens of features, and the quantised features.

    Args:
        tokenizer: Of either family; for RAR every method is the (optimal) nearest neighbour.
        f: [B, C, h, w].
        method: ``greedy`` scale by scale; ``soft`` Algorithm 3; ``icm`` coordinate descent from the greedy tokens.
        steps: Updates per stage of ``soft``; the original's 200 make 1,200 in six stages.
        sweeps: Maximum number of passes of ``icm`` over all tokens.

    Returns:
        Tokens int64 [B, L] and features float32 [B, C, h, w]; for ``soft`` and ``icm`` never further from ``f`` than
        the greedy ones, image by image.

    Raises:
        ValueError: For an unknown method.
    """
    if method not in ("greedy", "soft", "icm"):
        raise ValueError(f"unknown quantiser {method!r}; choose greedy, soft or icm")
    if method == "greedy" or isinstance(tokenizer, RarVqgan):
        return tokenizer.quantise(f)
    if method == "icm":
        tokens = coordinate_descent(tokenizer.quantize, f, sweeps=sweeps)
    else:
        tokens, _ = algorithm_3(tokenizer.quantize, f, steps=steps)
    with torch.no_grad():
        return tokens, tokenizer.features(tokens)


def soft_stage(
    quantiser: VarQuantiser, f: Tensor, tokens: Tensor, *, free: int, steps: int
) -> tuple[Tensor, list[float]]:
    """One stage of Algorithm 3: relax the codes of the coarsest ``free`` scales, descend, snap to the likeliest code.

    Every position holds logits over the codebook, 0.5 at its present code and 0 elsewhere; the relaxed code is their
    softmax average, at a temperature that falls geometrically from 2.0 to 0.5. The loss is summed over images:
    the result for an image does not depend on its batch (a mean shrinks gradients below Adam's epsilon).

    Args:
        quantiser: VAR's.
        f: Target features [B, C, side, side].
        tokens: int64 [B, L] to start from; scales from index ``free`` onwards stay fixed.
        free: Number of scales to optimise, from the coarsest.
        steps: Adam updates.

    Returns:
        Tokens int64 [B, L]; and half the mean square before each update, averaged over the batch.
    """
    codebook = quantiser.embedding.weight.detach().float()
    lengths = quantiser.lengths
    split = list(torch.split(tokens, list(lengths), 1))
    target = f.detach().float()
    with torch.no_grad():
        for scale in range(free, len(lengths)):
            target = target - quantiser.lift(codebook[split[scale]], scale)
    free_tokens = torch.cat(split[:free], 1)
    logits = torch.zeros(*free_tokens.shape, len(codebook), device=f.device)
    logits.scatter_(2, free_tokens[..., None], START_LOGIT).requires_grad_(True)
    optimiser = torch.optim.Adam([logits], lr=LEARNING_RATE)
    losses = []
    for step in range(steps):
        tau = TAU_START * (TAU_END / TAU_START) ** (step / max(1, steps - 1))
        codes = (logits / tau).softmax(-1) @ codebook
        f_hat = torch.zeros_like(target)
        for scale, part in enumerate(torch.split(codes, list(lengths[:free]), 1)):
            f_hat = f_hat + quantiser.lift(part, scale)
        loss = 0.5 * (f_hat - target).square().mean((1, 2, 3))
        losses.append(float(loss.detach().mean()))
        (logits.grad,) = torch.autograd.grad(loss.sum(), logits)
        optimiser.step()
    return torch.cat([logits.detach().argmax(-1), *split[free:]], 1), losses


def algorithm_3(
    quantiser: VarQuantiser, f: Tensor, *, steps: int = 200, guard: bool = True
) -> tuple[Tensor, list[float]]:
    """Algorithm 3: all scales free, then again with the finest frozen, the two finest, … half of them.

    Args:
        quantiser: VAR's.
        f: [B, C, side, side].
        steps: Updates per stage.
        guard: Return, per image, the best of the greedy tokens and every stage's. The original returns the last
            stage's, which can be further from ``f`` than the greedy ones.

    Returns:
        Tokens int64 [B, L]; and the loss before each update, all stages in order.
    """
    scales = len(quantiser.lengths)
    with torch.no_grad():
        tokens, _ = quantiser.quantise(f)
    best, losses = tokens, []
    best_error = hard_error(quantiser, f, tokens)
    for free in range(scales, scales // 2 - 1, -1):
        tokens, stage = soft_stage(quantiser, f, tokens, free=free, steps=steps)
        losses += stage
        error = hard_error(quantiser, f, tokens)
        better = error < best_error
        best = torch.where(better[:, None], tokens, best)
        best_error = torch.where(better, error, best_error)
    return (best if guard else tokens), losses


@torch.no_grad()
def hard_error(quantiser: VarQuantiser, f: Tensor, tokens: Tensor) -> Tensor:
    """Mean squared error [B] between features and the features of the tokens."""
    return (quantiser.features(tokens) - f.float()).square().mean((1, 2, 3))
