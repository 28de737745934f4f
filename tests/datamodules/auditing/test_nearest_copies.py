"""`nearest_copies` against brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datamodules.auditing import perceptual
from datamodules.auditing.perceptual import nearest_copies


def brute(hashes: np.ndarray, others: np.ndarray, distance: int) -> tuple[list[int], list[int]]:
    place, bits = [], []
    flat = [not 4 <= int(other).bit_count() <= 60 for other in others]
    for one in hashes:
        found = [
            (int(one ^ other).bit_count(), k)
            for k, other in enumerate(others)
            if not flat[k] and 4 <= int(one).bit_count() <= 60 and int(one ^ other).bit_count() <= distance
        ]
        best = min(found, default=(-1, -1))
        place.append(best[1])
        bits.append(best[0])
    return place, bits


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 3), st.sampled_from([1, 7, 2_000_000]))
def test_the_same_as_brute_force(seed: int, distance: int, candidates: int) -> None:
    rng = np.random.default_rng(seed)
    # few originals, each with some bits flipped, so that every distance from 0 to 6 occurs; some are flat
    originals = np.append(rng.integers(0, 2**64, 6, np.uint64), [np.uint64(7), ~np.uint64(7)])

    def flipped(count: int) -> np.ndarray:
        chosen = originals[rng.integers(len(originals), size=count)]
        for _ in range(3):
            chosen = chosen ^ (
                rng.integers(0, 2, count).astype(np.uint64) << rng.integers(0, 64, count).astype(np.uint64)
            )
        return chosen

    hashes, others = flipped(30), flipped(40)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(perceptual, "CANDIDATES", candidates)
        place, bits = nearest_copies(hashes, others, distance)
    assert (place.tolist(), bits.tolist()) == brute(hashes, others, distance)


def test_none_among_none_and_no_more_than_three_bits() -> None:
    empty = np.zeros(0, np.uint64)
    assert [found.tolist() for found in nearest_copies(np.array([2**40 - 1], np.uint64), empty)] == [[-1], [-1]]
    assert [len(found) for found in nearest_copies(empty, empty)] == [0, 0]
    with pytest.raises(ValueError, match="complete for 0 to 3 bits"):
        nearest_copies(empty, empty, 4)
