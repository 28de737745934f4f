"""``task=calibrate``: fit a calibration of a checkpoint's scores, for use by ``task=predict``."""

import io

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from benchmarks.calibration.fitted import Figures, as_json, cross_fitted, figures
from benchmarks.calibration.methods import fit, shifted
from benchmarks.intervals import Bootstrap
from benchmarks.metrics import reliability
from benchmarks.predictions import read_predictions, sigmoid
from contracts.errors import ConfigError, DataError
from contracts.files import write_atomically
from contracts.screen import display, table_of
from contracts.words import counted
from tasks.experiment.named_dumps import dumps_of
from tasks.experiment.run import Run
from tasks.experiment.stage_folder import SELECTION

FILE = "calibration.json"


def calibrate(run: Run) -> None:
    """Fits a calibration on a dump, prints cross-fitted figures before and after, and stores it for task=predict.

    Raises:
        ConfigError: no dump is given, or an option does not go with another.
        DataError: the dump has no images of both classes, or does not say which checkpoint it is from.
    """
    asked = run.config.calibrate
    if asked.input is None:
        raise ConfigError("task=calibrate needs a dump to fit on", "Give calibrate.input=DUMP or EXPERIMENT.")
    if asked.prior is not None and (asked.method != "shift" or not 0 < asked.prior < 1):
        raise ConfigError(
            f"calibrate.prior={asked.prior} with calibrate.method={asked.method}",
            "Give a share between 0 and 1, with calibrate.method=shift.",
        )
    path = dumps_of("calibrate.input", asked.input, (SELECTION, "validate", "predict", "test"))[-1]
    if path.suffix.lower() != ".npz":
        raise ConfigError(f"calibrate.input={asked.input} is no dump", "Give an .npz dump or an experiment.")
    whole = read_predictions(path)
    checkpoint = whole.about.get("checkpoint_sha256")
    if not checkpoint:
        raise DataError(f"{path} does not say which checkpoint it is from", "Score the images with PixelProof.")
    found: Figures | None = None
    out = run.out(asked.out)
    if asked.prior is not None:
        used, calibration = whole, shifted(whole.fused_logits, asked.prior)
    else:
        used = whole.select(np.flatnonzero(whole.fused_labels >= 0))
        if set(used.fused_labels.tolist()) != {0, 1}:
            raise DataError(f"{path} has no images of both classes", "Give calibrate.method=shift calibrate.prior=0.5.")
        calibrated, shares = cross_fitted(asked.method, used, run.config.seed)
        calibration = fit(asked.method, used.fused_logits, used.fused_labels)
        found = figures(used, calibrated, shares, Bootstrap(asked.resamples, run.config.seed))
        out.mkdir(parents=True, exist_ok=True)
        curves: dict[str, NDArray[np.floating]] = {
            "before": used.fused_scores,
            "after, cross-fitted": sigmoid(calibrated),
        }
        write_atomically(out / "calibration.png", _plot(curves, used.fused_labels))
        display(_table(found))
    out.mkdir(parents=True, exist_ok=True)
    text = as_json(calibration, asked.method, checkpoint, found, {"input": str(path), "images": len(used)})
    write_atomically(out / FILE, text.encode())
    print(
        f"calibrated logit = {calibration.slope:.4f} * logit {calibration.offset:+.4f}, from "
        f"{counted(len(used), 'image')}, for images of which {calibration.share:.1%} are generated"
    )
    print(f"task=predict predict.calibration={out / FILE} adds a column calibrated")


def _table(found: Figures) -> Table:
    table = table_of("figure", "before", "after", title="Calibration, cross-fitted; 95 % intervals over photographs")
    for name in found["before"]:
        table.add_row(name, *("{:.4f} ({:.4f} to {:.4f})".format(*found[kind][name]) for kind in ("before", "after")))
    for name, values in found["order"].items():
        table.add_row(name, "{:.4f} ({:.4f} to {:.4f})".format(*values), "the same")
    return table


def _plot(curves: dict[str, NDArray[np.floating]], labels: NDArray[np.int64]) -> bytes:
    """PNG of the share of generated images against the mean probability, in bins of equal mass."""
    from matplotlib.figure import Figure  # slow to import

    bins = min(15, max(2, len(labels) // 20))  # shares of fewer images than 20 are mostly noise
    figure = Figure(figsize=(4.6, 4.9), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=0.8, linestyle="--")
    for (name, p), colour in zip(curves.items(), ("#a04000", "#1b4f72"), strict=True):
        _, confidence, frequency = reliability(p.astype(np.float64), labels, bins)
        axes.plot(confidence, frequency, "o-", markersize=4, linewidth=1, color=colour, label=name)
    axes.set(xlabel="mean P(generated)", ylabel="share generated", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100)
    return file.getvalue()
