"""Plots of a trace, as PNG: confusion of the classes, distribution of the scores, and the evidence.

They follow the diagnosis that the provenance and PRADA authors publish: histograms of every generator's score by where
an image comes from, the calibrating curve g(d), the weights of the scales, d by scale or place, features by generator.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.attribution.measures import Attribution, Floats
from benchmarks.metrics import auroc
from benchmarks.predictions import Predictions

COLOURS = {"own": "#1b6ca8", "siblings": "#e08214", "other family": "#7b3294", "outlier": "#666666"}


@dataclass(frozen=True)
class Plot:
    """A plot."""

    title: str  # heading
    note: str  # one sentence on how to read it
    png: bytes  # the file


def figures(predictions: Predictions, folder: Path) -> list[Plot]:
    """All plots of a tracer's dump; plots of the evidence only where its diagnosis is in the same folder."""
    answers = Attribution.of(predictions)
    made = []
    if len(answers):
        made.append(
            Plot("Confusion", "Rows: true class; columns: answer; shade: fraction of the row.", _confusion(answers))
        )
        made.append(
            Plot(
                "Scores of each generator",
                "Log-posterior of the generator minus that of outlier; above 0 the generator is likelier.",
                _histograms(answers),
            )
        )
    name = predictions.about.get("diagnosis")
    file = folder / str(name)
    if not name or not file.is_file() or Path(str(name)).name != name:
        return made
    with np.load(file, allow_pickle=False) as stored:
        arrays = {key: stored[key] for key in stored.files}
    if any(key.startswith("curve/") for key in arrays):
        made.append(
            Plot("Calibration g(d)", "Score of a token by its balanced ratio d; the legend gives α.", _curves(arrays))
        )
        made.append(
            Plot(
                "Weights of the scales", "Weights in PRADA's score; VAR's scales from coarse to fine.", _weights(arrays)
            )
        )
        made.append(Plot("Fitting", "PRADA's loss by epoch.", _losses(arrays)))
    position = {str(i): k for k, i in enumerate(arrays["id"].tolist())}
    rows = np.array([position[i] for i in answers.ids.tolist() if i in position], dtype=np.int64)
    if len(answers) and len(rows) == len(answers):
        made.append(
            Plot(
                "Evidence by scale and position",
                "Mean ratio d: VAR by scale (own and other images), RAR by position (own minus other images).",
                _maps(arrays, answers, rows),
            )
        )
        made.append(
            Plot(
                "Features",
                "Features of each variant for its own images, its siblings', the other family's and outliers; below: "
                "AUROC of own against siblings.",
                _boxes(arrays, answers, rows),
            )
        )
    return made


def origins(answers: Attribution, k: int) -> dict[str, NDArray[np.bool_]]:
    """Masks [N] of a class's own images, its siblings', the other family's, and outliers."""
    families = np.array(answers.families)
    truth = answers.truth
    same = families[truth] == families[k]
    alien = truth == answers.outlier
    masks = {
        "own": truth == k,
        "siblings": same & (truth != k) & ~alien,
        "other family": ~same & ~alien,
        "outlier": alien,
    }
    return {name: mask for name, mask in masks.items() if mask.any()}


def _grid(count: int, width: float, height: float, across: int = 4) -> Any:
    """Axes of a new figure, one for each of ``count`` plots of this size in inches."""
    from matplotlib.figure import Figure

    columns = min(across, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for spare in axes[count:]:
        spare.set_visible(False)
    return axes[:count]


def _png(axes: Any) -> bytes:
    file = io.BytesIO()
    axes[0].figure.savefig(file, format="png", dpi=90)
    return file.getvalue()


def _confusion(answers: Attribution) -> bytes:
    counts = answers.confusion()
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = 1.6 + 0.45 * len(answers.classes)
    axes = _grid(1, side, side)
    axes[0].imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes[0].set_xticks(range(len(answers.classes)), answers.classes, rotation=45, ha="right")
    axes[0].set_yticks(range(len(answers.classes)), answers.classes)
    axes[0].set(xlabel="answer", ylabel="truth")
    for i, row in enumerate(counts.tolist()):
        for j, count in enumerate(row):
            if count:
                axes[0].text(j, i, count, ha="center", va="center", color="white" if share[i, j] > 0.5 else "black")
    return _png(axes)


def _histograms(answers: Attribution) -> bytes:
    known = [k for k in range(len(answers.classes)) if k != answers.outlier]
    scores = answers.log_posterior - answers.log_posterior[:, [answers.outlier]]
    axes = _grid(len(known), 2.8, 2.0)
    for axis, k in zip(axes, known, strict=True):
        low, high = np.quantile(scores[:, k], [0.01, 0.99])
        bins = np.linspace(min(low, -0.1), max(high, 0.1), 31)
        for name, mask in origins(answers, k).items():
            clipped = np.clip(scores[mask, k], bins[0], bins[-1])
            axis.hist(clipped, bins, density=True, histtype="step", color=COLOURS[name], label=name, lw=1.4)
        axis.axvline(0, color="black", lw=0.8, ls=":")
        axis.set_title(answers.classes[k], fontsize=10)
        axis.set_yticks([])
    # outside the plots: inside, it could cover the histograms
    axes[0].figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper", fontsize=8)
    return _png(axes)


def _curves(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    names = arrays["variants"].tolist()
    axes = _grid(1, 5, 3.2)
    for name in names:
        alpha = float(arrays[f"curve/{name}/alpha"][0])
        axes[0].plot(arrays[f"curve/{name}/d"], arrays[f"curve/{name}/g"], label=f"{name}, α = {alpha:.3f}", lw=1.4)
    axes[0].axhline(0, color="black", lw=0.8, ls=":")
    axes[0].set(xlabel="d of a token", ylabel="g(d)")
    axes[0].legend(fontsize=7, frameon=False)
    return _png(axes)


def _weights(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    names = [name for name in arrays["variants"].tolist() if len(arrays[f"curve/{name}/w"]) > 1]
    names = names or arrays["variants"].tolist()
    axes = _grid(len(names), 2.4, 1.9)
    for axis, name in zip(axes, names, strict=True):
        weights = arrays[f"curve/{name}/w"]
        axis.bar(np.arange(1, len(weights) + 1), weights, color=COLOURS["own"])
        axis.set_xticks(np.arange(1, len(weights) + 1))
        axis.set_title(name, fontsize=10)
        axis.set_xlabel("scale", fontsize=8)
    return _png(axes)


def _losses(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    axes = _grid(1, 5, 2.6)
    for key in sorted(key for key in arrays if key.startswith("curve/loss/")):
        axes[0].plot(arrays[key], label=key.removeprefix("curve/loss/"), lw=1.2)
    axes[0].set(xlabel="epoch", ylabel="loss")
    axes[0].legend(fontsize=7, frameon=False)
    return _png(axes)


def _maps(arrays: Mapping[str, NDArray[Any]], answers: Attribution, rows: NDArray[np.int64]) -> bytes:
    names = arrays["variants"].tolist()
    axes = _grid(len(names), 2.8, 2.3)
    for axis, name in zip(axes, names, strict=True):
        own = answers.truth == answers.classes.index(name)
        d = arrays[f"{name}/d_tokens"][rows].astype(np.float64)
        lengths = arrays[f"{name}/lengths"].tolist()
        axis.set_title(name, fontsize=10)
        if not own.any() or own.all():
            axis.set_visible(False)
            continue
        if len(lengths) > 1:
            places = np.arange(1, len(lengths) + 1)
            for label, mask in origins(answers, answers.classes.index(name)).items():
                parts = np.split(d[mask].mean(0), np.cumsum(lengths)[:-1])
                axis.plot(places, [p.mean() for p in parts], "o-", ms=3, lw=1, color=COLOURS[label], label=label)
            axis.set_xticks(places)
            axis.set_xlabel("scale", fontsize=8)
            axis.set_ylabel("mean d", fontsize=8)
        else:
            side = round(lengths[0] ** 0.5)
            difference = (d[own].mean(0) - d[~own].mean(0)).reshape(side, side)
            most = float(np.abs(difference).max()) or 1.0
            shown = axis.imshow(difference, cmap="RdBu", vmin=-most, vmax=most)
            axis.figure.colorbar(shown, ax=axis, shrink=0.8)
            axis.set_xticks([])
            axis.set_yticks([])

    with_lines = next((axis for axis in axes if axis.get_visible() and axis.lines), None)
    if with_lines is not None:
        handles = with_lines.get_legend_handles_labels()
        with_lines.figure.legend(*handles, loc="outside right upper", fontsize=8)
    return _png(axes)


def _boxes(arrays: Mapping[str, NDArray[Any]], answers: Attribution, rows: NDArray[np.int64]) -> bytes:
    variants = arrays["variants"].tolist()
    features = [key.split("/feature/")[1] for key in arrays if key.startswith(f"{variants[0]}/feature/")]
    axes = _grid(len(variants) * len(features), 1.7, 1.6, across=len(features))
    cells = [(variant, feature) for variant in variants for feature in features]
    for axis, (variant, feature) in zip(axes, cells, strict=True):
        values = arrays[f"{variant}/feature/{feature}"][rows].astype(np.float64)
        masks = origins(answers, answers.classes.index(variant))
        axis.boxplot([values[mask] for mask in masks.values()], showfliers=False, widths=0.6)
        axis.set_xticks(range(1, len(masks) + 1), [name.split()[0] for name in masks], fontsize=6)
        axis.tick_params(axis="y", labelsize=6)
        axis.set_title(f"{variant} {feature}", fontsize=7)
        if "own" in masks and "siblings" in masks:
            axis.set_xlabel(f"AUROC {_auroc(values[masks['own']], values[masks['siblings']]):.2f}", fontsize=7)
    return _png(axes)


def _auroc(own: Floats, others: Floats) -> float:
    """The larger of both directions, since lower may mean own."""
    above = auroc(np.concatenate([own, others]), np.repeat([1, 0], [len(own), len(others)]))
    return max(above, 1 - above)
