"""``task=calibrate``: fit a calibration of a checkpoint's scores, and store it in the checkpoint."""

import io
import json
from dataclasses import replace
from math import isinf, isnan
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.table import Table

from benchmarks.calibration.bands import Band, check_sure, undecidable
from benchmarks.calibration.fitted import Figures, cross_fitted, figures, reliability_curve, to_halve
from benchmarks.calibration.methods import fit, shifted
from benchmarks.calibration.stored import Stored
from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.predictions import Predictions, read_predictions, sigmoid
from contracts.errors import CheckpointError, ConfigError, DataError
from contracts.files import atomic_file, write_atomically
from contracts.names import given_path
from contracts.screen import display, table_of
from contracts.words import counted
from detectors.base import PASSPORT
from detectors.parts.weights import read_checkpoint
from tasks.experiment.named_dumps import dumps_of
from tasks.experiment.run import Run
from tasks.experiment.stage_folder import SELECTION
from tasks.scoring.evaluate import load_detector

FILE = "calibration.json"
ENOUGH = 50  # Images from which even an offset alone is worth fitting


def calibrate(run: Run) -> None:
    """Fits a calibration on a dump, prints cross-fitted metrics before and after, and stores it in the checkpoint.

    Raises:
        ConfigError: no dump is given, or an option does not go with another.
        DataError: the dump has no images of both classes, or does not say which weights it is from.
        CheckpointError: the checkpoint is not the one that the dump is from.
    """
    asked = run.config.calibrate
    path = _input(run)
    whole = read_predictions(path)
    weights = _weights(whole, path)
    checkpoint = _checkpoint(run, whole, weights) if asked.store else None
    used, out, found = whole, run.out(asked.out), Stored(asked.method, shifted(np.zeros(2), 0.5), weights, "")
    shown: dict[str, Any] = {}
    bootstrap = Bootstrap(asked.resamples, run.config.seed)
    if asked.prior is not None:
        found = replace(found, calibration=shifted(whole.fused_logits, asked.prior))
    else:
        used = whole.select(np.flatnonzero(whole.fused_labels >= 0))
        if set(used.fused_labels.tolist()) != {0, 1}:
            raise DataError(f"{path} has no images of both classes", "Give calibrate.method=shift calibrate.prior=0.5.")
        calibration = fit(asked.method, used.fused_logits, used.fused_labels)
        band = undecidable(asked.method, used, asked.sure, bootstrap)
        found = replace(found, calibration=calibration, band=band)
        shown = _shown(asked.method, used, run.config.seed, bootstrap)
    found = replace(found, detector=str(whole.about["detector_hash"]))
    out.mkdir(parents=True, exist_ok=True)
    if shown:
        write_atomically(out / "calibration.png", _plot(shown["reliability"]))
        display(_table(shown["figures"]))
    content = found.plain() | shown | {"input": str(path), "images": len(used)}
    content = json.loads(json.dumps(content), parse_constant=lambda _: None)  # JSON has no NaN
    write_atomically(out / FILE, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())
    print(
        f"calibrated logit = {found.calibration}, from {counted(len(used), 'image')}, for images of which "
        f"{found.calibration.share:.1%} are generated"
    )
    if len(used) < ENOUGH:
        print(f"a calibration is unreliable with fewer than {ENOUGH} images")
    if found.band is not None:
        print(_band(found.band, used))
        now, then = to_halve(used)
        if bootstrap.enough(used):
            print(f"intervals half as wide need about {then:,} photographs instead of {now:,}")
        else:
            print(f"too few photographs for intervals, and for a sure call: each class needs {bootstrap.least}")
    if checkpoint is not None:
        _store(checkpoint, found)
        print(f"stored in {checkpoint}: task=predict ckpt={checkpoint} calibrated=true gives calibrated probabilities")
    print(f"task=predict predict.calibration={out / FILE} adds a column calibrated")


def _input(run: Run) -> Path:
    asked = run.config.calibrate
    if asked.input is None:
        raise ConfigError("task=calibrate needs a dump to fit on", "Give calibrate.input=DUMP or EXPERIMENT.")
    if asked.prior is not None and (asked.method != "shift" or not 0 < asked.prior < 1):
        raise ConfigError(
            f"calibrate.prior={asked.prior} with calibrate.method={asked.method}",
            "Give a share between 0 and 1, with calibrate.method=shift.",
        )
    check_sure(asked.sure)
    path = dumps_of("calibrate.input", asked.input, (SELECTION, "validate", "predict", "test"))[-1]
    if path.suffix.lower() != ".npz":
        raise ConfigError(f"calibrate.input={asked.input} is not a dump", "Give an .npz dump or an experiment.")
    return path


def _weights(whole: Predictions, path: Path) -> str:
    if "calibration" in whole.about:
        raise DataError(f"{path} has calibrated scores already", "Give a dump made without calibrated=true.")
    if not whole.about.get("weights_sha256") or not whole.about.get("detector_hash"):
        raise DataError(
            f"{path} does not say which weights it is from",
            "Score the images again with this version: task=validate, or task=predict with the checkpoint (ckpt=FILE).",
        )
    return str(whole.about["weights_sha256"])


def _checkpoint(run: Run, whole: Predictions, weights: str) -> Path | None:
    """The checkpoint of ours that the dump is from; None if it is not ours, or not where the dump says.

    Raises:
        CheckpointError: it has other weights.
    """
    path = run.ckpt or given_path(str(whole.about["checkpoint"]))
    if not path.is_file():
        print(f"{path} does not exist, so the calibration is stored only in {FILE}; ckpt=FILE names another")
        return None
    if PASSPORT not in read_checkpoint(path):
        print(f"{path} was not written by PixelProof, so the calibration is stored only in {FILE}")
        return None
    loaded = load_detector(run, path)
    if loaded.weights != weights:
        raise CheckpointError(
            f"{path} has other weights than the dump is from ({loaded.weights[:12]}, not {weights[:12]})",
            "Score the validation images again (task=validate), name the checkpoint (ckpt=FILE), or give "
            "calibrate.store=false.",
        )
    return path.resolve()


def _store(path: Path, found: Stored) -> None:
    """Writes the calibration into the checkpoint's own entry; weights and everything else stay as they are."""
    content = read_checkpoint(path)
    content[PASSPORT] = {**content[PASSPORT], "calibration": found.plain()}
    with atomic_file(path) as file:
        torch.save(content, file)


def _shown(method: str, used: Predictions, seed: int, bootstrap: Bootstrap) -> dict[str, Any]:
    """``figures`` and ``reliability`` before and after."""
    calibrated, shares = cross_fitted(method, used, seed)
    bins = min(15, max(2, len(used) // 20))  # shares of fewer images than 20 are mostly noise
    p = {"before": used.fused_scores.astype(np.float64), "after": sigmoid(calibrated).astype(np.float64)}
    curves = {name: reliability_curve(one, used, bins, bootstrap) for name, one in p.items()}
    return {"figures": figures(used, calibrated, shares, bootstrap), "reliability": curves}


def _table(found: Figures) -> Table:
    table = table_of("figure", "before", "after", title="Calibration, cross-fitted; 95 % intervals over photographs")
    for name in found["before"]:
        table.add_row(name, *(_cell(*found[kind][name]) for kind in ("before", "after")))
    for name, values in found["order"].items():
        table.add_row(name, _cell(*values), "the same")
    return table


def _cell(value: float, low: float, high: float) -> str:
    return f"{value:.4f}" + ("" if isnan(low) else f" ({low:.4f} to {high:.4f})")


def _band(band: Band, used: Predictions) -> str:
    logits = used.fused_logits
    inside = int(((logits > band.low) & (logits < band.high)).sum())
    ends = ["no image" if isinf(end) else f"P(generated) {word} {sigmoid(np.array([end]))[0]:.4f}"
            for end, word in ((band.low, "up to"), (band.high, "from"))]  # fmt: skip
    return (
        f"a call is sure (right with probability {band.sure:g} at either end of its interval) if real: {ends[0]}, if "
        f"generated: {ends[1]}; {inside} of {counted(len(used), 'image')} are undecidable"
    )


def _plot(curves: dict[str, list[dict[str, Any]]]) -> bytes:
    """PNG of the share of generated images, with its interval, against the mean probability in bins of equal mass."""
    from matplotlib.figure import Figure  # slow to import

    figure = Figure(figsize=(4.6, 4.9), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=0.8, linestyle="--")
    titles = {"before": "before", "after": "after, cross-fitted"}
    for (name, bins), colour in zip(curves.items(), ("#a04000", "#1b4f72"), strict=True):
        means, shares, low, high = (np.array([one[key] for one in bins]) for key in ("mean", "share", "low", "high"))
        ends = np.clip(np.stack([shares - low, high - shares]), 0, None)
        axes.errorbar(means, shares, ends, fmt="o-", markersize=4, linewidth=1, elinewidth=0.8, capsize=2,
                      color=colour, label=titles[name])  # fmt: skip
    axes.set(xlabel="mean P(generated)", ylabel="share generated", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100)
    return file.getvalue()
