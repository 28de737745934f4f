"""Audit of a data set before training: shortcuts in its metadata, and copies across its splits."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.words import counted
from datamodules.auditing.metadata import describe
from datamodules.auditing.perceptual import near_pairs
from datamodules.auditing.trivial_rule import Rule, one_sided, trivial_rules
from datamodules.loading.decode import MAX_PIXELS
from datamodules.loading.stores import ImageStore
from datamodules.tables.manifest import Manifest

LABELS = {0: "real", 1: "generated", -1: "unknown"}


@dataclass(frozen=True)
class Copies:
    """Identical or nearly identical images."""

    images: int  # number of images that have a copy
    across_splits: list[tuple[str, str]] = field(default_factory=list)
    """Pairs of images, with their splits, in two different splits."""
    across_labels: list[tuple[str, str]] = field(default_factory=list)
    """Pairs of images, one labelled real and one generated."""
    within_groups: int = 0  # pairs across labels that share a group, for example because both come from one photograph


@dataclass(frozen=True)
class Audit:
    """Results of an audit."""

    images: int  # number of images read
    unreadable: list[tuple[str, str]]  # id and reason of each unreadable image
    tables: dict[str, dict[str, dict[str, Any]]]
    """For each property, value → label → count (numbers as five-number summaries)."""
    exact: Copies  # copies with the same bytes
    near: Copies  # copies by perceptual hash (at most three of 64 bits differ), without exact ones
    groups_across_splits: list[str]  # groups (photographs, prompts) in more than one split
    rules: list[Rule]  # decision rules on metadata, best first
    one_sided: list[str]  # metadata values that occur in only one class

    def warnings(self) -> list[str]:
        """Problems to fix or to know before training."""
        found = [
            f"a rule on {rule.features} alone separates the classes (AUROC {rule.auroc:.2f} ± "
            f"{1.96 * rule.error:.2f}): {rule.words[0]}"
            for rule in self.rules
            if rule.separates
        ]
        found += self.one_sided
        for copies, kind in ((self.exact, "exact copies"), (self.near, "near copies")):
            grouped = f" ({copies.within_groups} of them within a group)" if copies.within_groups else ""
            for pairs, where in (
                (copies.across_splits, "in two splits"), (copies.across_labels, f"of two labels{grouped}"),
            ):  # fmt: skip
                if pairs:
                    found.append(
                        f"{counted(len(pairs), 'pair')} of {kind} {where}, first {pairs[0][0]} and {pairs[0][1]}"
                    )
        if self.groups_across_splits:
            count, first = len(self.groups_across_splits), self.groups_across_splits[0]
            verb = "is" if count == 1 else "are"
            found.append(f"{counted(count, 'group')} {verb} in more than one split, first {first!r}")
        if self.unreadable:
            first_id, reason = self.unreadable[0]
            found.append(f"{counted(len(self.unreadable), 'image')} cannot be read, first {first_id!r}: {reason}")
        return found


def audit(manifest: Manifest, store: ImageStore, workers: int | None = None, max_pixels: int = MAX_PIXELS) -> Audit:
    """Read every image once and report.

    Args:
        manifest: manifest of the images.
        store: store to read them from.
        workers: processes; None for one per core.
        max_pixels: pixels of the largest image that is decoded.
    """
    columns, failed = describe(manifest, store, workers, max_pixels)
    rows = columns.pop("row")
    label, group = manifest.labels[rows], manifest.column("group")[rows]
    labelled = label >= 0
    known = {name: values[labelled] for name, values in columns.items()}
    encoded = bool((columns["nbytes"] > 0).any())
    groups = fold_groups(group[labelled]) if (group[labelled] != "").any() else None
    return Audit(
        images=len(rows),
        unreadable=[(manifest.image_id(row), reason) for row, reason in failed.items()],
        tables=_tables(columns, label),
        exact=_copies(manifest, rows, _exact_pairs(columns["digest"])),
        near=_copies(manifest, rows, _near_only(columns["dhash"], columns["digest"])),
        groups_across_splits=_groups_across_splits(manifest),
        rules=trivial_rules(known, label[labelled], groups) if encoded else [],
        one_sided=one_sided(known, label[labelled]) if encoded else [],
    )


def _tables(columns: dict[str, NDArray[Any]], label: NDArray[np.int8]) -> dict[str, dict[str, dict[str, Any]]]:
    pixels = np.maximum(columns["width"] * columns["height"], 1)
    sizes = np.array([f"{w}x{h}" for w, h in zip(columns["width"], columns["height"], strict=True)], dtype=object)
    names = [LABELS[value] for value in label.tolist()]
    tables: dict[str, dict[str, dict[str, Any]]] = {}
    properties = {
        "format": columns["format"],
        "size": sizes,
        "JPEG quality": columns["tables"],
        "damaged metadata": columns["notes"],
    }
    for name, values in properties.items():
        table: dict[str, dict[str, Any]] = {}
        for (value, side), count in Counter(zip(values.tolist(), names, strict=True)).items():
            if value:
                table.setdefault(value, {})[side] = count
        tables[name] = dict(sorted(table.items(), key=lambda item: -sum(item[1].values())))
    if (columns["nbytes"] > 0).any():
        tables["bytes per pixel"] = {
            quantile: {
                side: float(np.quantile((columns["nbytes"] / pixels)[np.array(names) == side], share))
                for side in sorted(set(names))
            }
            for quantile, share in (("minimum", 0), ("lower quarter", 0.25), ("median", 0.5), ("upper quarter", 0.75),
                                    ("maximum", 1))
        }  # fmt: skip
    return tables


def _exact_pairs(digests: NDArray[Any]) -> NDArray[np.int64]:
    """[P, 2] each image paired with the first one that has the same bytes."""
    first: dict[str, int] = {}
    pairs = [(first.setdefault(digest, place), place) for place, digest in enumerate(digests.tolist())]
    return np.array([pair for pair in pairs if pair[0] != pair[1]], dtype=np.int64).reshape(-1, 2)


def _near_only(hashes: NDArray[np.uint64], digests: NDArray[Any]) -> NDArray[np.int64]:
    pairs = near_pairs(hashes)
    other: NDArray[np.bool_] = digests[pairs[:, 0]] != digests[pairs[:, 1]]
    return pairs[other]


def _copies(manifest: Manifest, rows: NDArray[np.int64], pairs: NDArray[np.int64]) -> Copies:
    pairs = rows[pairs]
    split, label = manifest.column("split"), manifest.labels

    def named(chosen: NDArray[np.int64]) -> list[tuple[str, str]]:
        return [
            (f"{manifest.image_id(a)} ({split[a] or 'no split'}, {LABELS[label[a]]})",
             f"{manifest.image_id(b)} ({split[b] or 'no split'}, {LABELS[label[b]]})")
            for a, b in chosen.tolist()
        ]  # fmt: skip

    a, b = pairs.T
    group = manifest.column("group")
    contrary = (label[a] != label[b]) & (label[a] >= 0) & (label[b] >= 0)
    return Copies(
        len(np.unique(pairs)),
        named(pairs[split[a] != split[b]]),
        named(pairs[contrary]),
        int(np.count_nonzero(contrary & (group[a] == group[b]) & (group[a] != ""))),
    )


def _groups_across_splits(manifest: Manifest) -> list[str]:
    pairs = set(zip(manifest.column("group"), manifest.column("split"), strict=True))
    splits = Counter(group for group, split in pairs if group and split)
    return sorted(group for group, count in splits.items() if count > 1)


def fold_groups(groups: NDArray[Any]) -> NDArray[Any]:
    """Groups for folds: an image without a group forms its own."""
    return np.array([group or f"\x00{place}" for place, group in enumerate(groups.tolist())], dtype=object)
