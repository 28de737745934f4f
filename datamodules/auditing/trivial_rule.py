"""Tests with a small decision tree whether metadata alone separate the classes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FOLDS = 5
DEPTH = 3
FORMAT = "format is "
WARN_AUROC = 0.6
CHANCE = 1e-3  # A value seen in only one class is reported if chance would produce that with less than this probability

Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Rule:
    """How well some metadata separate the classes."""

    features: str  # metadata that were used
    auroc: float  # AUROC of the tree's out-of-fold scores
    error: float  # standard error of the AUROC (Hanley and McNeil, Radiology 1982, eq. 1).
    words: tuple[str, ...]  # the tree's leaves as conditions with their share of a class, the most informative first

    @property
    def separates(self) -> bool:
        """Whether it separates the classes much better than chance."""
        return self.auroc >= WARN_AUROC and self.significant

    @property
    def significant(self) -> bool:
        """Whether it is better than chance."""
        return self.auroc - 1.96 * self.error > 0.5


def feature_sets(columns: Columns) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Numbers that a rule may use, by property; constant ones are left out."""
    width, height = columns["width"].astype(float), columns["height"].astype(float)
    sets: dict[str, dict[str, NDArray[np.float64]]] = {
        "format": {f"{FORMAT}{name}": (columns["format"] == name) * 1.0 for name in sorted(set(columns["format"]))},
        "size": {"width": width, "height": height, "pixels": width * height},
        "JPEG quality": _jpeg(columns),
        "bytes per pixel": {"bytes per pixel": columns["nbytes"] / np.maximum(width * height, 1)},
    }
    varying = {
        name: {key: values for key, values in numbers.items() if len(values) and np.ptp(values) > 0}
        for name, numbers in sets.items()
    }
    return {name: numbers for name, numbers in varying.items() if numbers}


def _jpeg(columns: Columns) -> dict[str, NDArray[np.float64]]:
    """The quality if all JPEGs have IJG tables; otherwise the nearest IJG quality and the distance from it."""
    nearest, distance = columns["nearest"].astype(float), columns["distance"].astype(float)
    if not distance.any():
        return {"JPEG quality": nearest}
    return {"nearest IJG quality": nearest, "distance from IJG's tables": distance}


def trivial_rules(columns: Columns, label: NDArray[np.int8], groups: NDArray[Any] | None = None) -> list[Rule]:
    """A rule for each property and one for all together, best first; none if a class is too small.

    Args:
        columns: metadata, N rows each.
        label: [N] 0 or 1.
        groups: [N] group of each image, which stays in one fold; or None.
    """
    if min(np.count_nonzero(label == value) for value in (0, 1)) < 2 * FOLDS:
        return []
    sets = feature_sets(columns)
    if len(sets) > 1:
        sets["all metadata"] = {key: values for numbers in sets.values() for key, values in numbers.items()}
    rules = [_rule(name, numbers, label, groups) for name, numbers in sets.items()]
    return sorted(rules, key=lambda rule: -rule.auroc)


def _rule(name: str, numbers: dict[str, NDArray[np.float64]], label: NDArray[np.int8], groups: Any) -> Rule:
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, cross_val_predict
    from sklearn.tree import DecisionTreeClassifier

    table = np.stack(list(numbers.values()), axis=1)
    tree = DecisionTreeClassifier(max_depth=DEPTH, min_samples_leaf=max(5, len(label) // 100), random_state=0)
    folder = StratifiedKFold if groups is None else StratifiedGroupKFold
    folds = folder(FOLDS, shuffle=True, random_state=0)
    scores = cross_val_predict(tree, table, label, groups=groups, cv=folds, method="predict_proba")[:, 1]
    auroc = float(roc_auc_score(label, scores))
    real, generated = np.count_nonzero(label == 0), np.count_nonzero(label == 1)
    q1, q2 = auroc / (2 - auroc), 2 * auroc**2 / (1 + auroc)
    spread = auroc * (1 - auroc) + (generated - 1) * (q1 - auroc**2) + (real - 1) * (q2 - auroc**2)
    words = _leaves(tree.fit(table, label).tree_, list(numbers), label, tree.apply(table))
    return Rule(name, auroc, float(np.sqrt(max(spread, 0) / (real * generated))), words)


def _leaves(tree: Any, names: list[str], label: NDArray[np.int8], leaf: NDArray[np.int64]) -> tuple[str, ...]:
    """The leaves in words, sorted by how far their share of generated images differs from that of the whole set."""
    found: list[tuple[float, str]] = []

    def walk(node: int, limits: dict[str, tuple[float, float]]) -> None:
        if tree.children_left[node] < 0:
            inside = label[leaf == node]
            side = "generated" if inside.mean() >= 0.5 else "real"
            share = max(inside.mean(), 1 - inside.mean())
            text = f"{_words(limits)}: {share:.0%} of {len(inside)} are {side}"
            found.append((abs(inside.mean() - label.mean()) * np.sqrt(len(inside)), text))
            return
        name, limit = names[tree.feature[node]], float(tree.threshold[node])
        low, high = limits.get(name, (-np.inf, np.inf))
        walk(tree.children_left[node], limits | {name: (low, limit)})
        walk(tree.children_right[node], limits | {name: (limit, high)})

    walk(0, {})
    return tuple(text for _, text in sorted(found, reverse=True))


def _words(limits: dict[str, tuple[float, float]]) -> str:
    formats = {name: low > 0 for name, (low, _) in limits.items() if name.startswith(FORMAT)}
    parts = [name for name, present in formats.items() if present]
    parts = parts or [name.replace(" is ", " is not ") for name in formats]
    for name, (low, high) in limits.items():
        if name not in formats:
            parts.append(f"{_short(low)} < " * (low > -np.inf) + name + f" ≤ {_short(high)}" * (high < np.inf))
    return " and ".join(parts) or "always"


def _short(value: float) -> str:
    """A limit with four digits, or without decimals above 1000: ``0.1235``, ``40960``."""
    return f"{value:.0f}" if 1000 <= abs(value) < np.inf else f"{value:.4g}"


def one_sided(columns: Columns, label: NDArray[np.int8]) -> list[str]:
    """Formats, sizes, JPEG tables and damaged metadata that occur significantly often in only one class."""
    width, height = columns["width"].astype(str), columns["height"].astype(str)
    values = {
        "format": columns["format"],
        "size": np.char.add(np.char.add(width, "x"), height),
        "JPEG quality": columns["tables"],
        "damaged metadata": columns["notes"],
    }
    found = []
    for name, column in values.items():
        for value in sorted(set(column.tolist()) - {""}):
            inside = label[column == value]
            side = int(inside[0])
            share = float((label == side).mean())
            if (inside == side).all() and share < 1 and len(inside) * np.log(share) < np.log(CHANCE):
                found.append(f"{name} {value}: all {len(inside)} are {('real', 'generated')[side]}")
    return found
