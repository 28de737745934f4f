"""A calibration from a validation dump, applied to the checkpoint it was fitted for alone."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import expit
from synthetic_predictions import draw

from benchmarks.calibration.forms import from_plain
from benchmarks.predictions import read_predictions, write_predictions
from lightning_main import main

FIT = ["task=calibrate", "calibrate.input=e", "calibrate.out=c", "calibrate.resamples=20"]
FOLDER = "experiments_data/e/window_0"
CKPT = f"{FOLDER}/checkpoints/best.ckpt"


def predict(*words: str) -> int:
    data = ["task=predict", "datamodule=hdf5", "datamodule.path=drawn.h5", "trainer=cpu", "experiment_id=p"]
    return main([*data, f"ckpt={CKPT}", "trainer.enable_progress_bar=false", *words])


def test_intervals_and_what_would_halve_them_are_given_for_six_photographs_of_each_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    about = {"weights_sha256": "a" * 64, "detector_hash": "b"}
    write_predictions(Path("v.npz"), draw(provenance=about, group=[f"p{k // 3}" for k in range(120)]))
    fit = ["task=calibrate", "calibrate.input=v.npz", "calibrate.store=false", "calibrate.resamples=20"]
    assert main([*fit, "calibrate.out=c"]) == 0
    assert "intervals half as wide need about 160 photographs instead of 40" in capsys.readouterr().out
    stored = json.loads(Path("c/calibration.json").read_text())
    for found in stored["figures"].values():
        assert all(low <= value <= high for value, low, high in found.values())
    assert all(one["low"] <= one["share"] <= one["high"] for one in stored["reliability"]["before"])


def rows(name: str) -> list[dict[str, str]]:
    with Path(f"experiments_data/{name}/predictions.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_shift_is_written_to_a_file_and_applied(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (trained / CKPT).read_bytes()
    assert main([*FIT, "calibrate.method=shift", "calibrate.store=false"]) == 0
    printed = capsys.readouterr().out
    assert "min_cllr" in printed
    assert "too few photographs for intervals, and for a sure call: each class needs 6" in printed
    assert "nan" not in printed
    assert (trained / CKPT).read_bytes() == before
    assert (trained / "c/calibration.png").stat().st_size > 0
    stored = json.loads((trained / "c/calibration.json").read_text())
    valid = next(iter(sorted(trained.glob(f"{FOLDER}/predictions_[sv]*_all.npz"))))
    dump = read_predictions(valid)
    offset = stored["calibration"]["offset"]
    assert expit(dump.fused_logits.astype(float) + offset).mean() == pytest.approx(dump.fused_labels.mean())
    value, low, high = stored["figures"]["before"]["nll"]
    losses = np.logaddexp(0, np.where(dump.fused_labels == 1, -1, 1) * dump.fused_logits.astype(float))
    assert value == pytest.approx(losses.mean())
    assert low is high is None  # 4 photographs
    assert sum(one["images"] for one in stored["reliability"]["before"]) == len(dump)
    assert predict("predict.calibration=c/calibration.json", "predict.prevalence=0.1") == 0
    odds = np.log(0.1 / 0.9) - np.log(dump.fused_labels.mean() / (1 - dump.fused_labels.mean()))
    for row in rows("p"):
        assert float(row["calibrated"]) == pytest.approx(expit(float(row["logit"]) + offset), abs=1e-6)
        assert float(row["posterior"]) == pytest.approx(expit(float(row["logit"]) + offset + odds), abs=1e-6)
    assert predict("predict.calibration=c/calibration.json", "calibrated=true") == 2
    stored["weights_sha256"] = "0" * 64
    (trained / "c/calibration.json").write_text(json.dumps(stored))
    assert predict("predict.calibration=c/calibration.json") == 1
    assert "fitted for another checkpoint (weights 000000000000" in capsys.readouterr().err
    assert predict("predict.calibration=nowhere.json") == 2


def test_the_checkpoint_keeps_its_calibration_and_gives_calibrated_probabilities(
    trained: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict("calibrated=true") == 1
    assert "has no calibration" in capsys.readouterr().err
    assert predict() == 0
    raw = {row["id"]: row for row in rows("p")}
    for method in ("shift", "isotonic"):  # also where there was one before
        assert main([*FIT, f"calibrate.method={method}", "calibrate.sure=0.5"]) == 0
    stored = json.loads((trained / "c/calibration.json").read_text())
    capsys.readouterr()
    assert predict("calibrated=true", "predict.deliveries=[jpeg-50]", "predict.prevalence=0.5") == 0
    assert "undecidable by the calibration" in capsys.readouterr().out
    form = from_plain(stored["calibration"])
    band = stored["undecidable"]
    for row in rows("p"):
        before = raw[row["id"]]
        assert float(row["uncalibrated"]) == float(before["logit"])
        p = float(expit(form(np.array([float(before["logit"])]))[0]))
        assert float(row["score"]) == pytest.approx(p, abs=1e-6)
        assert float(row["posterior"]) == pytest.approx(p, abs=1e-6)  # fitted on as many generated as real images
        low, high = (band[key] for key in ("low", "high"))
        x = float(np.float32(before["logit"]))  # as the dump has it; its shortest decimals lie beside it
        inside = (low is None or x > low) and (high is None or x < high)
        assert row["verdict"] == "unsure" or not inside
    delivered = read_predictions(Path("experiments_data/p/deliveries/predictions_jpeg-50_all.npz"))
    assert delivered.about["delivery"] == "jpeg-50"
    assert delivered.about["calibration"]["method"] == "isotonic"
    assert predict("calibrated=true", "predict.unsure_band=false") == 0
    assert "verdict" not in rows("p")[0]
    test = ["task=test", "calibrated=true"]
    assert main([*words, *test]) == 0
    dump = read_predictions(Path(f"{FOLDER}/predictions_test_all.npz"))
    assert dump.about["calibration"] == {"method": "isotonic", "share": 0.5}
    assert dump.fused_scores == pytest.approx(expit(form(dump.extra["uncalibrated"])), abs=1e-6)
    assert main(["task=calibrate", f"calibrate.input={FOLDER}/predictions_test_all.npz"]) == 1
    assert "calibrated scores already" in capsys.readouterr().err
    threshold = ["task=threshold", f"threshold.input={FOLDER}/predictions_test_all.npz", "experiment_id=p"]
    assert main(threshold) == 1
    assert main([*threshold, "threshold.column=uncalibrated"]) == 0
    assert predict("calibrated=true") == 0
    assert main([*words, "task=validate", "calibrated=true"]) == 2


def test_changed_weights_or_options_are_refused(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*FIT, "calibrate.method=shift"]) == 0
    assert predict("calibrated=true", "detector.optimizer.lr=1", "experiment_id=q") == 0
    assert predict("calibrated=true", "detector.eval_view={_target_: contracts.view.View, resize: 32}") == 1
    assert "with other options of the detector" in capsys.readouterr().err
    content = torch.load(trained / CKPT, weights_only=True)
    name = next(iter(content["state_dict"]))
    content["state_dict"][name] = content["state_dict"][name] + 1
    torch.save(content, trained / CKPT)
    assert predict("calibrated=true") == 1
    assert "fitted for another checkpoint" in capsys.readouterr().err
    assert main([*FIT, "calibrate.method=shift"]) == 1
    assert "has other weights than the dump is from" in capsys.readouterr().err
    assert main([*FIT, "calibrate.method=shift", "calibrate.sure=0.3"]) == 2


def test_a_prior_takes_the_place_of_labels(trained: Path) -> None:
    assert main([*FIT, "calibrate.method=shift", "calibrate.prior=0.2"]) == 0
    assert json.loads((trained / "c/calibration.json").read_text())["calibration"]["share"] == 0.2
    for wrong in (["calibrate.prior=0.2"], ["calibrate.method=shift", "calibrate.prior=1"]):
        assert main([*FIT, *wrong]) == 2
    assert main(["task=calibrate", "calibrate.out=d"]) == 2
