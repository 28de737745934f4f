"""A random order in which the groups of a data set take turns, so that a small sample has all of them."""

from itertools import zip_longest

from contracts.keys import random_key
from contracts.stage import Rows
from datamodules.tables.manifest import Manifest


def in_turns(manifest: Manifest, rows: Rows, *key: int | str) -> list[int]:
    """Rows in an order where real images, those of unknown label, and each generator take turns.

    Args:
        manifest: the data set.
        rows: rows to order.
        key: the order depends on this key and the images' ids alone.
    """
    ids, generators = manifest.column("id")[rows].tolist(), manifest.generator_index[rows].tolist()
    keys = [random_key(*key, image) for image in ids]
    groups: dict[tuple[int, int], list[int]] = {}
    for _, row, *group in sorted(zip(keys, rows.tolist(), manifest.labels[rows].tolist(), generators, strict=True)):
        groups.setdefault((group[0], group[1]), []).append(row)
    return [row for turn in zip_longest(*groups.values()) for row in turn if row is not None]
