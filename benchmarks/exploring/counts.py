"""Numbers of images by split, label, generator, format and size, for the bars and tables of the page."""

from collections import Counter
from dataclasses import dataclass

from benchmarks.exploring.explore import Look
from benchmarks.exploring.groups import CLASSES, NO_SPLIT, SPLITS

ROWS = 12
"""Rows of a table; images.csv holds all."""

Part = tuple[str, int, float]
"""Name, number, and share in percent of the longest bar."""


def parts_of(counts: Counter[str], most: int = 0) -> list[Part]:
    """Numbers by label; the longest bar stands for ``most``, or for the largest number."""
    most = most or max(counts.values(), default=1)
    return [(name, counts[name], 100 * counts[name] / most) for name in CLASSES.values() if counts[name]]


def split_counts(look: Look) -> list[tuple[str, int, list[Part]]]:
    """Name, images, and labels of each split."""
    split, labels = look.manifest.column("split"), look.manifest.labels
    found = {name: Counter(CLASSES[k] for k in labels[split == name].tolist()) for name in SPLITS}
    most = max((c.total() for c in found.values()), default=1)
    return [(name or NO_SPLIT, c.total(), parts_of(c, most)) for name, c in found.items() if c]


def generator_counts(look: Look) -> list[tuple[str, int, int, list[Part]]]:
    """Name, label, images, and splits of each group."""
    split = look.manifest.column("split")
    counts = [Counter(split[look.group == g].tolist()) for g in range(len(look.groups))]
    most = max((c.total() for c in counts), default=1)
    return [
        (name, kind, c.total(), [(s or NO_SPLIT, c[s], 100 * c[s] / most) for s in SPLITS if c[s]])
        for name, kind, c in zip(look.groups, look.kinds, counts, strict=True)
    ]


@dataclass(frozen=True)
class ValueTable:
    """How often the values of one property occur."""

    title: str  # the property
    classes: list[str]  # labels that occur
    rows: list[tuple[str, list[tuple[int, float]]]]
    """Value, and for each class its number of images and their percentage of the class."""
    more: int  # number of values left out


def value_tables(look: Look) -> list[ValueTable]:
    """How often each format, size, kind of JPEG and damage occurs, by label."""
    h = look.headers
    labels = look.manifest.labels[h["row"]]
    classes = {name: int((labels == label).sum()) for label, name in CLASSES.items() if (labels == label).any()}
    names = [CLASSES[label] for label in labels.tolist()]
    sizes = [f"{width} × {height}" for width, height in zip(h["width"].tolist(), h["height"].tolist(), strict=True)]
    tables = []
    for title, values in (
        ("format", h["format"].tolist()), ("size", sizes), ("JPEG quantisation tables", h["tables"].tolist()),
        ("chroma sampling of JPEGs", h["chroma"].tolist()), ("damaged metadata", h["notes"].tolist()),
    ):  # fmt: skip
        counts = Counter((value, name) for value, name in zip(values, names, strict=True) if value)
        order = [value for value, _ in Counter(value for value in values if value).most_common()]
        rows = [
            (value, [(counts[value, name], 100 * counts[value, name] / total) for name, total in classes.items()])
            for value in order[:ROWS]
        ]
        if rows:
            tables.append(ValueTable(title, list(classes), rows, max(len(order) - ROWS, 0)))
    return tables
