"""From provenance scores to a family: three strategies for a threshold, and the decision rule.

Lower scores mean "made by this family"; a score is accepted if it is at most the threshold.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.floating]
Criterion = Literal["youden", "accuracy", "fpr"]
STRATEGIES = ("percentile", "gaussian", "supervised")


@dataclass(frozen=True)
class Thresholding:
    """How a family's threshold is chosen."""

    strategy: str = "percentile"  # ``percentile``, ``gaussian`` or ``supervised``
    share: float = 0.95  # fraction of own images accepted (``percentile``)
    k: float = 2.0  # standard deviations above the mean (``gaussian``)
    criterion: str = "youden"  # the criterion of ``supervised``


def percentile_threshold(own: Scores, share: float = 0.95) -> float:
    """Threshold that accepts this fraction of the family's own scores.

    Args:
        own: Scores of the family's own images, none of them from the test set.
        share: In (0, 1].
    """
    if not 0 < share <= 1:
        raise ValueError(f"share must be in (0, 1], got {share}")
    return float(np.quantile(_finite(own, "own"), share))


def gaussian_threshold(own: Scores, k: float = 2.0) -> float:
    """exp(mean + k standard deviations) of the logarithms of the family's own scores (unbiased variance).

    Raises:
        ValueError: If fewer than two scores are given, or one is not positive.
    """
    own = _finite(own, "own")
    if len(own) < 2 or own.min() <= 0:
        raise ValueError(f"needs at least two positive scores, got {len(own)} with minimum {own.min():.4g}")
    logs = np.log(own)
    return float(np.exp(logs.mean() + k * logs.std(ddof=1)))


def supervised_threshold(own: Scores, other: Scores, criterion: Criterion = "youden", max_fpr: float = 0.01) -> float:
    """The threshold that separates best on validation images, halfway between the accepted and rejected scores.

    Args:
        own: Scores of the family's own images.
        other: Scores of the other family's and of outliers.
        criterion: ``youden`` (true minus false positive rate), ``accuracy``, or ``fpr``: the most own images at a
            false positive rate of at most ``max_fpr`` (the paper's TPR@1%FPR).
        max_fpr: For ``fpr``.
    """
    own, other = np.sort(_finite(own, "own")), np.sort(_finite(other, "other"))
    accepted_at = np.concatenate([[-np.inf], np.unique(np.concatenate([own, other]))])
    tp = np.searchsorted(own, accepted_at, side="right")
    fp = np.searchsorted(other, accepted_at, side="right")
    if criterion == "youden":
        value = tp / len(own) - fp / len(other)
    elif criterion == "accuracy":
        value = (tp + len(other) - fp).astype(float)
    elif criterion == "fpr":
        value = np.where(fp / len(other) <= max_fpr, tp, -1).astype(float)
    else:
        raise ValueError(f"unknown criterion {criterion!r}; choose youden, accuracy or fpr")
    best = int(value.argmax())
    low = accepted_at[best]
    if best + 1 == len(accepted_at):
        return float(low)
    high = accepted_at[best + 1]
    return float(np.nextafter(high, -np.inf) if np.isneginf(low) else min((low + high) / 2, np.nextafter(high, low)))


def threshold_rule(
    scores: Mapping[str, Scores], thresholds: Mapping[str, float], quant_losses: Mapping[str, Scores], outlier: str
) -> npt.NDArray[np.str_]:
    """The published two-step rule: no family accepts → outlier; one → that one; several → the lower QuantLoss.

    QuantLosses of families whose features differ in dimension and scale are not comparable, so ties between families
    are decided poorly; a classifier on all four log-losses does better.

    Args:
        scores: Family → [N].
        thresholds: Family → threshold.
        quant_losses: Family → [N].
        outlier: Name of the class that no family accepts.

    Returns:
        [N] names.

    Raises:
        ValueError: If the three do not name the same families.
    """
    families = list(scores)
    if set(thresholds) != set(families) or set(quant_losses) != set(families):
        raise ValueError(
            f"scores, thresholds and QuantLosses must name the same families, got {sorted(scores)}, "
            f"{sorted(thresholds)} and {sorted(quant_losses)}"
        )
    accepted = np.stack([scores[name] <= thresholds[name] for name in families])
    losses = np.where(accepted, np.stack([quant_losses[name] for name in families]), np.inf)
    names = np.array([*families, outlier])
    return names[np.where(accepted.any(0), losses.argmin(0), len(families))]


def family_features(quant_losses: Mapping[str, Scores], enc_losses: Mapping[str, Scores]) -> npt.NDArray[np.float64]:
    """[N, 2 F] logarithms of both losses of every family, the input of the calibrated rule.

    The calibrated rule is a `LinearClassifier` on these, with the families and ``outlier`` as classes.
    """
    columns = [np.log(np.maximum(part[name], 1e-12)) for name in quant_losses for part in (quant_losses, enc_losses)]
    return np.stack(columns, 1).astype(np.float64)


def _finite(scores: Scores, what: str) -> Scores:
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 1 or not len(scores) or not np.isfinite(scores).all():
        raise ValueError(f"{what}: needs a non-empty vector of finite scores, got shape {scores.shape}")
    return scores
