"""Scores of any images by any checkpoint, which needs no configuration beside it."""

import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

import lightning_main
from benchmarks.predictions import read_predictions
from lightning_main import main
from tasks.predict import _expected

PROGRAM = Path(lightning_main.__file__).resolve()
QUIET = ["trainer=cpu", "trainer.enable_progress_bar=false"]


@pytest.fixture
def pictures(trained: Path) -> Path:
    """The test images as files, and one that cannot be read."""
    folder = trained / "pictures"
    folder.mkdir()
    with h5py.File(trained / "drawn.h5") as file:
        for k, pixels in enumerate(file["test/image"][:]):
            Image.fromarray(pixels).save(folder / f"{k:02d}.png")
    (folder / "broken.png").write_bytes((folder / "00.png").read_bytes()[:50])
    return folder


def best(folder: Path) -> str:
    return f"ckpt={folder}/experiments_data/e/window_0/checkpoints/best.ckpt"


def table(file: Path) -> list[dict[str, Any]]:
    with file.open() as opened:
        return list(csv.DictReader(opened))


def test_a_checkpoint_alone_scores_a_folder_from_the_command_line(
    trained: Path, pictures: Path, tmp_path: Path
) -> None:
    words = [
        "task=predict",
        best(trained),
        "datamodule=folder",
        f"datamodule.path={pictures}",
        "predict.out=scores",
        *QUIET,
    ]
    done = subprocess.run([sys.executable, PROGRAM, *words], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    tested = read_predictions(trained / "experiments_data/e/window_0/predictions_test_all.npz")
    found = read_predictions(tmp_path / "scores/predictions_predict_all.npz")
    assert len(found) == 18
    np.testing.assert_allclose(found.fused_logits, tested.fused_logits, atol=1e-6)
    assert found.about["threshold"] == tested.about["threshold"]
    rows = [row for row in table(tmp_path / "scores/predictions.csv") if row["score"]]
    assert [float(row["score"]) for row in rows] == pytest.approx(found.fused_scores.tolist())
    limit = tested.about["threshold"]
    assert [row["generated"] for row in rows] == [str(score > limit) for score in found.fused_scores.tolist()]
    (failure,) = table(tmp_path / "scores/failures.csv")
    assert failure["where"].endswith("broken.png")
    for part in ("18 images scored", "P(generated)", "yes", "1 image could not be read; see "):
        assert part in done.stdout


def test_one_image_is_enough(trained: Path, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["task=predict", best(trained), "datamodule=folder", f"datamodule.path={pictures}/03.png", *QUIET]
    assert main([*words, "experiment_id=p"]) == 0
    (row,) = table(trained / "experiments_data/p/predictions.csv")
    assert row["where"].endswith("03.png")
    assert "1 image scored" in capsys.readouterr().out


def test_only_unreadable_images_are_an_error(trained: Path, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["task=predict", best(trained), "datamodule=folder", f"datamodule.path={pictures}/broken.png", *QUIET]
    assert main([*words, "experiment_id=p"]) == 1
    assert "no image could be scored" in capsys.readouterr().err


class _Hostile:
    def __reduce__(self) -> Any:
        return Path.touch, (Path("ran"),)


def test_a_hostile_checkpoint_is_refused(trained: Path, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"state_dict": {"w": torch.zeros(1)}, "pixelproof": _Hostile()}, trained / "evil.ckpt")
    words = ["task=predict", "ckpt=evil.ckpt", "datamodule=folder", f"datamodule.path={pictures}", *QUIET]
    assert main([*words, "experiment_id=p"]) == 1
    assert "could run code from the file" in capsys.readouterr().err
    assert not (trained / "ran").exists()


def test_no_precision_is_expected_of_a_rate_too_small_to_show() -> None:
    line = _expected({"tpr": 0.9, "fpr": 0.01}, 0.01)
    assert line.startswith(f"prevalence 0.01: {0.9 / (0.9 + 0.99):.1%} of the images")
    assert "the expected precision is unknown" in _expected({"tpr": 0.9, "fpr": 0.0}, 0.01)
    assert "the expected precision is unknown" in _expected({"tpr": 0.9}, 0.01)


def test_a_conformal_threshold_and_a_prevalence_add_columns(
    trained: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["task=threshold", "experiment_id=e", "threshold.rule=conformal", "threshold.fpr=0.25"]
    assert main([*words, "threshold.out=chosen", "threshold.column=score"]) == 0
    predict = ["task=predict", best(trained), "datamodule=folder", f"datamodule.path={pictures}"]
    predict += [*QUIET, "predict.threshold=chosen/threshold.json"]
    capsys.readouterr()
    assert main([*predict, "predict.prevalence=0.1", "experiment_id=p"]) == 0
    assert "prevalence 0.1: " in capsys.readouterr().out
    rows = [row for row in table(trained / "experiments_data/p/predictions.csv") if not row["error"]]
    for row in rows:
        assert (float(row["p_value"]) <= 0.25) == (row["generated"] == "True")
        odds = float(row["score"]) / (1 - float(row["score"])) / 9
        assert float(row["posterior"]) == pytest.approx(odds / (1 + odds), rel=1e-3)
    assert main([*predict, "predict.prevalence=1", "experiment_id=q"]) == 2
    assert not (trained / "experiments_data/q/predictions.csv").exists()


def test_a_threshold_of_another_detector_is_refused(
    trained: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["task=threshold", "experiment_id=e", "threshold.rule=conformal", "threshold.fpr=0.25"]
    assert main([*words, "threshold.out=p", "threshold.column=score"]) == 0
    content = torch.load(best(trained).removeprefix("ckpt="), weights_only=True)
    content["state_dict"] = {key: value + 0.01 for key, value in content["state_dict"].items()}
    torch.save(content, trained / "other.ckpt")
    predict = ["task=predict", "datamodule=folder", f"datamodule.path={pictures}", "predict.out=p", *QUIET]
    options = "detector.eval_view={_target_: contracts.view.View, resize: 32}"
    for scored_by, what in (["ckpt=other.ckpt"], "weights"), ([best(trained), options], "options of the detector"):
        assert main([*predict, *scored_by]) == 1
        assert f"threshold was chosen on scores with other {what}" in capsys.readouterr().err
        assert not (trained / "p/predictions.csv").exists()
    assert main([*predict, best(trained)]) == 0
