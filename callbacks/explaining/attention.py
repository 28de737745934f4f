"""Attention over scales: statistics, a table of all images, box and violin plots, a heat map of generators."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchmarks.predictions import Predictions
from contracts.files import csv_text, write_atomically

Weights = NDArray[np.float64]


def write_attention(predictions: Predictions, attention: Weights, names: Sequence[str], out: Path) -> list[Path]:
    """Writes weights [N, S] of N images and S scales to four files in an existing folder, and returns their paths.

    The plots come first, then the text files; see `callbacks.explaining.explain.write_explanation`.
    """
    plots = [out / "attention_distribution.png", out / "attention_heat_map.png"]
    distribution(predictions, attention, names).savefig(plots[0])
    heat_map(predictions, attention, names).savefig(plots[1])
    texts = [out / "attention_statistics.txt", out / "attention.csv"]
    write_atomically(texts[0], statistics(predictions, attention, names).encode())
    write_atomically(texts[1], table(predictions, attention, names).encode())
    return plots + texts


def groups(predictions: Predictions) -> dict[str, NDArray[np.int64]]:
    """Positions of all images, of real ones, and of those of each generator."""
    found = {"all images": np.arange(len(predictions)), "real": np.flatnonzero(predictions.fused_labels == 0)}
    for name in sorted(set(predictions.generators.tolist()) - {""}):
        found[name] = np.flatnonzero(predictions.generators == name)
    return {name: images for name, images in found.items() if images.size}


def statistics(predictions: Predictions, attention: Weights, names: Sequence[str]) -> str:
    """Mean ± standard deviation of each scale's weight, over all images and each group."""
    lines = []
    for title, images in groups(predictions).items():
        mean, deviation = attention[images].mean(0), attention[images].std(0)
        lines.append(f"{title} ({images.size})")
        lines += [f"Scale {name}: {m:.4f} ± {s:.4f}" for name, m, s in zip(names, mean, deviation, strict=True)]
        lines.append("")
    return "\n".join(lines)


def table(predictions: Predictions, attention: Weights, names: Sequence[str]) -> str:
    """CSV with a row per image."""
    columns = (predictions.fused_ids, predictions.fused_labels, predictions.generators, predictions.fused_scores)
    rows = [
        [*about, f"{score:.6f}", *(f"{weight:.6f}" for weight in weights)]
        for *about, score, weights in zip(*(column.tolist() for column in columns), attention.tolist(), strict=True)
    ]
    return csv_text([["id", "label", "generator", "score", *names], *rows])


def distribution(predictions: Predictions, attention: Weights, names: Sequence[str]) -> Figure:
    """Box plots and violins of each scale's weight, real and generated images side by side."""
    figure = Figure(figsize=(9, 3.8), dpi=100, layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    kinds = [
        (title, colour, attention[predictions.fused_labels == label])
        for title, colour, label in (("real", "#3b6fb6", 0), ("generated", "#c8553d", 1), ("unlabelled", "#777777", -1))
        if (predictions.fused_labels == label).any()
    ]
    width = 0.8 / len(kinds)
    handles = []
    for k, (title, colour, weights) in enumerate(kinds):
        positions = np.arange(len(names)) + (k - (len(kinds) - 1) / 2) * width
        boxes = left.boxplot(
            weights, positions=positions, widths=0.8 * width, patch_artist=True, manage_ticks=False,
            flierprops={"markersize": 2, "alpha": 0.5}, medianprops={"color": "black"},
        )  # fmt: skip
        for box in boxes["boxes"]:
            box.set(facecolor=colour, alpha=0.7)
        violins = right.violinplot(weights, positions=positions, widths=0.9 * width, showmeans=True)
        for body in violins["bodies"]:
            body.set(facecolor=colour, alpha=0.6)
        for part in ("cmeans", "cbars", "cmins", "cmaxes"):
            violins[part].set(color=colour, linewidth=1)
        handles.append(mpl.patches.Patch(color=colour, alpha=0.7, label=f"{title} ({len(weights)})"))
    for axes, title in ((left, "quartiles; whiskers 1.5 IQR"), (right, "density, mean and range")):
        axes.axhline(1 / len(names), color="grey", linewidth=0.8, linestyle=":", zorder=0)
        axes.set_xticks(range(len(names)), names)
        axes.set(xlabel="scale", title=title)
        axes.title.set_fontsize(10)
    left.set(ylabel="attention weight (dotted: equal)")
    figure.legend(handles=handles, loc="outside upper center", ncols=len(kinds), frameon=False)
    return figure


def heat_map(predictions: Predictions, attention: Weights, names: Sequence[str]) -> Figure:
    """Mean weight of each scale, with a row per group."""
    found = groups(predictions)
    means = np.array([attention[images].mean(0) for images in found.values()])
    figure = Figure(figsize=(2.8 + 0.9 * len(names), 1.2 + 0.36 * len(found)), dpi=100, layout="constrained")
    axes = figure.subplots()
    shown = axes.imshow(means, vmin=0, vmax=max(float(means.max()), 1e-6), cmap=mpl.colormaps["magma"], aspect="auto")
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(found)), [f"{name} ({images.size})" for name, images in found.items()])
    for y, x in np.ndindex(means.shape):
        dark = means[y, x] < 0.6 * means.max()
        axes.text(x, y, f"{means[y, x]:.2f}", ha="center", va="center", color="white" if dark else "black", fontsize=8)
    axes.set_title("mean attention", fontsize=10)
    figure.colorbar(shown, ax=axes, fraction=0.06)
    return figure
