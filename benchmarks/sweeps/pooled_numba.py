"""Loops over all images, for `LANES` draws of a bootstrap at once: calibration error, and risk by coverage."""

import numba
import numpy as np

from benchmarks.sweeps.lanes_numba import LANES, add, collect
from benchmarks.sweeps.ranked_numba import Floats, Ints, Weights


@numba.njit(cache=True, nogil=True, error_model="numpy")
def masses(weights: Weights, images: Ints) -> Floats:
    """[LANES] weights of all images together, of which each photograph [K] has so many."""
    total = np.zeros((1, LANES))
    for photo in range(images.size):
        add(total, 0, weights, photo, float(images[photo]))
    sums: Floats = total[0]
    return sums


@numba.njit(cache=True, nogil=True, error_model="numpy")
def calibration(weights: Weights, photo: Ints, ends: Ints, excess: Floats, total: Floats, bins: int) -> Floats:
    """[LANES] sums over bins of equal mass of the absolute value of the excess.

    Args:
        weights: [K, LANES] of the photographs.
        photo: [M] photograph of each image, by rising score.
        ends: [G] where each group of equal scores ends; it is in the bin of its middle.
        excess: [M] score less label.
        total: [LANES] weights of all images.
        bins: number of bins.
    """
    sums, passed, own = np.zeros((1, LANES)), np.zeros((1, LANES)), np.zeros((1, LANES))
    place, found = np.zeros(LANES, np.int64), np.zeros(LANES)
    since, patience, heaviest = 0.0, 0.0, float(weights.max())
    begin = 0
    for end in ends:
        since += (end - begin) * heaviest
        if since > patience:  # a bin may end here in some lane
            own[:] = 0
            for i in range(begin, end):
                add(own, 0, weights, photo[i], 1.0)
            since, patience = 0.0, np.inf
            for lane in range(LANES):
                if total[lane] == 0:
                    continue
                middle = passed[0, lane] + own[0, lane] / 2
                at = min(int(middle * bins / total[lane]), bins - 1)
                if at != place[lane]:
                    found[lane] += abs(sums[0, lane])
                    sums[0, lane], place[lane] = 0.0, at
                if at < bins - 1:
                    left = (at + 1) * total[lane] / bins - passed[0, lane] - own[0, lane] - 0.5
                    patience = min(patience, left)
        for i in range(begin, end):
            add(passed, 0, weights, photo[i], 1.0)
            add(sums, 0, weights, photo[i], excess[i])
        begin = end
    every: Floats = found + np.abs(sums[0])
    return every


@numba.njit(cache=True, nogil=True, error_model="numpy")
def risk(
    weights: Weights, most: Ints, photo: Ints, ends: Ints, wrong: Floats, total: Floats, harmonic: Floats
) -> Floats:
    """[LANES] sums over all coverages k of the share of wrong calls among the k most confident images.

    A wrong call at place i adds 1/k for every k from i on: the harmonic number of all places less that of i - 1.

    Args:
        weights: [K, LANES] of the photographs.
        most: [K] the largest weight of each photograph.
        photo: [M] photograph of each image, by falling confidence.
        ends: [G] where each group of equal confidence ends; its images have the share of errors among all of them.
        wrong: [M] 1 where the call is wrong, else 0.
        total: [LANES] weights of all images.
        harmonic: harmonic numbers from 0 to the largest total plus the largest weight.
    """
    passed, own, errors = np.zeros((1, LANES)), np.zeros((1, LANES)), np.zeros((1, LANES))
    alone, missed, tied = np.zeros((1, LANES)), np.zeros((1, LANES)), np.zeros(LANES)
    begin = 0
    for end in ends:
        if end - begin == 1 and wrong[begin]:
            add(alone, 0, weights, photo[begin], 1.0)
            collect(missed, passed, weights, photo[begin], harmonic, most[photo[begin]])
        elif end - begin > 1 and wrong[begin:end].any():
            own[:], errors[:] = 0, 0
            for i in range(begin, end):
                add(own, 0, weights, photo[i], 1.0)
                add(errors, 0, weights, photo[i], wrong[i])
            for lane in range(LANES):
                mass, first, last = int(own[0, lane]), int(passed[0, lane]), harmonic[int(total[lane])]
                for k in range(first, first + mass if errors[0, lane] > 0 else first):
                    tied[lane] += errors[0, lane] / mass * (last - harmonic[k])
        for i in range(begin, end):
            add(passed, 0, weights, photo[i], 1.0)
        begin = end
    for lane in range(LANES):
        tied[lane] += alone[0, lane] * harmonic[int(total[lane])] - missed[0, lane]
    return tied
