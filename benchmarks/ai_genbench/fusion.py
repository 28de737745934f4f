"""Fusing the scores of an image's crops into one."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Fusion = Literal["mean_probability", "mean_logit", "max"]
FUSIONS: tuple[Fusion, ...] = ("mean_probability", "mean_logit", "max")


def fuse_crops(
    scores: ArrayLike, crop_to_image: ArrayLike, images: int, fusion: Fusion = "mean_probability"
) -> NDArray[np.float64]:
    """One probability an image.

    Args:
        scores: Shape (M,), probability of "generated" of every crop, in [0, 1].
        crop_to_image: Shape (M,), image of every crop, 0 .. `images` − 1 over the whole set.
        images: Number of images N; each must have a crop.
        fusion: `mean_probability` (the benchmark's), `mean_logit` (the sigmoid of the mean logit), or `max`.

    Returns:
        Shape (N,), float64. Under `mean_logit`, an image with a crop at exactly 0 and one at exactly 1 gets 0.5.

    Raises:
        ValueError: Unknown fusion, shapes that differ, an index outside the images, an image without crops, or a
            score outside [0, 1].
    """
    score = np.asarray(scores, dtype=np.float64)
    index = np.asarray(crop_to_image, dtype=np.int64)
    if score.shape != index.shape or score.ndim != 1:
        raise ValueError(f"{score.shape} scores do not match {index.shape} crop indices.")
    if not (np.all(score >= 0) and np.all(score <= 1)):
        raise ValueError("crop scores must be probabilities in [0, 1]; take the sigmoid of logits first.")
    if index.size and (index.min() < 0 or index.max() >= images):
        raise ValueError(f"crop indices run over {index.min()}..{index.max()}, outside the {images} images.")
    counts = np.bincount(index, minlength=images)
    if not counts.all():
        raise ValueError(f"{int((counts == 0).sum())} of {images} images have no crop, the first at {counts.argmin()}.")
    if fusion == "mean_probability":
        return np.bincount(index, weights=score, minlength=images) / counts
    if fusion == "mean_logit":
        return _mean_logit(score, index, counts)
    if fusion == "max":
        highest = np.zeros(images)
        np.maximum.at(highest, index, score)
        return highest
    raise ValueError(f"fusion {fusion!r} is none of {', '.join(FUSIONS)}.")


def _mean_logit(score: NDArray[np.float64], index: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    # the smallest positive float32 bounds logits at saturated scores, as float32 dumps hold them
    tiny = float(np.finfo(np.float32).tiny)
    logit = np.log(np.maximum(score, tiny)) - np.log(np.maximum(1 - score, tiny))
    mean = np.bincount(index, weights=logit, minlength=counts.size) / counts
    return np.asarray(1 / (1 + np.exp(-np.clip(mean, -700, 700))))


def global_crop_index(batch_local: ArrayLike, identifiers: ArrayLike) -> NDArray[np.int64]:
    """Image of every crop over the whole set, from the batch-local index that the original's dumps hold.

    Args:
        batch_local: Shape (M,), `crop_to_image_index` of the dump: it starts again at 0 in every batch.
        identifiers: Shape (M,), `crop_identifiers`: id of the image of every crop.

    Returns:
        Shape (M,), 0 .. N − 1 in order of appearance.
    """
    local, ids = np.asarray(batch_local), np.asarray(identifiers)
    changes = (local[1:] != local[:-1]) | (ids[1:] != ids[:-1])
    return np.concatenate([np.zeros(min(1, local.size), dtype=np.int64), np.cumsum(changes, dtype=np.int64)])
