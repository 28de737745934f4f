"""Membership-inference statistics of token sequences: how much a model behaves as if it had seen the image.

Source: Kowalczuk et al., "Privacy Attacks on Image AutoRegressive Models" (2025) and its released code; the single
attacks: Min-K% (Shi et al. 2024), Min-K%++ (Zhang et al. 2025), CAMIA (Chang et al. 2024), SURP (Zhang & Wu 2024), zlib
(Carlini et al. 2021). For guided models the original feeds the difference of conditional and null logits.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

KS = (0.1, 0.2, 0.3, 0.4, 0.5)
ENTROPY_LIMITS = (2.0, 4.0, 8.0, 16.0)
Spread = Literal["variance", "std"]


@dataclass(frozen=True)
class TokenStatistics:
    """Statistics of one softmax at each token, all [..., L]."""

    lp: Tensor  # Log-probability of the token
    mu: Tensor  # Mean log-probability Σ p ln p of the distribution (minus its entropy)
    var: Tensor  # Variance of the log-probability under the distribution
    margin: Tensor  # Logit of the token minus the largest other one
    rank: Tensor  # Number of tokens with a larger logit

    def map(self, change: Callable[[Tensor], Tensor]) -> "TokenStatistics":
        """The statistics with a function applied to each tensor."""
        return TokenStatistics(*(change(value) for value in vars(self).values()))

    def surprise(self, spread: Spread = "variance") -> Tensor:
        """Standardised log-probability of Min-K%++, [..., L].

        Args:
            spread: ``variance`` divides by the variance, as the released code does; ``std`` by its root, as the
                Min-K%++ paper does.
        """
        scale = self.var if spread == "variance" else self.var.clamp_min(0).sqrt()
        return (self.lp - self.mu) / (scale + 1e-6)


def token_statistics(logits: Tensor, tokens: Tensor) -> TokenStatistics:
    """Reduce logits [..., L, V] at tokens int64 [..., L]; half-precision logits are converted to float32 first."""
    logits = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
    at = tokens[..., None]
    all_lp = logits.log_softmax(-1)
    p = all_lp.exp()
    mu = (p * all_lp).sum(-1)
    own = logits.gather(-1, at)
    others = logits.scatter(-1, at, -torch.inf).amax(-1)
    return TokenStatistics(
        lp=all_lp.gather(-1, at)[..., 0],
        mu=mu,
        var=(p * all_lp.square()).sum(-1) - mu.square(),
        margin=own[..., 0] - others,
        rank=(logits > own).sum(-1).to(logits.dtype),
    )


def zlib_lengths(tokens: Tensor) -> Tensor:
    """Bytes of each token list [B, L], printed and compressed, float64 [B]. Depends on the zlib library's version."""
    return torch.tensor([len(zlib.compress(str(row).encode())) for row in tokens.tolist()], dtype=torch.float64)


def membership_features(
    statistics: TokenStatistics, zlib_length: Tensor, *, spread: Spread = "variance", surprisal: bool = False
) -> dict[str, Tensor]:
    """The 18 features of the guided models, each [B], where lower means "member".

    Args:
        statistics: [B, L] each.
        zlib_length: [B] from :func:`zlib_lengths`.
        spread: See :meth:`TokenStatistics.surprise`.
        surprisal: Add the SURP features. The released code has 40 of them, but its limit on the surprisal has no
            effect; the eight distinct ones are given here (a mean and a fraction for each limit on entropy).
    """
    lp, pp = statistics.lp, statistics.surprise(spread)
    loss = -lp.mean(-1)
    features = {"loss": loss, "zlib_ratio": loss / zlib_length.to(loss), "hinge": -statistics.margin.mean(-1)}
    features |= {f"min_k%_{k}": _mean_of_largest(-lp, k) for k in KS}
    if surprisal:
        for limit in ENTROPY_LIMITS:
            certain = (-statistics.mu < limit).to(lp.dtype)
            features[f"surp_mean_H{limit}"] = -(lp * certain).sum(-1) / certain.sum(-1).clamp_min(1)
            features[f"surp_frac_H{limit}"] = -certain.mean(-1)
    features |= {f"min_k%++_{k}": _mean_of_largest(-pp, k) for k in KS}
    features["camia_below_mean"] = _share(lp < lp.mean(-1, keepdim=True))
    features["camia_below_mean_pp"] = _share(pp < pp.mean(-1, keepdim=True))
    features["camia_below_prev_mean"] = -_share(_below_running_mean(lp))
    features["camia_below_prev_mean_pp"] = -_share(_below_running_mean(pp))
    place = torch.arange(lp.shape[-1], device=lp.device, dtype=lp.dtype)
    place = place - place.mean()
    features["camia_slope"] = (lp * place).sum(-1) / place.square().sum()
    return features


def _mean_of_largest(values: Tensor, share: float) -> Tensor:
    """Mean of the largest ``share`` of the values along the last axis."""
    return values.topk(max(1, int(share * values.shape[-1])), dim=-1).values.mean(-1)


def _share(mask: Tensor) -> Tensor:
    return mask.to(torch.float32).mean(-1)


def _below_running_mean(values: Tensor) -> Tensor:
    """Whether each value lies below the mean of itself and all earlier values."""
    count = torch.arange(1, values.shape[-1] + 1, device=values.device)
    return values < values.cumsum(-1) / count
