"""Loops over sorted images, for `LANES` draws of a bootstrap at once.

Weights are those of photographs, [K, `LANES`], so an image costs one row of them. They are whole numbers, and so is
every sum of them up to 2^53: the order of additions changes nothing.
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from benchmarks.intervals.lanes_numba import AHEAD, LANES, add, credit, overtake, prefetch

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Weights = NDArray[np.unsignedinteger[Any]]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def ranked(
    weights: Weights, photo: Ints, ends: Ints, real: Ints, cell: Ints, members: Ints, first: Ints, opponents: Ints,
    cuts: Ints, needed: Floats, sums: Floats, overtaken: Floats, called: Floats, reached: Floats,
) -> None:  # fmt: skip
    """Sums over C subsets, whose real images form R sets, of M images by falling score.

    Generated images that are in the same subsets form a cell.

    Args:
        weights: [K, LANES].
        photo: [M] photograph of each image.
        ends: [G] where each group of equal scores ends.
        real: [M] the set that a real image is in, -1 for a generated one.
        cell: [M] the cell that a generated image is in.
        members: subsets of the cells, one cell after another.
        first: [cells + 1] place in ``members`` of each cell's first subset.
        opponents: [C] the set of real images of each subset.
        cuts: [T] number of images above each threshold, ascending.
        needed: [L, R, LANES] most real images that may be at or above a generated one.
        sums: [2, C, LANES], zeros; gets the generated images; the precisions, summed.
        overtaken: [cells, LANES], zeros; gets the real images above each generated one, summed over generated ones
            (equal ones count half).
        called: [2, T, max(C, R), LANES]; gets the generated and the real images above each threshold.
        reached: [L, C, LANES]; gets the generated images with few enough real ones above.
    """
    subsets, (limits, sets, _) = opponents.size, needed.shape
    tp, precision = sums[0], sums[1]
    fp, half = np.zeros((sets, LANES)), np.zeros((sets, LANES))
    pending = np.ones((limits, sets, LANES), np.bool_)
    since, patience = np.zeros(sets), np.zeros(sets)
    heaviest = float(weights.max())
    begin, cut = 0, 0
    for end in ends:
        while cut < cuts.size and cuts[cut] <= begin:
            called[0, cut, :subsets], called[1, cut, :sets] = tp, fp
            cut += 1
        for i in range(begin, end):
            prefetch(weights, photo[min(i + AHEAD, photo.size - 1)])
            own = real[i]
            if own < 0:
                continue
            add(fp, own, weights, photo[i], 1.0)
            if end - begin > 1:
                add(half, own, weights, photo[i], 0.5)
            since[own] += heaviest
        for own in range(sets):
            if since[own] > patience[own]:
                since[own], patience[own] = 0.0, np.inf
                for limit in range(limits):
                    for lane in range(LANES):
                        left = needed[limit, own, lane] - fp[own, lane]
                        if not pending[limit, own, lane]:
                            continue
                        if left >= 0:
                            patience[own] = min(patience[own], left)
                            continue
                        pending[limit, own, lane] = False
                        for subset in range(subsets):
                            if opponents[subset] == own:
                                reached[limit, subset, lane] = tp[subset, lane]
        single = end - begin == 1
        if not single:
            for i in range(begin, end):
                if real[i] < 0:
                    for at in range(first[cell[i]], first[cell[i] + 1]):
                        add(tp, members[at], weights, photo[i], 1.0)
        for i in range(begin, end):
            if real[i] >= 0:
                continue
            start, stop = first[cell[i]], first[cell[i] + 1]
            own = opponents[members[start]]
            overtake(overtaken, cell[i], fp, own, half, own, weights, photo[i])
            for at in range(start, stop):
                subset = members[at]
                credit(precision, subset, tp, subset, fp, own, weights, photo[i], 1.0 if single else 0.0)
        if not single:
            half[:] = 0
        begin = end
    while cut < cuts.size:
        called[0, cut, :subsets], called[1, cut, :sets] = tp, fp
        cut += 1
    for limit in range(limits):
        for subset in range(subsets):
            for lane in range(LANES):
                if pending[limit, opponents[subset], lane]:
                    reached[limit, subset, lane] = tp[subset, lane]
