"""Learning curves of the stage a dump belongs to, from the values its training logged every epoch."""

import io
from pathlib import Path

from contracts.history import read_history

LOSS = "loss"


def learning_curves(dump: Path) -> bytes | None:
    """A PNG of losses and validation metrics against the epoch; None where fewer than two epochs are known.

    Args:
        dump: a file in a stage's folder; the epochs are those of ``checkpoints/history.json`` beside it.
    """
    epochs = read_history(dump.parent / "checkpoints")
    if len(epochs) < 2:
        return None
    from matplotlib.figure import Figure  # slow to import, needed for drawing only

    names = sorted({name for epoch in epochs for name in epoch} - {"epoch", "step"})
    losses = [name for name in names if LOSS in name]
    panels = [part for part in (losses, [name for name in names if name not in losses]) if part]
    figure = Figure(figsize=(4.6 * len(panels), 3.2), layout="constrained")
    for axes, part in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for name in part:
            points = [(epoch["epoch"] + 1, epoch[name]) for epoch in epochs if name in epoch]
            axes.plot(*zip(*points, strict=True), marker="o", markersize=3, linewidth=1.3, label=name)
        axes.set(xlabel="epoch", ylabel=LOSS if part is losses else "validation")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(color="#edf0f3")
        axes.legend(fontsize=8, frameon=False)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110)
    return file.getvalue()
