"""Perceptual hashes and their near pairs, to find the same image in different files."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

BITS = 64
CHUNKS = 4  # of 16 bits: two hashes fewer than four bits apart share at least one chunk (pigeonhole)
BLOCK = 4096
CANDIDATES = 2_000_000  # Pairs compared at once

Hashes = NDArray[np.uint64]


def difference_hash(image: Image.Image) -> int:
    """64-bit dHash: whether each of 8×8 grey cells is brighter than its right neighbour.

    N. Krawetz, "Kind of like that" (2013). The JPEG decoder may downscale by powers of two first, which hardly affects
    a hash of 72 grey values and makes it several times faster.
    """
    image.draft("L", (144, 128))
    grey = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX), dtype=np.int16)
    return int.from_bytes(np.packbits(grey[:, :-1] > grey[:, 1:]).tobytes(), "big")


def near_pairs(hashes: Hashes, distance: int = 3) -> NDArray[np.int64]:
    """Pairs of positions whose hashes differ in at most ``distance`` bits, [P, 2] with the smaller one first.

    Positions with the same hash are each paired with the first of them, and only that one with other hashes, so that
    an image repeated n times gives n - 1 pairs and not n².
    Hashes with fewer than four zeros or fewer than four ones belong to flat images and would pair
    with everything; they are left out.

    Args:
        hashes: [N] uint64.
        distance: at most 3, for which the four-chunk index is complete.
    """
    if not 0 <= distance < CHUNKS:
        raise ValueError(f"distance={distance}: the index is complete for 0 to {CHUNKS - 1} bits")
    telling = _not_flat(hashes)
    unique, inverse = np.unique(hashes[telling], return_inverse=True)
    first, second = [], []
    for chunk in range(CHUNKS):
        key = (unique >> np.uint64(16 * chunk)) & np.uint64(0xFFFF)
        order = np.argsort(key, kind="stable")
        for bucket in np.split(order, np.flatnonzero(np.diff(key[order])) + 1):
            for start in range(0, len(bucket), BLOCK):
                block = bucket[start : start + BLOCK]
                near = np.bitwise_count(unique[block, None] ^ unique[None, bucket]) <= distance
                a, b = np.nonzero(near)
                first.append(block[a])
                second.append(bucket[b])
    if not first:
        return np.empty((0, 2), dtype=np.int64)
    pairs = np.unique(np.stack([np.concatenate(first), np.concatenate(second)], axis=1), axis=0)
    pairs = pairs[pairs[:, 0] < pairs[:, 1]]
    _, representative = np.unique(inverse, return_index=True)
    equal = np.stack([representative[inverse], np.arange(len(inverse))], axis=1)
    places = np.concatenate([representative[pairs], equal[equal[:, 0] != equal[:, 1]]])
    links: NDArray[np.int64] = np.sort(telling[places], axis=1)
    return links[np.lexsort((links[:, 1], links[:, 0]))]


def nearest_copies(hashes: Hashes, others: Hashes, distance: int = 3) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each of N hashes its nearest one among M others, if they differ in at most ``distance`` bits (up to 3).

    Exact: the four-chunk index is complete for up to three bits. Flat images have none, as in `near_pairs`.

    Returns:
        [N] position among the others (the first of equally near ones), -1 for none; and [N] bits that differ, -1 for
        none.
    """
    if not 0 <= distance < CHUNKS:
        raise ValueError(f"distance={distance}: the index is complete for 0 to {CHUNKS - 1} bits")
    mine, inverse = np.unique(hashes, return_inverse=True)
    theirs, first = np.unique(others[_not_flat(others)], return_index=True)
    places = _not_flat(others)[first]
    none = np.iinfo(np.int64).max
    best = np.full(len(mine), none)  # bits · M + position among the others
    asked = _not_flat(mine)
    for chunk in range(CHUNKS):
        shift = np.uint64(16 * chunk)
        keys, sought = (theirs >> shift) & np.uint64(0xFFFF), (mine[asked] >> shift) & np.uint64(0xFFFF)
        order = np.argsort(keys, kind="stable")
        begin, end = (np.searchsorted(keys[order], sought, side=side) for side in ("left", "right"))
        total = np.concatenate([[0], np.cumsum(end - begin)])
        start = 0
        while start < len(asked):  # as many as have about CANDIDATES, at least one
            stop = max(start + 1, int(np.searchsorted(total, total[start] + CANDIDATES, side="right")) - 1)
            count = (end - begin)[start:stop]
            who = np.repeat(asked[start:stop], count)
            within = np.arange(len(who)) - np.repeat(total[start:stop] - total[start], count)
            other = order[np.repeat(begin[start:stop], count) + within]
            bits = np.bitwise_count(mine[who] ^ theirs[other]).astype(np.int64)
            near = bits <= distance
            np.minimum.at(best, who[near], bits[near] * len(others) + places[other[near]])
            start = stop
    best = best[inverse]
    bits, place = np.divmod(best, max(1, len(others)))
    missing = best == none
    return np.where(missing, -1, place), np.where(missing, -1, bits)


def _not_flat(hashes: Hashes) -> NDArray[np.int64]:
    """Positions of hashes of images that are not flat."""
    ones = np.bitwise_count(hashes)
    return np.flatnonzero((ones >= CHUNKS) & (ones <= BITS - CHUNKS))
