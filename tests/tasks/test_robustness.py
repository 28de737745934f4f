"""``task=test benchmark=robustness``: a dump for each delivery, and an interrupted test that continues."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.predictions import read_predictions
from contracts.view import Encoded
from datamodules.loading import dataset
from datamodules.loading.decode import decode_noted
from datamodules.loading.decoded_cache import Noted
from lightning_main import main


def test_each_delivery_has_a_dump_and_an_interrupted_test_continues(
    trained: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    stage = trained / "experiments_data/r/window_0"
    ckpt = "ckpt=experiments_data/e/window_0/checkpoints/best.ckpt"
    words = [word for word in words if not word.startswith(("detector", "experiment_id"))]
    words += ["task=test", "benchmark=robustness", ckpt, "experiment_id=r"]
    assert main([*words, "benchmark.deliveries=[jpeg-50,noise-4]"]) == 0
    written = {file.name: file.stat().st_mtime_ns for file in (stage / "deliveries").iterdir()}
    assert set(written) == {"predictions_jpeg-50_all.npz", "predictions_noise-4_all.npz"}
    clean = read_predictions(stage / "predictions_test_all.npz")
    noisy = read_predictions(stage / "deliveries/predictions_noise-4_all.npz")
    assert noisy.fused_ids.tolist() == clean.fused_ids.tolist()
    assert noisy.fused_logits.tolist() != clean.fused_logits.tolist()
    assert noisy.about["delivery"] == "noise-4"
    (stage / "deliveries/predictions_noise-4_all.npz").write_bytes(b"cut off")
    capsys.readouterr()
    assert main([*words, "benchmark.deliveries=[jpeg-50,noise-4]", "benchmark.cache=cache"]) == 0
    printed = capsys.readouterr().out
    assert "delivery 1 of 1: noise-4" in printed
    jpeg = stage / "deliveries/predictions_jpeg-50_all.npz"
    assert jpeg.stat().st_mtime_ns == written[jpeg.name]
    again = read_predictions(stage / "deliveries/predictions_noise-4_all.npz")
    assert again.fused_logits.tolist() == noisy.fused_logits.tolist()
    assert "noise-4" in (stage / "robustness.md").read_text()


@pytest.mark.parametrize("workers", [0, 1])
def test_images_are_decoded_once_for_all_deliveries(
    trained: Path, words: list[str], monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    rng, lines = np.random.default_rng(0), ["path,label"]
    for number in range(4):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(trained / f"{number}.png")
        lines.append(f"{trained / f'{number}.png'},{number % 2}")
    (trained / "table.csv").write_text("\n".join(lines) + "\n")
    decoded = []

    def counted(data: Encoded, **options: Any) -> Noted:
        decoded.append(data)
        return decode_noted(data, **options)

    monkeypatch.setattr(dataset, "decode_noted", counted)
    words = [word for word in words if not word.startswith(("detector", "experiment_id", "datamodule"))]
    words += ["task=test", "benchmark=robustness", "ckpt=experiments_data/e/window_0/checkpoints/best.ckpt"]
    words += ["datamodule=folder", "datamodule.path=table.csv", "benchmark.deliveries=[jpeg-50,noise-4,jpeg-90]"]
    assert main([*words, "experiment_id=d", f"datamodule.num_workers={workers}"]) == 0
    assert len(decoded) == (0 if workers else 8)  # as they are, and for the first delivery; workers have their own list


def test_a_delivery_after_which_nothing_can_be_scored_is_left_out_with_the_reason(
    trained: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    ckpt = "ckpt=experiments_data/e/window_0/checkpoints/best.ckpt"
    words = [word for word in words if not word.startswith(("detector", "experiment_id"))]
    words += ["task=test", "benchmark=robustness", ckpt, "experiment_id=s"]
    words += ["detector.eval_view={_target_: contracts.view.View, resize: 32, least: 20}"]
    asked = "benchmark.deliveries=[side-64,resize-0.5,jpeg-50]"  # of images of 32 pixels a side
    stage = trained / "experiments_data/s/window_0"
    (stage / "deliveries").mkdir(parents=True)
    (stage / "deliveries/predictions_resize-0.5_all.npz").write_bytes(b"of other weights")
    for _ in range(2):  # also when there is nothing left to do but what failed
        assert main([*words, asked]) == 0
        dumps = {file.name for file in (stage / "deliveries").glob("*.npz")}
        assert dumps == {"predictions_side-64_all.npz", "predictions_jpeg-50_all.npz"}
        clean = read_predictions(stage / "predictions_test_all.npz")
        same = read_predictions(stage / "deliveries/predictions_side-64_all.npz")
        assert same.fused_logits.tolist() == clean.fused_logits.tolist()
        assert same.fused_ids.tolist() == clean.fused_ids.tolist()
        reason = "16x16 is too small: the detector needs 20 pixels per side (18 images)"
        assert f"resize-0.5 is left out, as no image could be scored: {reason}" in (stage / "robustness.md").read_text()
        assert f",no image could be scored: {reason}".replace(",", "") in (stage / "robustness.csv").read_text()
    assert "delivery 1 of 1: resize-0.5" in capsys.readouterr().out


def test_an_unknown_delivery_is_refused_before_anything_is_scored(
    trained: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "task=test", "benchmark=robustness", "benchmark.deliveries=[jpg-50]"]) == 2
    assert "'jpg-50' is not a delivery" in capsys.readouterr().err
    assert not (trained / "experiments_data/e/window_0/deliveries").exists()
