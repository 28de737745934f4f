"""The charts of the page, as SVG text and as images of spectra."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from benchmarks.drawing.svg import Plot, round_ticks, short
from benchmarks.exploring.spectrum import frequencies
from benchmarks.exploring.thumbnails import data_url

BINS = 48
LETTER = 3.5
"""Percent of a narrow axis that a letter of its texts takes."""
NEGATIVE, ZERO, POSITIVE = (np.array(c, float) for c in ((33, 102, 172), (247, 247, 247), (178, 24, 43)))
"""Colours of a difference: blue below zero, red above."""


@dataclass(frozen=True)
class Strips:
    """Histograms of one quantity below each other, on a common axis."""

    title: str  # quantity and unit
    rows: list[tuple[str, int, int, str, Markup]]  # name, label, number of images, median and SVG of each
    ticks: list[tuple[float, str]]  # place in percent and text of values on the axis


def strips(
    title: str, values: Sequence[tuple[str, int, NDArray[np.float64]]], log: bool = False,
    text: Callable[[float], str] = short,
) -> Strips | None:  # fmt: skip
    """Histograms of the finite values of named groups with their labels; None without a value.

    Args:
        title: quantity and unit.
        values: name, label, and values of each group; positive ones if ``log``.
        log: whether the axis is logarithmic.
        text: writes a value.
    """
    found = [(name, label, v[np.isfinite(v)]) for name, label, v in values]
    found = [(name, label, v) for name, label, v in found if len(v)]
    if not found:
        return None
    scaled = [np.log2(v) if log else v for _, _, v in found]
    low, high = min(float(v.min()) for v in scaled), max(float(v.max()) for v in scaled)
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    rows = []
    for (name, label, v), x in zip(found, scaled, strict=True):
        counts = np.histogram(x, BINS, (low, high))[0]
        rows.append((name, label, len(v), text(float(np.median(v))), _bars(counts, f"{title}, {name}")))
    marks = _log_ticks(low, high) if log else [(t, t) for t in round_ticks(low, high, 7)]
    ticks: list[tuple[float, str]] = []
    for place, value in marks:
        at, word = 100 * (place - low) / (high - low), text(value)
        if not ticks or at - ticks[-1][0] > LETTER * (1 + (len(word) + len(ticks[-1][1])) / 2):
            ticks.append((at, word))
    return Strips(title, rows, ticks)


def _log_ticks(low: float, high: float) -> list[tuple[float, float]]:
    """Place (base-2 logarithm) and value: powers of two, or round values if there is hardly one in the range."""
    first, last = int(np.ceil(low - 1e-9)), int(np.floor(high + 1e-9))
    if last - first >= 2:
        step = 1 + (last - first) // 7
        return [(float(k), 2.0**k) for k in range(first, last + 1, step)]
    return [(float(np.log2(v)), v) for v in round_ticks(2.0**low, 2.0**high, 5) if v > 0]


def _bars(counts: NDArray[np.int64], title: str) -> Markup:
    most, step, parts = max(int(counts.max()), 1), 600 / BINS, []
    for k in np.flatnonzero(counts).tolist():
        high = 23 * counts[k] / most
        parts.append(f'<rect x="{k * step:.1f}" y="{25 - high:.1f}" width="{step - 1:.1f}" height="{high:.1f}"/>')
    head = Markup('<svg viewBox="0 0 600 26" preserveAspectRatio="none" role="img" aria-label="{}">').format(title)
    return head + Markup(f'{"".join(parts)}<path class="frame" d="M0 25.5H600"/></svg>')  # noqa: S704  numbers


def spectrum_plots(curves: Sequence[tuple[str, int, NDArray[np.float64]]], side: int) -> list[tuple[str, int, Markup]]:
    """A plot of each group that is not real, with the real images' mean and standard deviation behind it.

    Args:
        curves: name, label and curves [n, side / 2] of each group, without NaN.
        side: side of the transformed square.

    Returns:
        Name, number of images and drawing; the real images' own plot if there is no other group.
    """
    known = [(name, label, c) for name, label, c in curves if len(c)]
    if not known:
        return []
    x = frequencies(side).tolist()
    real = next((c for _, label, c in known if label == 0), None)
    means = [c.mean(axis=0) for _, _, c in known]
    low, high = min(m.min() for m in means) - 0.3, max(m.max() for m in means) + 0.3
    plots = []
    for name, label, c in known:
        if label == 0 and len(known) > 1:
            continue
        plot = Plot(f"mean log power of {name} by frequency", (0, 0.5), (low, high), 300, 190,
                    "cycles per pixel", "log₁₀ power", [0, 0.1, 0.2, 0.3, 0.4, 0.5])  # fmt: skip
        if real is not None:
            mean, sd = real.mean(axis=0), real.std(axis=0)
            down, up = np.clip(mean - sd, low, high), np.clip(mean + sd, low, high)
            plot.band(list(zip(x, down.tolist(), strict=True)), list(zip(x, up.tolist(), strict=True)), "band")
            plot.line(list(zip(x, mean.tolist(), strict=True)), "curve real")
        if label != 0:
            plot.line(
                list(zip(x, c.mean(axis=0).tolist(), strict=True)), f"curve {'fake' if label == 1 else 'unknown'}"
            )
        plots.append((name, len(c), plot.svg()))
    return plots


def grey_image(values: NDArray[np.float64], low: float, high: float) -> str:
    """Values [H, W] from low (black) to high (white), as a data URL."""
    level = np.clip((values - low) / ((high - low) or 1), 0, 1)
    return data_url(Image.fromarray(np.rint(255 * level).astype(np.uint8)))


def signed_image(values: NDArray[np.float64], limit: float) -> str:
    """Values [H, W] from -limit (blue) over 0 (white) to limit (red), as a data URL."""
    level = np.clip(values / (limit or 1), -1, 1)[..., None]
    colours = ZERO + np.where(level < 0, -level * (NEGATIVE - ZERO), level * (POSITIVE - ZERO))
    return data_url(Image.fromarray(np.rint(colours).astype(np.uint8)))
