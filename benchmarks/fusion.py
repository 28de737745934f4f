"""Several crops of an image, one score: how crop logits are fused.

A fusion is a plain function of the logits of n images with k crops each, [n, k] float64, to one logit per image,
[n] float64. To add one, write such a function and one YAML line, e.g.
``fusion: {_target_: detectors.mine.fusion.median, _partial_: true}``.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from contracts.errors import check_known

Fusion = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def mean_probability(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logit of the mean of the crops' probabilities (AI-GenBench's rule), without saturating.

    logit(mean p) = log Σp − log Σ(1 − p); both sums are taken in the log domain.
    """
    log_fake = np.logaddexp.reduce(-np.logaddexp(0, -logits), axis=1)
    log_real = np.logaddexp.reduce(-np.logaddexp(0, logits), axis=1)
    return np.asarray(log_fake - log_real)


def mean_logit(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of the crops' logits (the geometric mean of their odds)."""
    return np.asarray(logits.mean(axis=1))


def maximum(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """The largest logit of an image's crops."""
    return np.asarray(logits.max(axis=1))


FUSIONS: dict[str, Fusion] = {"mean_probability": mean_probability, "mean_logit": mean_logit, "maximum": maximum}


def as_fusion(fusion: str | Fusion) -> Fusion:
    """A fusion by its name, or the function itself.

    Raises:
        ConfigError: no fusion has that name.
    """
    if callable(fusion):
        return fusion
    check_known("fusion", fusion, FUSIONS)
    return FUSIONS[fusion]


def fuse(
    crop_logits: NDArray[np.floating], crop_to_image: NDArray[np.int64], images: int, fusion: str | Fusion
) -> NDArray[np.float64]:
    """Fuses the logits of crops into one logit per image.

    Args:
        crop_logits: [M].
        crop_to_image: [M] position 0..images-1 of the image each crop belongs to; any order, any number of crops.
        images: N.
        fusion: name or function; images with one crop keep its logit whatever the fusion.

    Returns:
        [N] float64.

    Raises:
        ValueError: an image has no crop, or the fusion returns something other than one logit per image.
    """
    function = as_fusion(fusion)
    order = np.argsort(crop_to_image, kind="stable")
    logits = np.asarray(crop_logits, dtype=np.float64)[order]
    counts = np.bincount(crop_to_image, minlength=images)
    if counts.size != images or (counts == 0).any():
        raise ValueError(f"{images} images, but crops belong to {np.count_nonzero(counts)} of {counts.size}")
    starts = np.cumsum(counts) - counts
    fused: NDArray[np.float64] = logits[starts].copy()
    for k in np.unique(counts[counts > 1]):
        chosen = np.flatnonzero(counts == k)
        result = np.asarray(function(logits[starts[chosen, None] + np.arange(k)]), dtype=np.float64)
        if result.shape != chosen.shape:
            raise ValueError(f"fusion {function} turned [{chosen.size}, {k}] logits into {list(result.shape)}, not [n]")
        fused[chosen] = result
    return fused
