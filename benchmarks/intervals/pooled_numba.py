"""Loops over all images, for `LANES` draws of a bootstrap at once: calibration error, and risk by coverage."""

import numba
import numpy as np

from benchmarks.intervals.lanes_numba import AHEAD, LANES, add, count, prefetch
from benchmarks.intervals.ranked_numba import Floats, Ints, Weights


@numba.njit(cache=True, nogil=True, error_model="numpy")
def masses(weights: Weights, images: Ints) -> Floats:
    """[LANES] weights of all images together; ``images`` [K] is the number of images of each photograph."""
    total = np.zeros((1, LANES))
    for photo in range(images.size):
        add(total, 0, weights, photo, float(images[photo]))
    sums: Floats = total[0]
    return sums


@numba.njit(cache=True, nogil=True, error_model="numpy")
def sums(weights: Weights, photo: Ints, values: Floats, ends: Ints) -> Floats:
    """[S, LANES] weighted sums of the values [M] of images, up to the end of each of S segments.

    Args:
        weights: [K, LANES] of the photographs.
        photo: [M] photograph of each image.
        values: [M].
        ends: [S] where each segment ends.
    """
    found = np.zeros((ends.size, LANES))
    begin = 0
    for segment, end in enumerate(ends):
        for i in range(begin, end):
            add(found, segment, weights, photo[i], values[i])
        begin = end
    return found


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
    sums, passed, own = np.zeros((1, LANES)), np.zeros((1, LANES), np.uint32), np.zeros((1, LANES), np.uint32)
    place, found = np.zeros(LANES, np.int64), np.zeros(LANES)
    since, patience, heaviest = 0.0, 0.0, float(weights.max())
    begin = 0
    for end in ends:
        since += (end - begin) * heaviest
        if since > patience:  # a bin may end here in some lane
            own[:] = 0
            for i in range(begin, end):
                count(own, 0, weights, photo[i])
            since, patience = 0.0, np.inf
            for lane in range(LANES):
                if total[lane] == 0:
                    continue
                middle = passed[0, lane] + own[0, lane] / 2.0
                at = min(int(middle * bins / total[lane]), bins - 1)
                if at != place[lane]:
                    found[lane] += abs(sums[0, lane])
                    sums[0, lane], place[lane] = 0.0, at
                if at < bins - 1:
                    left = (at + 1) * total[lane] / bins - float(passed[0, lane]) - float(own[0, lane]) - 0.5
                    patience = min(patience, left)
        for i in range(begin, end):
            prefetch(weights, photo[min(i + AHEAD, photo.size - 1)])
            count(passed, 0, weights, photo[i])
            add(sums, 0, weights, photo[i], excess[i])
        begin = end
    every: Floats = found + np.abs(sums[0])
    return every


@numba.njit(cache=True, nogil=True, error_model="numpy")
def risk(weights: Weights, photo: Ints, ends: Ints, wrong: Floats, table: Ints, scale: float, last: Floats) -> Floats:
    """[LANES] sums over all coverages k of the share of wrong calls among the k most confident images.

    A wrong call at place i adds 1/k for every k from i on: the harmonic number of all places less that of i - 1. Those
    of the places between two numbers of images are a difference in ``table``, whole numbers modulo 2^64, so that no
    digit is lost however many are added; only the ends of a run of wrong calls matter.

    Args:
        weights: [K, LANES] of the photographs.
        photo: [M] photograph of each image, by falling confidence.
        ends: [G] where each group of equal confidence ends; its images have the share of errors among all of them.
        wrong: [M] 1 where the call is wrong, else 0.
        table: sum of the first harmonic numbers, from that of 0, times ``scale``.
        scale: of the table.
        last: [LANES] harmonic number of the total.
    """
    passed, own, alone = (
        np.zeros((1, LANES), np.uint32),
        np.zeros((1, LANES), np.uint32),
        np.zeros((1, LANES), np.uint32),
    )
    errors, tied, missed = np.zeros((1, LANES)), np.zeros(LANES), np.zeros(LANES, np.int64)
    begin, inside = 0, False
    for end in ends:
        single = end - begin == 1
        bad = single and wrong[begin] > 0
        if bad and not inside:
            for lane in range(LANES):
                missed[lane] -= table[passed[0, lane]]
        elif inside and not bad:
            for lane in range(LANES):
                missed[lane] += table[passed[0, lane]]
        inside = bad
        if bad:
            count(alone, 0, weights, photo[begin])
        elif not single and wrong[begin:end].any():
            own[:], errors[:] = 0, 0
            for i in range(begin, end):
                count(own, 0, weights, photo[i])
                add(errors, 0, weights, photo[i], wrong[i])
            for lane in range(LANES):
                if errors[0, lane] > 0:
                    gone = table[passed[0, lane] + own[0, lane]] - table[passed[0, lane]]
                    tied[lane] += errors[0, lane] * (last[lane] - gone / scale / own[0, lane])
        for i in range(begin, end):
            prefetch(weights, photo[min(i + AHEAD, photo.size - 1)])
            count(passed, 0, weights, photo[i])
        begin = end
    for lane in range(LANES):
        if inside:
            missed[lane] += table[passed[0, lane]]
        tied[lane] += alone[0, lane] * last[lane] - missed[lane] / scale
    return tied
