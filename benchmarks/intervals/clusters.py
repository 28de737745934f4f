"""Clusters of images that a bootstrap samples together: photographs, with their crops and edits."""

import numpy as np
from numpy.typing import NDArray

from benchmarks.predictions import Predictions


def clusters(predictions: Predictions) -> NDArray[np.int64]:
    """[N] number of the cluster each image is in; an image without a group is a cluster of its own."""
    _, number = np.unique(predictions.group, return_inverse=True)
    alone = predictions.group == ""
    number = number.astype(np.int64)
    number[alone] = number.max(initial=0) + 1 + np.arange(int(alone.sum()))
    return np.unique(number, return_inverse=True)[1].astype(np.int64)


def few(cluster: NDArray[np.int64], images: NDArray[np.int64], least: int) -> bool:
    """Whether there are images at these positions, but of fewer than ``least`` clusters; ``cluster`` is [N]."""
    # most often the first thousand images show it
    return images.size > 0 and all(np.unique(cluster[part]).size < least for part in (images[:1000], images))


def strata(real: NDArray[np.bool_], made: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Clusters of real images only, of generated images only, and of both, from two masks; none is left alone."""
    alone = [real & ~made, made & ~real]
    both = real & made
    if both.sum() == 1:
        larger = int(alone[1].sum() > alone[0].sum())
        alone[larger], both = alone[larger] | both, both & ~both
    else:
        for k in (0, 1):
            if alone[k].sum() == 1 and both.any():
                alone[k], both = alone[k] & ~alone[k], both | alone[k]
    return [np.flatnonzero(mask) for mask in (*alone, both)]


def strata_of_classes(holds: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Clusters that hold images of the same classes, from ``holds`` [K, classes]; none is left alone."""
    found = [np.flatnonzero((holds == kind).all(1)) for kind in np.unique(holds, axis=0)[::-1]]
    alone = [own for own in found if len(own) == 1]
    larger = [own for own in found if len(own) > 1]
    if len(alone) == 1 and larger:
        alone.append(larger.pop(int(np.argmax([len(own) for own in larger]))))
    return [*larger, *([np.concatenate(alone)] if alone else [])]
