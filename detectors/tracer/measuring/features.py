"""Features of an image under one variant, for the variant classifier."""

import torch
from torch import Tensor

from detectors.tracer.measuring.likelihood import TokenScores
from detectors.tracer.measuring.membership import Spread, membership_features

EXCLUDED_LP = -20.0


def icas(lp_cond: Tensor, lp_null: Tensor) -> Tensor:
    """Implicit-classifier score, mean over tokens of d / (1.75 + exp(1.3 d)), d = conditional minus null.

    Source: the baseline of Damm et al. (PRADA, 2026), after Kowalczuk et al. (2025).
    """
    d = lp_cond - lp_null
    return (d / (1.75 + (1.3 * d).exp())).mean(-1)


def variant_features(
    scores: TokenScores, zlib_length: Tensor, lengths: tuple[int, ...], *, spread: Spread = "variance"
) -> dict[str, Tensor]:
    """All features [B] of one variant.

    Args:
        scores: Of one label per image, [B, 1, L] (see :meth:`TokenScores.choose`).
        zlib_length: [B].
        lengths: Tokens of every scale (RAR: one scale of all tokens).
        spread: See :meth:`TokenStatistics.surprise`.

    Returns:
        Membership features of the contrast softmax (plain names), perplexity with and without class, likelihood under
        the variant's own sampling with the share it excludes, ICAS, entropy, rank, and per scale k the mean and the
        standard deviation of both log-probabilities and of their difference.

    Raises:
        ValueError: If there is more than one label per image.
    """
    if scores.cond.lp.shape[1] != 1:
        raise ValueError(f"features need one label per image, got {scores.cond.lp.shape[1]}; choose one first")
    cond = scores.cond.lp[:, 0]
    features = membership_features(scores.contrast.map(lambda value: value[:, 0]), zlib_length, spread=spread)
    guided = scores.lp_guided[:, 0]
    features["log_perplexity"] = -cond.mean(-1)
    features["log_perplexity_null"] = -scores.lp_null.mean(-1)
    features["guided"] = guided.clamp_min(EXCLUDED_LP).mean(-1)
    features["guided_excluded"] = guided.isneginf().float().mean(-1)
    features["icas"] = icas(cond, scores.lp_null)
    features["entropy"] = -scores.cond.mu[:, 0].mean(-1)
    features["log_rank"] = scores.cond.rank[:, 0].log1p().mean(-1)
    per_token = {"cond": cond, "null": scores.lp_null, "ratio": cond - scores.lp_null}
    for name, values in per_token.items():
        for scale, part in enumerate(torch.split(values, list(lengths), -1)):
            features[f"{name}_mean_{scale}"] = part.mean(-1)
            features[f"{name}_std_{scale}"] = part.std(-1, correction=0)
    return features
