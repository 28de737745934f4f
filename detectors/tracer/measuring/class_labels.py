"""The class label to condition on, since a test image has none.

Policies: ``given`` (from a file), ``classifier`` (the k best of an ImageNet classifier), ``generator`` (the labels
under which a variant gives a prefix of the tokens the highest likelihood), ``marginal`` (average of the likelihood over
the classifier's k best), ``null`` (no class). Maximising over labels also raises the scores of other images, so the
decisions must be fitted with the same policy.
"""

from typing import Literal, get_args

import torch
from torch import Tensor

from detectors.tracer.measuring.likelihood import TokenModel, log_likelihood
from detectors.tracer.models.rar_transformer import RarTransformer

LabelPolicy = Literal["given", "classifier", "generator", "marginal", "null"]
POLICIES: tuple[str, ...] = get_args(LabelPolicy)
VAR_SCREENING_SCALES = 5  # 55 of 680 tokens
RAR_SCREENING_TOKENS = 48


def classifier_candidates(class_logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k likeliest labels int64 [B, k] of classifier logits [B, classes], and their log-probabilities [B, k]."""
    best = class_logits.float().log_softmax(-1).topk(min(k, class_logits.shape[-1]), dim=-1)
    return best.indices, best.values


def prefix_length(model: TokenModel) -> int:
    """Number of tokens used to screen labels; whole scales for VAR, which makes the prefix exact."""
    if isinstance(model, RarTransformer):
        return min(RAR_SCREENING_TOKENS, model.length)
    return sum(model.lengths[:VAR_SCREENING_SCALES])


@torch.no_grad()
def screen_labels(
    model: TokenModel,
    tokens: Tensor,
    k: int,
    *,
    teacher_input: Tensor | None = None,
    prefix: int | None = None,
    batch: int = 32,
) -> tuple[Tensor, Tensor]:
    """The k labels under which the first tokens have the highest likelihood.

    Args:
        model: Any variant of the family; the smallest is enough.
        tokens: int64 [B, L].
        k: Labels to keep.
        teacher_input: For VAR, [B, L − 1, C].
        prefix: Number of tokens to use, by default :func:`prefix_length`; with all of them the search is exact.
        batch: Labels per pass.

    Returns:
        Labels int64 [B, k], likeliest first; and their log-likelihoods [B, k] over the prefix.
    """
    n = prefix_length(model) if prefix is None else prefix
    fed = None if teacher_input is None else teacher_input[:, : n - 1]
    parts = []
    for labels in torch.arange(model.size.classes, device=tokens.device).split(batch):  # type: ignore[no-untyped-call]
        wide = labels.expand(len(tokens), -1)
        parts.append(log_likelihood(model, tokens[:, :n], wide, teacher_input=fed))
    best = torch.cat(parts, 1).topk(min(k, model.size.classes), dim=-1)
    return best.indices, best.values


def marginal_log_likelihood(log_likelihoods: Tensor, log_prior: Tensor) -> Tensor:
    """Logarithm [B] of Σ_y p(y) p(tokens | y) over K candidates, the prior renormalised to them.

    The log-likelihoods [B, K] are those of whole token sequences, the log-prior [B, K] is the classifier's.
    """
    return (log_likelihoods + log_prior.log_softmax(-1)).logsumexp(-1)


def mixed_log_prob(lp: Tensor, log_prior: Tensor) -> Tensor:
    """Log-probability of each token when its class is one of the candidates.

    p(t_i | t_<i) = Σ_y p(y | t_<i) p(t_i | t_<i, y), p(y | t_<i) by Bayes from the
    tokens so far. Their sum is :func:`marginal_log_likelihood`.

    Args:
        lp: [B, K, L] log-probability of each token given each candidate.
        log_prior: [B, K] from the classifier.

    Returns:
        [B, L].
    """
    so_far = log_prior.log_softmax(-1)[..., None] + lp.cumsum(-1)
    total = so_far.logsumexp(1)
    return torch.diff(total, dim=1, prepend=torch.zeros_like(total[:, :1]))
