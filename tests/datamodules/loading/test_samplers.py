from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import DataError
from datamodules.loading.samplers import EvaluationBatches, TrainingBatches, _ascending

ROWS = np.arange(100, 203)


def rows_of(batches: list[list[tuple[int, int]]]) -> list[int]:
    return [row for batch in batches for row, _ in batch]


def test_an_epoch_holds_each_row_at_most_once_and_carries_its_number() -> None:
    batches = list(TrainingBatches(ROWS, 10, seed=1, position=lambda: (3, 0)))
    assert [len(batch) for batch in batches] == [10] * 10
    rows = rows_of(batches)
    assert len(set(rows)) == 100
    assert set(rows) < set(ROWS.tolist())
    assert {epoch for batch in batches for _, epoch in batch} == {3}


def test_every_epoch_and_seed_has_an_order_of_its_own_which_is_always_the_same() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return rows_of(list(TrainingBatches(ROWS, 10, seed, position=lambda: (epoch, 0))))

    assert order(1, 0) == order(1, 0)
    assert len({tuple(order(seed, epoch)) for seed in (1, 2) for epoch in (0, 1, 2)}) == 6
    assert order(1, 0)[:5] == [159, 173, 185, 187, 202]  # the order belongs to experiments already run


@given(count=st.integers(1, 60), size=st.integers(1, 7), world=st.integers(1, 4), done=st.integers(0, 70))
def test_ranks_share_an_epoch_evenly_and_resume_where_they_stood(count: int, size: int, world: int, done: int) -> None:
    rows = np.arange(count) * 3
    if count < size * world:
        with pytest.raises(DataError, match=f"{count} training images"):
            TrainingBatches(rows, size, 0, world=world)
        return
    ranks = [TrainingBatches(rows, size, 0, rank=rank, world=world) for rank in range(world)]
    batches = [list(rank) for rank in ranks]
    assert {len(rank) for rank in ranks} == {len(own) for own in batches} == {count // (size * world)}
    seen = Counter(row for own in batches for row in rows_of(own))
    assert max(seen.values()) == 1
    for rank in range(world):
        later = TrainingBatches(rows, size, 0, lambda: (0, done), rank, world)
        assert list(later) == batches[rank][done:]
        assert len(later) == len(ranks[rank])


def test_ranks_together_see_the_batch_one_device_would_see() -> None:
    alone = list(TrainingBatches(ROWS, 12, seed=5))
    pair = [list(TrainingBatches(ROWS, 6, seed=5, rank=rank, world=2)) for rank in range(2)]
    for whole, first, second in zip(alone, *pair, strict=True):
        assert sorted(whole) == sorted(first + second)


@given(
    sizes=st.lists(st.sampled_from([(4, 4), (4, 6), (6, 4)]), max_size=40),
    batch=st.integers(1, 6),
    world=st.integers(1, 4),
    native=st.booleans(),
)
def test_evaluation_sees_each_row_once_whatever_the_ranks(
    sizes: list[tuple[int, int]], batch: int, world: int, native: bool
) -> None:
    rows = np.arange(len(sizes)) * 2 + 1
    table = np.array(sizes, np.int64).reshape(-1, 2)
    ranks = [EvaluationBatches(rows, batch, table if native else None, rank, world) for rank in range(world)]
    batches = [list(rank) for rank in ranks]
    assert sorted(row for own in batches for row in rows_of(own)) == rows.tolist()
    assert [len(rank) for rank in ranks] == [len(own) for own in batches]
    assert all(len(one) <= batch for own in batches for one in own)
    if native:
        assert all(len({sizes[row // 2] for row, _ in one}) <= 1 for own in batches for one in own)
    alone = [one for one in EvaluationBatches(rows, batch, table if native else None) if one]
    # those of a single rank, dealt out: as many for every rank, the last ones empty
    dealt = [own[place] for place in range(len(batches[0])) for own in batches]
    assert dealt[: len(alone)] == alone
    assert len({len(own) for own in batches}) == 1
    assert not any(dealt[len(alone) :])


def test_a_single_rank_evaluates_in_order() -> None:
    assert rows_of(list(EvaluationBatches(np.array([5, 3, 9]), 2))) == [5, 3, 9]


def test_large_images_come_in_smaller_batches() -> None:
    side = 2048  # a quarter of the most pixels a batch may have
    sizes = np.array([[side, side]] * 9 + [[8, 8]] * 9)
    lengths = [len(batch) for batch in EvaluationBatches(np.arange(18), 9, sizes)]
    assert lengths == [9, 4, 3, 2]  # none of equal size is left alone
    assert [len(batch) for batch in EvaluationBatches(np.arange(2), 9, np.array([[10**4, 10**4]] * 2))] == [1, 1]


@given(st.lists(st.integers(0, 50), max_size=40))
def test_equal_numbers_keep_their_order(numbers: list[int]) -> None:
    assert _ascending(np.array(numbers, np.uint64)).tolist() == np.argsort(numbers, kind="stable").tolist()


@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(2**40, 2**40 + 9), max_size=60))
def test_numbers_that_differ_in_their_last_bits_alone_are_ordered_by_them(numbers: list[int]) -> None:
    array = np.array(numbers, np.uint64)
    assert _ascending(array).tolist() == np.argsort(array, kind="stable").tolist()
