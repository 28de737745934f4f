"""Risk-coverage curves: how often calls are wrong if the least confident images are left to a person."""

import io
from collections.abc import Sequence

import numpy as np

from benchmarks.evaluation import thresholds_of
from benchmarks.intervals import Bootstrap
from benchmarks.metrics import risk_coverage
from benchmarks.predictions import Predictions

RESAMPLES = 200
COVERAGES = np.linspace(0.02, 1, 99)


def risk_coverage_plot(names: Sequence[str], dumps: Sequence[Predictions], bootstrap: Bootstrap | None) -> bytes | None:
    """A PNG with the curve of each dump, at its threshold, and clustered intervals; None without labelled images.

    Args:
        names: of the dumps.
        dumps: the predictions.
        bootstrap: of photographs; at most `RESAMPLES` resamples of it are used. None draws no intervals.
    """
    shown = [(name, dump) for name, dump in zip(names, dumps, strict=True) if (dump.fused_labels >= 0).any()]
    if not shown:
        return None
    from matplotlib.figure import Figure  # slow to import, needed for drawing only

    few = bootstrap and Bootstrap(min(bootstrap.resamples, RESAMPLES), bootstrap.seed, bootstrap.level)
    figure = Figure(figsize=(5.2, 3.4), layout="constrained")
    axes = figure.subplots()
    for name, dump in shown:
        scores, labels = dump.fused_scores.astype(np.float64), dump.fused_labels
        threshold = list(thresholds_of(dump).values())[-1]

        def curve(images: np.ndarray, scores: np.ndarray, labels: np.ndarray, threshold: float) -> np.ndarray:
            risk = risk_coverage(scores[images], labels[images], threshold)
            return risk[np.maximum(np.ceil(COVERAGES * len(risk)).astype(np.int64) - 1, 0)]

        (line,) = axes.plot(
            COVERAGES, curve(np.flatnonzero(labels >= 0), scores, labels, threshold), linewidth=1.4, label=name
        )
        if few is None:
            continue
        drawn = [
            curve(np.repeat(np.arange(len(labels)), weights.astype(np.int64)), scores, labels, threshold)
            for weights in few.weights(dump)
            if weights.any()
        ]
        low, high = np.quantile(np.stack(drawn), [(1 - few.level) / 2, (1 + few.level) / 2], axis=0)
        axes.fill_between(COVERAGES, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
    axes.set(xlabel="share of images called, most confident first", ylabel="share of wrong calls", xlim=(0, 1))
    axes.set_ylim(0)
    axes.grid(color="#edf0f3")
    axes.legend(fontsize=8, frameon=False)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110)
    return file.getvalue()
