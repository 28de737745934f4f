"""Seeded folds for sets without a split column: 70 % train, 10 % valid, 20 % test.

The ungrouped folds are those of the aiornot notebook: ``StratifiedKFold(10, shuffle=True, random_state=0)`` over the
labels in table order, fold 0 for validation, folds 1 and 2 for testing, the rest for training.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from contracts.errors import DataError

FOLDS = 10
VALID_FOLDS = (0,)
TEST_FOLDS = (1, 2)


def fold_splits(labels: Sequence[int], groups: Sequence[str] | None = None, seed: int = 0) -> list[str]:
    """The split of each row: ``train``, ``valid`` or ``test``; "" where the label is unknown.

    Args:
        labels: 0 real, 1 generated, -1 unknown; rows of unknown label take no part in the folds.
        groups: rows of one group fall into one split (photographs, prompts). A row of group "" is its own group.
        seed: of the shuffle.

    Raises:
        DataError: a class, or the number of groups, is too small for ten folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold  # a second of import, for this alone

    label = np.asarray(labels, dtype=np.int64)
    known = np.flatnonzero(label >= 0)
    for value, count in zip(*np.unique(label[known], return_counts=True), strict=True):
        if count < FOLDS:
            raise DataError(
                f"{count} images of label {value} are too few for {FOLDS} stratified folds",
                "Add images, or name a split column: datamodule.columns.split=NAME.",
            )
    splits = np.full(len(label), "", dtype="<U5")
    if not len(known):
        return splits.tolist()
    if groups is None:
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(known, label[known])
    else:
        codes = _group_codes(groups, known)
        if len(np.unique(codes)) < FOLDS:
            raise DataError(
                f"{len(np.unique(codes))} groups are too few for {FOLDS} folds",
                "Name a finer group column, or a split column: datamodule.columns.split=NAME.",
            )
        folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed).split(known, label[known], codes)
    for fold, (_, rows) in enumerate(folds):
        splits[known[rows]] = "valid" if fold in VALID_FOLDS else "test" if fold in TEST_FOLDS else "train"
    return splits.tolist()


def _group_codes(groups: Sequence[str], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """An integer a group; rows without a group get one of their own."""
    codes: dict[str, int] = {}
    return np.array([codes.setdefault(groups[row] or f"\x00{row}", len(codes)) for row in rows], dtype=np.int64)
