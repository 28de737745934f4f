"""Risk-coverage curves: how often calls are wrong if the least confident images are left to a person."""

from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from benchmarks.evaluation import thresholds_of
from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.metrics import risk_coverage
from benchmarks.predictions import Predictions

RESAMPLES = 200
COVERAGES = np.linspace(0.02, 1, 99)
COLOURS = 4
"""Classes k0, k1, … of the page, with a colour each."""
LEFT, RIGHT, TOP, BOTTOM = 44, 500, 10, 240
"""Edges of the axes in an image of 520 × 284."""


def risk_coverage_plot(names: Sequence[str], dumps: Sequence[Predictions], bootstrap: Bootstrap | None) -> str:
    """An SVG with the curve of each dump, at its threshold, and clustered intervals; "" without labelled images.

    Args:
        names: names of the dumps.
        dumps: the predictions.
        bootstrap: resampling of photographs; at most `RESAMPLES` resamples are used. None shows no intervals.
    """
    few = bootstrap and Bootstrap(min(bootstrap.resamples, RESAMPLES), bootstrap.seed, bootstrap.level)
    shown = [
        (number, name, _risks(dump), _interval(dump, few))
        for number, (name, dump) in enumerate(zip(names, dumps, strict=True))
        if (dump.fused_labels >= 0).any()
    ]
    if not shown:
        return ""
    top = max(0.02, *(float(np.max(each)) for _, _, risks, ends in shown for each in (risks, *ends)))
    across = LEFT + COVERAGES * (RIGHT - LEFT)

    def points(risks: NDArray[np.float64], reverse: bool = False) -> str:
        pairs = [f"{x:.1f},{BOTTOM - risk / top * (BOTTOM - TOP):.1f}" for x, risk in zip(across, risks, strict=True)]
        return " ".join(pairs[::-1] if reverse else pairs)

    parts = []
    for part in (0, 0.25, 0.5, 0.75, 1):
        x, y = LEFT + part * (RIGHT - LEFT), BOTTOM - part * (BOTTOM - TOP)
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{RIGHT}M{x:.1f} {TOP}V{BOTTOM}"/>')
        parts.append(f'<text x="{x:.1f}" y="{BOTTOM + 16}" text-anchor="middle">{100 * part:g} %</text>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{part * top:.2f}</text>')
    for number, name, risks, ends in shown:
        colour = f"k{number % COLOURS}"
        if ends:
            parts.append(f'<polygon class="{colour}" points="{points(ends[0])} {points(ends[1], reverse=True)}"/>')
        parts.append(f'<polyline class="{colour}" points="{points(risks)}"><title>{escape(name)}</title></polyline>')
    label = f'<text x="{(LEFT + RIGHT) / 2}" y="{BOTTOM + 36}" text-anchor="middle">share of images called</text>'
    return f'<svg viewBox="0 0 520 284" role="img" aria-label="risk-coverage curves">{"".join(parts)}{label}</svg>'


def _risks(dump: Predictions, weights: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """Share of wrong calls at each of `COVERAGES`, of images repeated as often as their weights [N] say."""
    scores, labels = dump.fused_scores.astype(np.float64), dump.fused_labels
    images = np.flatnonzero(labels >= 0) if weights is None else np.repeat(np.arange(len(labels)), weights.astype(int))
    risks = risk_coverage(scores[images], labels[images], list(thresholds_of(dump).values())[-1])
    return np.asarray(risks[np.maximum(np.ceil(COVERAGES * len(risks)).astype(np.int64) - 1, 0)])


def _interval(dump: Predictions, bootstrap: Bootstrap | None) -> tuple[NDArray[np.float64], ...]:
    """Lower and upper ends at each of `COVERAGES`; () without a bootstrap, or with too few photographs for it."""
    draws = () if bootstrap is None else bootstrap.weights(dump)
    curves = [_risks(dump, weights) for weights in draws if weights.any()]
    if bootstrap is None or not curves:
        return ()
    ends = [(1 - bootstrap.level) / 2, (1 + bootstrap.level) / 2]
    return tuple(np.quantile(np.stack(curves), ends, axis=0))
