"""Log-likelihood of tokens under a variant's own guided sampling distribution.

A generator samples from the guided and filtered softmax at its temperature; this likelihood is the strongest evidence
of which sibling sampled the tokens. Settings of the published models: :mod:`detectors.tracer.models.sizes`.
"""

import torch
from torch import Tensor

from detectors.tracer.models.sampling import keep_top, rar_guidance, var_guidance
from detectors.tracer.models.sizes import RarSampling, VarSampling


def var_guided_logits(cond: Tensor, null: Tensor, cfg: float, lengths: tuple[int, ...], first: int = 0) -> Tensor:
    """Guided logits [B, n, V] of tokens ``first`` … ``first + n``.

    Args:
        cond: Logits [B, n, V] given the class.
        null: Logits without the class.
        cfg: Guidance strength of the last scale.
        lengths: Tokens of every scale of the model.
        first: Index of the first token.
    """
    strengths = [var_guidance(cfg, scale, len(lengths)) for scale in range(len(lengths))]
    t = torch.tensor(strengths, device=cond.device).repeat_interleave(torch.tensor(lengths, device=cond.device))
    t = t[first : first + cond.shape[1], None].to(cond.dtype)
    return (1 + t) * cond - t * null


def var_guided_log_prob(
    cond: Tensor, null: Tensor, tokens: Tensor, sampling: VarSampling, lengths: tuple[int, ...], first: int = 0
) -> tuple[Tensor, Tensor]:
    """Log-probability of tokens as VAR samples them.

    Args:
        cond: Logits [B, n, V] given the class.
        null: Logits without the class.
        tokens: int64 [B, n].
        sampling: Guidance and filters.
        lengths: Tokens of every scale of the model.
        first: Index of the first token.

    Returns:
        [B, n] log-probabilities, −inf for a token that the filters exclude; and the mask [B, n, V] of the tokens that
        they allow.
    """
    logits = var_guided_logits(cond, null, sampling.cfg, lengths, first)
    kept = keep_top(logits, sampling.top_k, sampling.top_p)
    lp = logits.masked_fill(~kept, -torch.inf).log_softmax(-1)
    return lp.gather(-1, tokens[..., None])[..., 0], kept


def rar_guided_log_prob(
    cond: Tensor, null: Tensor, tokens: Tensor, sampling: RarSampling, length: int, first: int = 0
) -> Tensor:
    """Log-probability [B, n] of tokens ``first`` … ``first + n`` as RAR samples them.

    Args:
        cond: Logits [B, n, V] given the class.
        null: Logits without the class.
        tokens: int64 [B, n].
        sampling: Guidance schedule and temperature.
        length: Tokens of a whole image, over which the schedule runs.
        first: Index of the first token.
    """
    s = rar_guidance(sampling, length)[first : first + cond.shape[1], None].to(cond)
    lp = ((null + s * (cond - null)) / sampling.temperature).log_softmax(-1)
    return lp.gather(-1, tokens[..., None])[..., 0]
