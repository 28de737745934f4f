"""Folds: those of the notebook, whole groups, unknown labels left out, whatever the version of any library."""

import sys
from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedKFold

from contracts.errors import ConfigError, DataError
from datamodules.tables.folds import fold_splits


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


COUNT = 1009
LABELS = [(k * k + k // 7) % 3 % 2 for k in range(COUNT)]
GROUPS = [f"g{k * k % 127}" for k in range(COUNT)]
EVEN = [f"g{k % 97}" for k in range(COUNT)]
LOOSE = [f"g{k // 4}" if k % 3 else "" for k in range(COUNT)]
UNKNOWN = [-1 if k % 5 == 0 else label for k, label in enumerate(LABELS)]


@pytest.mark.parametrize("blocked", [False, True])
@pytest.mark.parametrize(
    ("labels", "groups", "seed", "wanted"),
    [
        (LABELS, None, 0, (706, 101, 202, "b4cdfb3a532a8b96")),
        (LABELS, None, 7, (706, 101, 202, "e6ca4133930ee37f")),
        (UNKNOWN, None, 0, (564, 81, 162, "70196e921faf8f1e")),
        (LABELS, GROUPS, 0, (706, 111, 192, "1ab024fcb2bf8873")),
        (LABELS, GROUPS, 7, (706, 111, 192, "8face12cdbcaa051")),
        (LABELS, EVEN, 0, (697, 105, 207, "3d8c669f61e72265")),
        (UNKNOWN, LOOSE, 3, (565, 81, 161, "245f1b1f45300d27")),
        ([0] * COUNT, GROUPS, 0, (691, 111, 207, "43b2404f9a96a5e8")),
    ],
)
def test_the_rule_deals_the_same_folds_for_ever(monkeypatch, blocked, labels, groups, seed, wanted):
    """What scikit-learn 1.9.1 dealt; a version that deals others, or is not there, changes nothing."""
    if blocked:
        monkeypatch.setitem(sys.modules, "sklearn.model_selection", None)
    splits = fold_splits(labels, groups, seed)
    assert [splits.count(name) for name in ("train", "valid", "test")] == list(wanted[:3])
    assert sha256("".join(name[:2] or "-" for name in splits).encode()).hexdigest()[:16] == wanted[3]


def test_the_first_rows_in_plain_sight():
    letters = "".join(split[0] for split in fold_splits([0, 1] * 20))
    assert letters == "ttvvtttttttttttttttvttttttttttttttvttttt"
    letters = "".join(split[0] for split in fold_splits([0, 1, 1] * 20, [f"g{k // 3}" for k in range(60)]))
    assert letters == "ttttttttttttttttttttttttttttttttttttttttttvvvtttttttttvvvttt"


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_out_of_range_is_refused(seed):
    with pytest.raises(ConfigError, match=f"fold_seed={seed}"):
        fold_splits([0, 1] * 20, seed=seed)
