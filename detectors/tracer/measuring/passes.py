"""The two passes that all evidence comes from: one through a family's tokenizer, one through each variant.

Each image goes once through either; what is kept of a pass is small (tokens, a few losses, features, two
log-probabilities a token) and is all that the decisions need.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from detectors.tracer.measuring.class_labels import marginal_log_likelihood, mixed_log_prob
from detectors.tracer.measuring.features import variant_features
from detectors.tracer.measuring.inverse_decoder import TokenizerModel
from detectors.tracer.measuring.likelihood import Sampling, TokenModel, token_scores
from detectors.tracer.measuring.membership import Spread, zlib_lengths
from detectors.tracer.measuring.provenance import provenance_signals
from detectors.tracer.models.quantise import Method
from detectors.tracer.models.tokenizer import from_unit
from detectors.tracer.models.var_transformer import VarTransformer

NULL = -1
"""Mark of "no class" among candidate labels."""


@dataclass(frozen=True)
class Encoded:
    """What the tokenizer's pass leaves of B images.

    Attributes:
        tokens: int64 [B, L].
        quant_loss: float32 [B], see :class:`detectors.tracer.measuring.provenance.ProvenanceSignals`.
        enc_loss: [B], likewise.
    """

    tokens: Tensor
    quant_loss: Tensor
    enc_loss: Tensor


def encode_pass(tokenizer: TokenizerModel, images: Tensor, method: Method = "greedy", steps: int = 200) -> Encoded:
    """Tokens and provenance signals.

    Args:
        tokenizer: With the inverse decoder's encoder, or its own.
        images: [B, 3, S, S] float in [0, 1].
        method: Quantiser of VAR's features.
        steps: Updates a stage of ``soft``.

    Raises:
        DataError: For images of another size or range.
    """
    x = from_unit(tokenizer, images)
    signals = provenance_signals(tokenizer, x, method=method, steps=steps, reconstruct=False)
    return Encoded(signals.tokens, signals.quant_loss, signals.enc_loss)


@dataclass(frozen=True)
class Scored:
    """What a variant's pass leaves of B images.

    Attributes:
        features: float32 [B, F].
        names: F names.
        lp: float32 [B, L, 2], log-probability of each token with and without class: PRADA's input.
        label: int64 [B], the class label taken.
    """

    features: Tensor
    names: tuple[str, ...]
    lp: Tensor
    label: Tensor


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
    """All candidate labels and the null class in one batch; kept is the candidate under which the tokens are likeliest.

    Args:
        model: The variant.
        tokens: int64 [B, L].
        labels: int64 [B, K] candidates; :data:`NULL` for no class.
        log_prior: [B, K], weight of each candidate in the choice and in the feature ``marginal``.
        sampling: How the variant draws.
        teacher_input: For VAR.
        positions: Tokens a slice of the softmax.
        spread: See :meth:`TokenStatistics.surprise`.
        mixed: ``lp`` has the class averaged out (:func:`mixed_log_prob`) instead of set to the likeliest candidate.
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
