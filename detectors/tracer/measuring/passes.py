"""The two passes that produce all evidence: one through a family's tokenizer, one through each variant.

Each image takes each pass once; the results are small (tokens, a few losses, features, two log-probabilities per token)
and contain everything the decisions need.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from detectors.tracer.measuring.class_labels import marginal_log_likelihood, mixed_log_prob
from detectors.tracer.measuring.features import variant_features
from detectors.tracer.measuring.inverse_decoder import TokenizerModel
from detectors.tracer.measuring.likelihood import Sampling, TokenModel, token_scores
from detectors.tracer.measuring.membership import Spread, zlib_lengths
from detectors.tracer.measuring.provenance import ProvenanceSignals, provenance_signals
from detectors.tracer.models.quantise import Method
from detectors.tracer.models.tokenizer import from_unit
from detectors.tracer.models.var_transformer import VarTransformer

NULL = -1  # Candidate label that means "no class"


def encode_pass(
    tokenizer: TokenizerModel, images: Tensor, method: Method = "greedy", steps: int = 200
) -> ProvenanceSignals:
    """Tokens and provenance signals, without the reconstruction baseline.

    Args:
        tokenizer: With its own encoder or the inverse decoder.
        images: [B, 3, S, S] float in [0, 1].
        method: Quantiser of VAR's features.
        steps: Updates per stage of ``soft``.

    Raises:
        DataError: For images of another size or range.
    """
    x = from_unit(tokenizer, images)
    return provenance_signals(tokenizer, x, method=method, steps=steps, reconstruct=False)


@dataclass(frozen=True)
class Scored:
    """Results of a variant's pass for B images."""

    features: Tensor  # float32 [B, F]
    names: tuple[str, ...]  # F names
    lp: Tensor  # float32 [B, L, 2], log-probability of each token with and without class, the input of PRADA
    label: Tensor  # int64 [B], the chosen class label


def lengths_of(model: TokenModel) -> tuple[int, ...]:
    """Tokens of each scale; a RAR model has one scale."""
    return model.lengths if isinstance(model, VarTransformer) else (model.length,)


@torch.no_grad()
def variant_pass(
    model: TokenModel,
    tokens: Tensor,
    labels: Tensor,
    log_prior: Tensor,
    sampling: Sampling,
    *,
    teacher_input: Tensor | None = None,
    positions: int = 64,
    spread: Spread = "variance",
    mixed: bool = False,
) -> Scored:
    """Score all candidate labels and the null class in one batch, and keep the candidate of the highest likelihood.

    Args:
        model: The variant.
        tokens: int64 [B, L].
        labels: int64 [B, K] candidates; :data:`NULL` for no class.
        log_prior: [B, K], weight of each candidate in the choice and in the feature ``marginal``.
        sampling: Sampling settings of the variant.
        teacher_input: For VAR.
        positions: Tokens per slice of the softmax.
        spread: See :meth:`TokenStatistics.surprise`.
        mixed: ``lp`` averages over the candidates (:func:`mixed_log_prob`) instead of using the likeliest one.
    """
    given = torch.where(labels == NULL, model.null_label, labels)
    scores = token_scores(model, tokens, given, sampling, teacher_input=teacher_input, positions=positions)
    totals = scores.cond.lp.sum(-1)
    best = (totals + log_prior).argmax(1)
    marginal = marginal_log_likelihood(totals, log_prior) / tokens.shape[1]
    chosen = scores.choose(best)
    zlib = zlib_lengths(tokens.cpu()).to(tokens.device)
    features = variant_features(chosen, zlib, lengths_of(model), spread=spread) | {"marginal": marginal}
    lp = mixed_log_prob(scores.cond.lp, log_prior) if mixed else chosen.cond.lp[:, 0]
    return Scored(
        features=torch.stack([value.float() for value in features.values()], 1),
        names=tuple(features),
        lp=torch.stack([lp, chosen.lp_null], -1).float(),
        label=labels.gather(1, best[:, None])[:, 0],
    )
