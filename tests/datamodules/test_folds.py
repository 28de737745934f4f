"""Folds: those of the notebook, whole groups, unknown labels left out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedKFold

from contracts.errors import DataError
from datamodules.folds import fold_splits


def test_ungrouped_folds_are_those_of_the_aiornot_notebook():
    labels = np.random.default_rng(3).integers(0, 2, 333)
    folds = [rows for _, rows in StratifiedKFold(10, shuffle=True, random_state=0).split(np.arange(333), labels)]
    splits = np.array(fold_splits(labels.tolist()))
    assert set(np.flatnonzero(splits == "valid")) == set(folds[0])
    assert set(np.flatnonzero(splits == "test")) == set(folds[1]) | set(folds[2])
    assert (splits == "train").sum() == sum(map(len, folds[3:]))


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.integers(10, 60))
def test_groups_stay_together_and_shares_are_about_70_10_20(seed, count):
    rng = np.random.default_rng(seed)
    group = rng.integers(0, count, 12 * count)
    labels = group % 2
    splits = np.array(fold_splits(labels.tolist(), [f"g{g}" for g in group], seed))
    for name in np.unique(group):
        assert len(set(splits[group == name])) == 1
    assert set(splits) == {"train", "valid", "test"}
    if count >= 40:
        assert 0.6 < (splits == "train").mean() < 0.8


def test_rows_of_no_group_are_groups_of_their_own():
    splits = fold_splits([0, 1] * 50, [""] * 100)
    assert splits.count("train") == 70


def test_unknown_labels_take_no_part():
    labels = [0, 1, -1] * 20
    splits = fold_splits(labels)
    assert all((split == "") == (label < 0) for split, label in zip(splits, labels, strict=True))
    assert [s for s in splits if s] == fold_splits([label for label in labels if label >= 0])
    assert fold_splits([-1, -1]) == ["", ""]


def test_the_seed_matters_and_is_all_that_does():
    labels = [0, 1] * 40
    assert fold_splits(labels, seed=1) == fold_splits(labels, seed=1) != fold_splits(labels, seed=2)


def test_too_small_sets_are_refused():
    with pytest.raises(DataError, match="9 images of label 1 are too few"):
        fold_splits([0] * 30 + [1] * 9)
    with pytest.raises(DataError, match="4 groups are too few"):
        fold_splits([0, 1] * 20, [f"g{k % 4}" for k in range(40)])
