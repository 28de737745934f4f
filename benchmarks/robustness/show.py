"""Figures of all deliveries as a table, as comma-separated text and as curves."""

from io import BytesIO
from itertools import groupby
from math import isnan
from typing import TYPE_CHECKING

from benchmarks.evaluation import Result
from benchmarks.robustness.results import CLEAN, Point, Robustness
from benchmarks.tables import Row, Table
from contracts.files import csv_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = (
    ("AUROC", "auroc", ""),
    ("TPR@1%FPR", "tpr_at_fpr_1", ""),
    ("TPR@5%FPR", "tpr_at_fpr_5", ""),
    ("Bal. acc", "balanced_accuracy", "threshold"),
    ("FPR", "false_positive_rate", "threshold"),
    ("ECE", "ece", ""),
    ("Attribution", "attribution", ""),
)
"""Title, metric, and whether it is taken at the threshold."""

TIDY = (
    "delivery", "kind", "generator", "metric", "at", "threshold", "value", "low", "high", "real", "generated", "reason",
)  # fmt: skip


def table(found: Robustness) -> Table:
    """A row for each delivery, then the mean AUROC over the range of each kind."""
    columns = [
        (title, metric, found.at if at else "")
        for title, metric, at in COLUMNS
        if any(r.metric == metric for point in found.points for r in point.results)
    ]
    rows = [
        _row("deliveries" if point.name != CLEAN else "", point.name,
             [point.pooled(metric, at) for _, metric, at in columns])
        for point in found.points
    ]  # fmt: skip
    for area in found.areas:
        strengths = [p.strength for p in found.points if p.family == area.generator]
        name = f"mean over {area.generator} {min(strengths):g} to {max(strengths):g}"
        rows.append(_row("areas", name, [area, *[None] * (len(columns) - 1)]))
    clean = found.points[0].pooled("balanced_accuracy", found.at)
    where = "chosen on undelivered validation images" if found.at == "validation" else "0.5, as the checkpoint has none"
    text = [f"Threshold: {'' if clean is None or found.at != 'validation' else f'{clean.threshold:.4g}, '}{where}"]
    for title, metric, at in (("AUROC", "auroc", ""), ("balanced accuracy", "balanced_accuracy", found.at)):
        name, value = found.worst(metric, at)
        text += [f"lowest {title}: {value:.3f} ({name})"] if name else []
    text += [f"{name} is left out, as no image could be scored: {reason}" for name, reason in found.missing.items()]
    text.append("95 % bootstrap intervals, clustered by photograph")
    return Table(tuple(title for title, _, _ in columns), tuple(rows), "; ".join(text), first="delivery")


def _row(section: str, name: str, cells: list[Result | None]) -> Row:
    first = next((cell for cell in cells if cell is not None), None)
    return Row(section, name, 0 if first is None else first.real + first.generated, tuple(cells))


def tidy(found: Robustness) -> str:
    """One line for each delivery, subset of images, metric and threshold."""
    lines = [
        [name, *(result.as_json().get(column) for column in TIDY[1:])]
        for name, results in [*((point.name, point.results) for point in found.points), ("", found.areas)]
        for result in results
    ]
    none = [
        [name, *[None] * (len(TIDY) - 2), f"no image could be scored: {why}"] for name, why in found.missing.items()
    ]
    return csv_text([TIDY, *lines, *none])


def figure(found: Robustness) -> bytes:
    """A PNG with a curve for each kind of step with several strengths: AUROC with its interval, balanced accuracy."""
    from matplotlib.figure import Figure  # slow to import

    points = sorted((p for p in found.points if p.family), key=lambda p: (p.family, p.strength))
    families = {name: list(members) for name, members in groupby(points, key=lambda p: p.family)}
    curves = {name: members for name, members in families.items() if len(members) > 1}
    columns = min(4, max(1, len(curves)))
    lines = max(1, -(-len(curves) // columns))
    canvas = Figure(figsize=(3.2 * columns, 2.6 * lines), layout="constrained")
    for place, (name, members) in enumerate(curves.items()):
        axes = canvas.add_subplot(lines, columns, place + 1)
        _curve(axes, members, found)
        axes.set_title(name, fontsize=10, loc="left")
        axes.set_ylim(0, 1.02)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
        if not place:
            axes.legend(fontsize=7, frameon=False, loc="lower right")
    if not curves:
        canvas.text(0.5, 0.5, "No kind of step has two strengths.", ha="center")
    file = BytesIO()
    canvas.savefig(file, format="png", dpi=140)
    return file.getvalue()


def _curve(axes: "Axes", members: list[Point], found: Robustness) -> None:
    strengths = [point.strength for point in members]
    for title, metric, at, colour, style in (
        ("AUROC", "auroc", "", "#0072b2", "-"),
        ("balanced accuracy", "balanced_accuracy", found.at, "#d55e00", "--"),
    ):
        results = [result for point in members if (result := point.pooled(metric, at)) is not None]
        axes.plot(strengths, [r.value for r in results], style, color=colour, marker=".", label=title)
        if metric == "auroc" and not any(isnan(r.low) for r in results):
            axes.fill_between(strengths, [r.low for r in results], [r.high for r in results], color=colour, alpha=0.15)
        clean = found.points[0].pooled(metric, at)
        if clean is not None:
            axes.axhline(clean.value, color=colour, linewidth=0.7, linestyle=":", label=f"{title}, undelivered")
