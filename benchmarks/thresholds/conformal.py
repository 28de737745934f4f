"""A threshold whose false-positive rate is bounded in finite samples: split conformal prediction on real images.

If a new real photograph is exchangeable with the n calibration ones, its highest score is above their k-th smallest
with probability at most 1 − k / (n + 1) (Vovk, Gammerman & Shafer 2005). The unit is the photograph, since its crops
and edits are alike; n photographs allow no bound below 1 / (n + 1).
"""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.errors import ConfigError, DataError
from contracts.words import counted

Values = NDArray[np.float32]
LARGEST = np.finfo(np.float32).max


def single(scores: NDArray[Any]) -> Values:
    """[N] scores in the precision of thresholds; infinite ones become the largest number, which JSON can hold."""
    return np.clip(np.asarray(scores, dtype=np.float64), -LARGEST, LARGEST).astype(np.float32)


def calibration(
    scores: NDArray[np.floating], groups: Sequence[str], sources: Sequence[str] | None = None
) -> dict[str, list[float]]:
    """The highest score of each real photograph, ascending, by source.

    Args:
        scores: [n] of real images, higher meaning generated.
        groups: [n] photograph of each image; "" where an image is its own.
        sources: [n] source of each image, or None to take all as one, called "".
    """
    highest: dict[str, dict[str, float]] = {}
    names = [""] * len(scores) if sources is None else list(sources)
    for place, (score, group, source) in enumerate(zip(single(scores), groups, names, strict=True)):
        units = highest.setdefault(str(source), {})
        unit = str(group) or f"\x00{place}"
        units[unit] = max(units.get(unit, -np.inf), float(score))
    return {source: sorted(units.values()) for source, units in sorted(highest.items())}


def conformal_threshold(units: Mapping[str, Sequence[float]], rate: float) -> float:
    """The lowest threshold that a real photograph exceeds with probability at most ``rate``, whatever its source.

    `calibration` returns ``units``.

    Raises:
        ConfigError: the rate is not between 0 and 1.
        DataError: a source has too few photographs for the rate.
    """
    if not 0 < rate < 1:
        raise ConfigError(f"threshold.fpr={rate}", "Give a rate between 0 and 1, such as 0.01.")
    if not units:
        raise DataError("there is no real image to bound the false-positive rate", "Give a table with real images.")
    found = []
    for source, values in units.items():
        n = len(values)
        k = ceil((n + 1) * (1 - rate) - 1e-9)
        if k > n:
            where = f" of source {source!r}" if source else ""
            raise DataError(
                f"{counted(n, 'real photograph')}{where} cannot bound the false-positive rate at {rate:g}, only at "
                f"1/{n + 1} = {1 / (n + 1):.4g} or more",
                f"Give at least {ceil(1 / rate - 1e-9) - 1} real photographs, or a higher threshold.fpr.",
            )
        found.append(values[k - 1])
    return max(found)


def p_values(units: Mapping[str, Sequence[float]], scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """[N] smallest false-positive rate at which each image would be called generated; of several sources the largest.

    For an image exchangeable with the real ones, P(p ≤ a) ≤ a for every a. `calibration` returns ``units``; a higher
    score [N] means generated. NaN for a score that is NaN.
    """
    values = single(scores).astype(np.float64)
    found = [(1 + len(u) - np.searchsorted(np.asarray(u), values, side="left")) / (len(u) + 1) for u in units.values()]
    return np.where(np.isnan(values), np.nan, np.max(np.stack(found), axis=0))


def posterior(logits: NDArray[np.floating], prevalence: float, share: float = 0.5) -> NDArray[np.float64]:
    """[N] P(generated) if a share ``prevalence`` of the images is generated, by Bayes' rule.

    Args:
        logits: [N] calibrated for images of which a share ``share`` is generated.
        prevalence: share of generated images among those to be scored.
        share: share of generated images that the logits assume: as many generated as real images by default.

    Raises:
        ConfigError: the prevalence is not between 0 and 1.
    """
    if not 0 < prevalence < 1:
        raise ConfigError(f"predict.prevalence={prevalence}", "Give a share between 0 and 1, such as 0.01.")
    shifted = np.asarray(logits, dtype=np.float64) + np.log(prevalence / (1 - prevalence) * (1 - share) / share)
    return np.asarray(np.exp(-np.logaddexp(0, -shifted)))


def expected_precision(tpr: float, fpr: float, prevalence: float) -> float:
    """Share of generated images among those called generated; NaN if none is called so."""
    called = prevalence * tpr + (1 - prevalence) * fpr
    return prevalence * tpr / called if called > 0 else float("nan")
