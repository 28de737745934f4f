"""A smaller data set of the same composition."""

import numpy as np
from numpy.typing import NDArray

from contracts.keys import random_key
from datamodules.tables.manifest import Manifest


def prepared_rows(manifest: Manifest, limit: int | None = None) -> NDArray[np.int64]:
    """Rows of ``train``, ``valid`` and ``test``, ascending; at most ``limit`` of them.

    A limit is shared among splits and labels in proportion, and within each of these, rows are sampled by a key of
    their id: the choice depends on no other image, and a data set sorted by class does not lose a class.
    """
    rows = manifest.rows("train", "valid", "test")
    if limit is None or limit >= len(rows):
        return rows
    splits, labels = manifest.column("split")[rows], manifest.labels[rows]
    strata = np.array([f"{split}/{label}" for split, label in zip(splits, labels, strict=True)])
    names, stratum = np.unique(strata, return_inverse=True)
    share = np.bincount(stratum, minlength=len(names)) * limit / len(rows)
    quota = np.floor(share).astype(np.int64)
    left = np.argsort(quota - share, kind="stable")[: limit - quota.sum()]  # largest remainders first
    quota[left] += 1
    keys = np.array([random_key("limit", manifest.image_id(row)) for row in rows.tolist()])
    kept = []
    for number, most in enumerate(quota.tolist()):
        members = np.flatnonzero(stratum == number)
        kept.append(members[np.argsort(keys[members])[:most]])
    return rows[np.sort(np.concatenate(kept))]
