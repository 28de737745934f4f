"""Looks at a data set: headers of all images, pixels of a sample."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.exploring.groups import group_names, groups_of, kinds_of
from benchmarks.exploring.measure import Measured, Residual, measure
from benchmarks.exploring.spectrum import side_for
from contracts.keys import random_key
from datamodules.auditing.audit import fold_groups
from datamodules.auditing.metadata import describe
from datamodules.auditing.perceptual import near_pairs
from datamodules.auditing.trivial_rule import Rule, one_sided, trivial_rules
from datamodules.loading.parallel import cores
from datamodules.loading.stores import ImageStore
from datamodules.tables.manifest import Manifest
from datamodules.tables.turns import in_turns

GRID, GENERATED_GRID = 16, 9
"""Images in the two grids of random images: 4 × 4 of all, 3 × 3 of generated ones."""
PER_GROUP, IN_ALL = 6, 96
"""Maximum number of images shown per group, and in all groups together unless that leaves a group fewer than two."""
PAIRS = 24
"""Pairs of near copies shown; near.csv lists all."""


@dataclass(frozen=True)
class Look:
    """What a data set looks like."""

    manifest: Manifest  # the data set
    seed: int  # random seed
    groups: list[str]  # names of the groups, see `benchmarks.exploring.groups`
    kinds: list[int]  # label of each group
    group: NDArray[np.int64]  # [N] group of each image
    headers: dict[str, NDArray[Any]]
    """Columns of `datamodules.auditing.metadata.Metadata` for the images whose header could be read, with their
    ``row``."""
    failed: dict[int, str]  # row to the reason of each image that could not be read, or (of the sample) not be decoded
    sampled: int  # number of images in the sample
    side: int  # side of the square whose spectrum was taken
    measured: Measured  # measures of the sample
    pairs: NDArray[np.int64]  # [P, 2] rows of near copies in the sample
    distances: NDArray[np.int64]  # [P] bits in which their hashes differ
    rules: list[Rule]  # decision rules on metadata alone, best first; empty without files or with too few images
    one_sided: list[str]  # values of metadata that occur in one class only

    @property
    def shown(self) -> list[list[int]]:
        """Rows of each group that are shown, those that could be decoded."""
        count = max(2, min(PER_GROUP, IN_ALL // max(len(self.groups), 1)))
        rows = self._in_random_order("group")
        return [rows[self.group[rows] == g][:count].tolist() for g in range(len(self.groups))]

    @property
    def grids(self) -> tuple[list[int], list[int]]:
        """Rows of the two grids of random images."""
        rows = self._in_random_order("grid")
        generated = rows[self.manifest.labels[rows] == 1]
        return rows[:GRID].tolist(), generated[:GENERATED_GRID].tolist()

    def _in_random_order(self, purpose: str) -> NDArray[np.int64]:
        """Rows of the data set in random order, without those that are known to be unreadable."""
        ids = self.manifest.column("id").tolist()
        kept = np.setdiff1d(np.arange(len(ids)), np.array(list(self.failed), dtype=np.int64))
        return np.array(sorted(kept.tolist(), key=lambda row: random_key("explore", purpose, self.seed, ids[row])), int)


def explore(
    manifest: Manifest,
    store: ImageStore,
    residual: Residual,
    images: int,
    seed: int,
    max_pixels: int,
    workers: int | None = None,
) -> Look:
    """Reads the header of every image and the pixels of a sample in which all groups have equal shares.

    Args:
        manifest: the data set.
        store: reads its images.
        residual: see `benchmarks.exploring.measure.Residual`.
        images: size of the sample.
        seed: random seed of the sample.
        max_pixels: pixels of the largest image that is decoded.
        workers: number of processes; None for one per core.
    """
    workers = workers or cores()
    headers, failed = describe(manifest, store, workers, max_pixels, hashes=False, title="explore: headers")
    rows, group, names = headers["row"], groups_of(manifest), group_names(manifest)
    sample = np.array(in_turns(manifest, rows, "explore", seed)[:images], dtype=np.int64)
    shorter = np.zeros(len(manifest), np.int64)
    shorter[rows] = np.minimum(headers["width"], headers["height"])
    side = side_for({names[g]: shorter[sample[group[sample] == g]] for g in np.unique(group[sample])})
    measured = measure(store, sample, group, len(names), side, residual, max_pixels, workers)
    places = near_pairs(measured.hashes)
    distances = np.bitwise_count(measured.hashes[places[:, 0]] ^ measured.hashes[places[:, 1]]).astype(np.int64)
    order = np.argsort(distances, kind="stable")
    return Look(
        manifest, seed, names, kinds_of(manifest), group, headers, dict(sorted({**failed, **measured.failed}.items())),
        len(sample), side, measured, measured.rows[places[order]], distances[order], *_rules(manifest, headers),
    )  # fmt: skip


def _rules(manifest: Manifest, headers: dict[str, NDArray[Any]]) -> tuple[list[Rule], list[str]]:
    """The rules of the audit; none if the store holds pixels, which have no metadata."""
    rows = headers["row"]
    labels, groups = manifest.labels[rows], manifest.column("group")[rows]
    known = labels >= 0
    if not (headers["nbytes"] > 0).any():
        return [], []
    columns = {name: values[known] for name, values in headers.items() if name != "row"}
    folds = fold_groups(groups[known]) if (groups[known] != "").any() else None
    return trivial_rules(columns, labels[known], folds), one_sided(columns, labels[known])


Pixels = Callable[[int], NDArray[np.uint8]]
"""Pixels [H, W, 3] of a row; raises `DataError` where it cannot be decoded."""
