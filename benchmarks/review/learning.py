"""Learning curves of a dump's stage, from the values that its training logged every epoch."""

from math import isfinite
from pathlib import Path

from markupsafe import Markup

from benchmarks.drawing.svg import Plot, Points, round_ticks
from contracts.history import read_history

LOSS = "loss"
COLOURS = 4
"""Classes k0, k1, … of the page, with a colour each; further curves are dashed."""
CURVE = Markup("<figure>{}<p class=legend>{}</p></figure>")
KEY = Markup('<span><i class="key {}"></i> {}</span> ')


def learning_curves(dump: Path) -> Markup | None:
    """SVGs of losses and validation metrics against the epoch; None where fewer than two epochs are known.

    Args:
        dump: a file in a stage's folder; the epochs are those of ``checkpoints/history.json`` beside it.
    """
    epochs = read_history(dump.parent / "checkpoints")
    if len(epochs) < 2:
        return None
    names = sorted({name for epoch in epochs for name in epoch} - {"epoch", "step"})
    losses = [name for name in names if LOSS in name]
    panels = {LOSS: losses, "validation": [name for name in names if name not in losses]}
    curves = {name: [(epoch["epoch"] + 1, epoch[name]) for epoch in epochs if name in epoch] for name in names}
    x = (epochs[0]["epoch"] + 1, epochs[-1]["epoch"] + 1)
    return Markup("").join(_panel(title, {name: curves[name] for name in part}, x) for title, part in panels.items())


def _panel(title: str, curves: dict[str, Points], epochs: tuple[float, float]) -> Markup:
    """One plot with its legend; nothing where no value is finite."""
    values = [y for points in curves.values() for _, y in points if isfinite(y)]
    if not values:
        return Markup("")
    ticks = [value for value in round_ticks(*epochs) if value == int(value)]
    plot = Plot(f"learning curves: {title}", epochs, (min(values), max(values)), x_title="epoch", y_title=title,
                x_ticks=ticks)  # fmt: skip
    kinds = [f"k{k % COLOURS}{' more' if k >= COLOURS else ''}" for k in range(len(curves))]
    for kind, points in zip(kinds, curves.values(), strict=True):
        if len(points) == 1:
            plot.point(*points[0], kind)
        plot.line(points, f"curve {kind}")
    keys = Markup("").join(KEY.format(kind, name) for kind, name in zip(kinds, curves, strict=True))
    return CURVE.format(plot.svg(), keys)
