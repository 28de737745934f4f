"""A calibration from a validation dump, applied to the checkpoint it was fitted for alone."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit

from benchmarks.predictions import read_predictions
from lightning_main import main

FIT = ["task=calibrate", "calibrate.input=e", "calibrate.out=c", "calibrate.resamples=20"]
FOLDER = "experiments_data/e/window_0"


def predict(*words: str) -> int:
    data = ["task=predict", "datamodule=hdf5", "datamodule.path=drawn.h5", "trainer=cpu", "experiment_id=p"]
    return main([*data, f"ckpt={FOLDER}/checkpoints/best.ckpt", "trainer.enable_progress_bar=false", *words])


def test_a_shift_is_stored_and_applied(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*FIT, "calibrate.method=shift"]) == 0
    assert "min_cllr" in capsys.readouterr().out
    assert (trained / "c/calibration.png").stat().st_size > 0
    stored = json.loads((trained / "c/calibration.json").read_text())
    valid = next(iter(sorted(trained.glob(f"{FOLDER}/predictions_[sv]*_all.npz"))))
    dump = read_predictions(valid)
    offset = stored["calibration"]["offset"]
    assert expit(dump.fused_logits.astype(float) + offset).mean() == pytest.approx(dump.fused_labels.mean())
    value, low, high = stored["figures"]["before"]["nll"]
    losses = np.logaddexp(0, np.where(dump.fused_labels == 1, -1, 1) * dump.fused_logits.astype(float))
    assert value == pytest.approx(losses.mean())
    assert low <= value <= high
    assert predict("predict.calibration=c/calibration.json") == 0
    with (trained / "experiments_data/p/predictions.csv").open() as file:
        for row in csv.DictReader(file):
            assert float(row["calibrated"]) == pytest.approx(expit(float(row["logit"]) + offset), abs=1e-6)
    stored["checkpoint_sha256"] = "0" * 64
    (trained / "c/calibration.json").write_text(json.dumps(stored))
    assert predict("predict.calibration=c/calibration.json") == 1
    assert "fitted for another checkpoint (000000000000" in capsys.readouterr().err
    assert predict("predict.calibration=nowhere.json") == 2


def test_a_prior_takes_the_place_of_labels(trained: Path) -> None:
    assert main([*FIT, "calibrate.method=shift", "calibrate.prior=0.2"]) == 0
    assert json.loads((trained / "c/calibration.json").read_text())["calibration"]["share"] == 0.2
    for wrong in (["calibrate.prior=0.2"], ["calibrate.method=shift", "calibrate.prior=1"]):
        assert main([*FIT, *wrong]) == 2
    assert main(["task=calibrate", "calibrate.out=d"]) == 2
