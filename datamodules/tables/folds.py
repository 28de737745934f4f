"""Seeded folds for data sets without a split column: 70 % train, 10 % valid, 20 % test.

The ungrouped folds are those of the aiornot notebook: ``StratifiedKFold(10, shuffle=True, random_state=0)`` on the
labels in table order, fold 0 for validation, folds 1 and 2 for testing, the rest for training. The grouped folds are
those of scikit-learn's ``StratifiedGroupKFold`` since its version 1.8; earlier versions gave others. Both are
implemented here with NumPy's legacy generator, whose numbers are frozen (NEP 19), and Python floats, so that no version
of a library changes the test images.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from contracts.errors import ConfigError, DataError

DEALT = "folds"  # Value of ``datamodule.split`` that requests folds
FOLDS = 10
VALID_FOLDS = (0,)
TEST_FOLDS = (1, 2)


def fold_splits(labels: Sequence[int], groups: Sequence[str] | None = None, seed: int = 0) -> list[str]:
    """The split of each row: ``train``, ``valid`` or ``test``; "" where the label is unknown.

    Args:
        labels: 0 real, 1 generated, -1 unknown; rows of unknown label are in no fold.
        groups: group of each row (photograph, prompt), which is kept in one split. A row of group "" is its own group.
        seed: random seed of the shuffle, 0 to 2³²-1.

    Raises:
        ConfigError: the seed is out of range.
        DataError: a class or the number of groups is too small for ten folds.
    """
    if not 0 <= seed < 2**32:
        raise ConfigError(f"datamodule.fold_seed={seed}", "Give a whole number from 0 to 4294967295.")
    label = np.asarray(labels, dtype=np.int64)
    known = np.flatnonzero(label >= 0)
    for value, count in zip(*np.unique(label[known], return_counts=True), strict=True):
        if count < FOLDS:
            raise DataError(
                f"{count} images of label {value} are too few for {FOLDS} stratified folds",
                "Add images, or name the split of each image (train, valid, test): with folders of these "
                "names, or in a column given by datamodule.columns.split=NAME.",
            )
    splits = np.full(len(label), "", dtype="<U5")
    if not len(known):
        return splits.tolist()
    if groups is None:
        folds = _stratified(label[known], seed)
    else:
        codes = _group_codes(groups, known)
        if (count := int(codes.max()) + 1) < FOLDS:
            raise DataError(
                f"{count} groups are too few for {FOLDS} folds",
                "Give finer groups, or name the split of each image (train, valid, test): with folders of "
                "these names, or in a column given by datamodule.columns.split=NAME.",
            )
        folds = _grouped(label[known], codes, seed)
    names = ["valid" if k in VALID_FOLDS else "test" if k in TEST_FOLDS else "train" for k in range(FOLDS)]
    splits[known] = np.array(names)[folds]
    return splits.tolist()


def _stratified(label: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """The fold of each row: classes are shuffled one after another, in order of appearance."""
    random = np.random.RandomState(seed)
    classes = list(dict.fromkeys(label.tolist()))
    ordered = np.repeat(np.arange(len(classes)), [int((label == value).sum()) for value in classes])
    share = np.array([np.bincount(ordered[fold::FOLDS], minlength=len(classes)) for fold in range(FOLDS)])
    folds = np.empty(len(label), dtype=np.int64)
    for place, value in enumerate(classes):
        dealt = np.arange(FOLDS).repeat(share[:, place])
        random.shuffle(dealt)
        folds[label == value] = dealt
    return folds


def _grouped(label: NDArray[np.int64], codes: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """The fold of each row: shuffled groups, the most unbalanced first, each go where classes stay most balanced.

    Sums run from left to right in double precision on every machine, because the last bit decides ties.
    """
    classes, place, totals = np.unique(label, return_inverse=True, return_counts=True)
    held = np.zeros((int(codes.max()) + 1, len(classes)), dtype=np.int64)
    np.add.at(held, (codes, place), 1)
    order = np.arange(len(held))
    np.random.RandomState(seed).shuffle(order)
    shuffled = sorted(order.tolist(), key=lambda group: -_deviation(held[group].tolist()))
    total = totals.tolist()
    counts = [[0] * len(total) for _ in range(FOLDS)]
    shares = [[0.0] * FOLDS for _ in total]
    folds = np.empty(len(held), dtype=np.int64)
    for group in shuffled:
        own = held[group].tolist()
        fold = _most_even(counts, shares, total, own)
        folds[group] = fold
        for k, count in enumerate(own):
            counts[fold][k] += count
            shares[k][fold] = counts[fold][k] / total[k]
    return folds[codes]


def _most_even(counts: list[list[int]], shares: list[list[float]], total: list[int], own: list[int]) -> int:
    """The fold for a group of ``own`` images per class: the one that leaves the class shares most equal."""
    best, least, fewest = 0, math.inf, math.inf
    for fold in range(FOLDS):
        uneven = 0.0
        for k, share in enumerate(shares):
            before, share[fold] = share[fold], (counts[fold][k] + own[k]) / total[k]
            uneven += _deviation(share, lanes=len(shares) == 1)
            share[fold] = before
        uneven /= len(shares)
        images = sum(counts[fold])
        alike = math.isfinite(least) and abs(uneven - least) <= 1e-8 + 1e-5 * abs(least)
        if uneven < least or (alike and images < fewest):
            best, least, fewest = fold, uneven, images
    return best


def _deviation(values: Sequence[float], lanes: bool = False) -> float:
    """Standard deviation; summed from left to right, or as `_sum_of_lanes` does."""
    add = _sum_of_lanes if lanes else _sum
    mean = add(values) / len(values)
    return math.sqrt(add([(value - mean) * (value - mean) for value in values]) / len(values))


def _sum(values: Sequence[float]) -> float:
    """Sum from left to right; ``sum`` compensates for rounding, but only from Python 3.12 on."""
    total = 0.0
    for value in values:
        total += value
    return total


def _sum_of_lanes(values: Sequence[float]) -> float:
    """Sum in NumPy's order for ten contiguous numbers, such as the shares of a single class."""
    a, b, c, d, e, f, g, h, *rest = values
    return _sum([((a + b) + (c + d)) + ((e + f) + (g + h)), *rest])


def _group_codes(groups: Sequence[str], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """An integer per group, in order of appearance; a row without a group gets its own."""
    codes: dict[str, int] = {}
    return np.array([codes.setdefault(groups[row] or f"\x00{row}", len(codes)) for row in rows], dtype=np.int64)
