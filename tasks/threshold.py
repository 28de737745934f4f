"""``task=threshold``: choose a threshold from any table of scores, for use by ``task=predict``."""

import io
from collections.abc import Sequence
from math import isnan
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.table import Table

from benchmarks.calibration.stored import RAW
from benchmarks.metrics import auroc, counts
from benchmarks.thresholds.columns import ColumnThreshold, Direction, as_json, choose, choose_conformal, roc
from benchmarks.thresholds.conformal import LARGEST, single
from benchmarks.thresholds.score_table import COLUMNS, ScoreTable, aurocs, read_scores
from contracts.errors import DataError
from contracts.files import write_atomically
from contracts.screen import display, table_of
from contracts.words import counted
from tasks.experiment.named_dumps import dumps_of
from tasks.experiment.run import Run
from tasks.experiment.stage_folder import SELECTION

CHANCE = 0.05  # p-value above which a direction derived from the images gets a warning
DEFINED = "by the definition of the detector's score"
FILE = "threshold.json"
"""File in an experiment's folder that its ``task=predict`` uses; ``predict.threshold=`` names another."""


def threshold(run: Run) -> None:
    """Chooses and stores the threshold of one column, and prints how well each column separates the classes.

    Raises:
        DataError: the table cannot be read, or does not contain labelled images of both classes (the rule conformal
            needs real ones alone).
    """
    asked = run.config.threshold
    path = _input(run)
    table = read_scores(path, asked.label, asked.generated_label)
    column = asked.column or next(iter(table.columns))
    if RAW in table.columns and column.partition("@")[0] in ("score", "logit"):
        raise DataError(
            f"{path}: its {column} is calibrated, but a threshold applies to scores before calibration",
            f"Give threshold.column={RAW}.",
        )
    kept = table.usable(column)
    labelled = int((table.labels >= 0).sum())
    direction, why = decided(table, column, asked.direction)
    alone = asked.rule == "conformal" and not table.labels[kept].any()
    if alone and direction == "auto":
        raise DataError(
            f"{path} has no generated image to show whether higher or lower values of {column} mean generated",
            "Give threshold.direction=higher or threshold.direction=lower.",
        )
    name = column.partition("@")[0]
    found = {} if alone else choose(name, table.columns[column][kept], table.labels[kept], direction)
    if asked.rule == "conformal":
        sources = table.sources[kept] if asked.by == "source" else None
        data = (table.columns[column][kept], table.labels[kept], table.groups[kept], sources)
        higher = direction == "higher" if alone else next(iter(found.values())).higher_is_generated
        found["conformal"] = choose_conformal(name, data, higher, asked.fpr)
    chosen = found[asked.rule]
    out = run.out(asked.out)
    out.mkdir(parents=True, exist_ok=True)
    skipped = {"without_label": len(table.labels) - labelled, "without_score": labelled - len(kept)}
    about = {"input": str(path), "skipped": skipped, "chosen_on": table.stage, "direction": why, **table.detector}
    write_atomically(out / FILE, as_json(chosen, list(found.values()), about).encode())
    areas = pd.DataFrame(aurocs(table), columns=COLUMNS)
    write_atomically(out / "auroc.csv", areas.to_csv(index=False, float_format="%.6g").encode())
    values, truth = single(table.columns[column][kept]), table.labels[kept]
    write_atomically(out / "threshold.png", _plot(values, truth, list(found.values()), chosen))
    if alone:
        print("real images alone: AUROC, balanced accuracy and true positive rate are unknown")
    else:
        display(_areas(areas))
    display(_rules(list(found.values()), why))
    display(_confusion(chosen, values, truth))
    if any(skipped.values()):
        print(
            f"skipped: {skipped['without_score']} rows without a score (errors), {skipped['without_label']} unlabelled"
        )
    if asked.rule == "conformal":
        units = ", ".join(f"{len(v)}{f' of {name}' if name else ''}" for name, v in chosen.calibration.items())
        print(
            f"At most {asked.fpr:.2%} of new real photographs are called generated, if they are exchangeable with the "
            f"real photographs of this table ({units}); task=predict adds a column p_value"
        )
    if asked.rule == "youden":
        print("threshold.rule=youden is an old name of balanced_accuracy: both choose the same threshold")
    if table.stage == "test":
        print(
            "warning: chosen on test images, so metrics of these images at this threshold are too optimistic; choose "
            f"it on validation images: threshold.input={path.with_name('predictions_validate_all.npz')}"
        )
    if "@" in column:
        print(f"uses only images in the view {column.partition('@')[2]}; threshold.column selects another view")
    print(f"called generated where {chosen} ({asked.rule}); stored in {out / FILE}")
    print(f"task=predict predict.threshold={out / FILE} uses it, as does every task=predict with that output folder")


def _input(run: Run) -> Path:
    """The given table, or the validation dump of the given experiment; `conf.paths` refuses a command with neither."""
    if run.config.threshold.input is not None:
        return dumps_of("threshold.input", run.config.threshold.input, (SELECTION, "validate", "test", "predict"))[-1]
    return dumps_of("experiment_id", str(run.folder), (SELECTION, "validate"))[-1]


def decided(table: ScoreTable, column: str, direction: str) -> tuple[Direction, str]:
    """Which side of the threshold means generated, and the reason.

    A detector's own score and logit are P(generated): higher means generated. For other columns the AUROC decides, with
    a warning if it does not differ significantly from one half (two-sided Mann-Whitney test).

    Raises:
        DataError: the AUROC is one half.
    """
    if direction != "auto":
        return cast("Direction", direction), "given"
    from scipy.stats import mannwhitneyu  # slow to import

    kept = table.usable(column)
    values, truth = table.columns[column][kept], table.labels[kept]
    own = column.partition("@")[0] in table.probabilities
    if set(truth.tolist()) != {0, 1}:
        return ("higher", DEFINED) if own else ("auto", "found")  # `choose` reports the missing class
    area = auroc(single(values).astype(np.float64), truth, 0.5)
    if own:
        if area < 0.5:
            print(
                f"warning: the AUROC of {column} is {area:.4f}: real images score higher here than generated ones. "
                "Higher still means generated, by the definition of the score; threshold.direction=lower "
                "reverses it"
            )
        return "higher", DEFINED
    step = "Give threshold.direction=higher or threshold.direction=lower, or more images."
    problem = (
        f"{counted(len(kept), 'image')} do not show whether higher or lower values of {column} mean generated: "
        f"AUROC {area:.4f}"
    )
    if area == 0.5:
        raise DataError(problem, step)
    side: Direction = "higher" if area > 0.5 else "lower"
    p = float(mannwhitneyu(values[truth == 1], values[truth == 0]).pvalue)
    if p >= CHANCE:
        print(f"warning: {problem}, p = {p:.2g}; {side} is used, which may be chance. {step}")
        return side, f"found from the images, may be chance: p = {p:.2g}"
    return side, "found"


def _areas(areas: pd.DataFrame) -> Table:
    shown = areas[areas["subset"] == "all"]
    title = "AUROC of every score if higher means generated (all generators; auroc.csv lists each)"
    table = table_of("score", "AUROC", "95 % interval", title=title)
    for row in shown.itertuples():
        ends = "–" if isnan(row.low) else f"{row.low:.3f} to {row.high:.3f}"
        table.add_row(str(row.column), f"{row.auroc:.4f}", ends)
    return table


def _rules(found: Sequence[ColumnThreshold], why: str) -> Table:
    first = found[0]
    side = "higher" if first.higher_is_generated else "lower"
    images = counted(first.images, "image")
    title = f"{first.column}: {side} means generated ({why}), AUROC {_known(first.auroc)}, {images}"
    table = table_of("rule", "generated where", "bal. acc", "TPR", "FPR", title=title)
    for each in found:
        if each.rule == "youden":
            continue  # an old name of balanced_accuracy
        table.add_row(each.rule, str(each), *map(_known, (each.balanced_accuracy, each.tpr, each.fpr)))
    return table


def _known(figure: float) -> str:
    return "unknown" if isnan(figure) else f"{figure:.4f}"


def _confusion(chosen: ColumnThreshold, values: NDArray[Any], truth: NDArray[np.int64]) -> Table:
    tp, fn, fp, tn = counts(chosen.called(values).astype(np.float64), truth, 0.5)
    table = Table(title=f"At {chosen}")
    for name in ("", "called generated", "called real"):
        table.add_column(name, justify="right")
    table.add_row("generated", str(tp), str(fn))
    table.add_row("real", str(fp), str(tn))
    return table


def _plot(
    values: NDArray[Any], truth: NDArray[np.int64], found: Sequence[ColumnThreshold], chosen: ColumnThreshold
) -> bytes:
    """PNG of the ROC curve with each rule's point, and of both histograms with the chosen threshold."""
    from matplotlib.figure import Figure  # slow to import

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    if truth.any():
        fpr, tpr = roc(values, truth, chosen.higher_is_generated)
        left.plot(fpr, tpr, color="#1b4f72", drawstyle="steps-post")
    left.plot([0, 1], [0, 1], color="#999999", linewidth=0.8, linestyle="--")
    for each, mark in zip(found, "osv^D", strict=False):
        left.plot(each.fpr, each.tpr, mark, markersize=7, fillstyle="none", color="#a04000", label=each.rule)
    left.set(xlabel="false positive rate", ylabel="true positive rate", title=f"AUROC {_known(chosen.auroc)}")
    left.set_aspect("equal")
    left.legend(loc="lower right", fontsize=8)
    finite = values[np.abs(values) < LARGEST]
    low, high = np.quantile(finite if finite.size else np.zeros(1), [0.005, 0.995])
    edges = np.linspace(min(low, chosen.value), max(high, chosen.value) + 1e-12, 41)
    for kind, name, colour in ((0, "real", "#1e8449"), (1, "generated", "#b03a2e"))[: 1 + truth.any()]:
        clipped = np.clip(values[truth == kind], edges[0], edges[-1])
        right.hist(clipped, edges, alpha=0.55, color=colour, label=f"{name} ({(truth == kind).sum()})", density=True)
    right.axvline(chosen.value, color="black", linewidth=1)
    right.set(xlabel=chosen.column, ylabel="density", title=f"generated where {chosen}")
    right.legend(fontsize=8)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100)
    return file.getvalue()
