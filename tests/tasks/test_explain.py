"""Explanations: from training to image files on the command line, and the files themselves."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import synthetic
import torch
from PIL import Image
from synthetic_predictions import draw

from callbacks.explaining.attention import groups
from callbacks.explaining.explain import attention_of, most_confident, write_explanation
from callbacks.explaining.maps import GAIN, HEAD, hot
from contracts.view import View
from detectors.npr.detector import NPR
from detectors.npr.multiscale import NPRMultiScale
from lightning_main import main

VIEW = View(resize=32)


def test_from_training_to_image_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    synthetic.parquet(tmp_path / "set", {"train": 16, "valid": 8, "test": 12}, sizes=(32, 40))
    columns = "{id: id, image: image, label: label, generator: generator, split: split, source: null, group: null}"
    words = [
        "experiment_id=e", "datamodule=parquet", f"datamodule.path={tmp_path}/set", f"datamodule.columns={columns}",
        "datamodule.batch_size=8", "detector=npr_multiscale", "detector.scales=[0.5,0.3]", "trainer=cpu",
        "trainer.max_epochs=1", "trainer.log_every_n_steps=1", "detector.train_view.resize=null",
        "detector.train_view.crop=32", "detector.eval_view.resize=null", "trainer.enable_progress_bar=false",
        "logger=[csv]",
    ]  # fmt: skip
    assert main(words) == 0
    text = next(Path("experiments_logs").rglob("metrics.csv")).read_text()
    assert "train/attention_0.3" in text
    assert main([*words, "task=explain"]) == 1
    assert "Run task=test experiment_id=e first" in capsys.readouterr().err
    assert main([*words, "task=test", "callbacks=explain", "callbacks.explain.images=1"]) == 0
    out = tmp_path / "experiments_data/e/window_0/explain"
    by_callback = {file.name for file in (out / "maps").iterdir()}
    with (out / "attention.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    assert all(float(row["0.5x"]) + float(row["0.3x"]) == pytest.approx(1, abs=1e-5) for row in rows)
    assert main([*words, "task=explain", "explain.images=1"]) == 0
    assert {file.name.split("_", 1)[1] for file in (out / "maps").iterdir()} == {
        name.split("_", 1)[1] for name in by_callback
    }
    assert main([*words, "task=explain", "explain.ids=[test/3,test/0]", "explain.out=mine"]) == 0
    assert sorted(file.name for file in Path("mine/maps").iterdir()) == ["000_test_3.png", "001_test_0.png"]
    assert Image.open("mine/maps/001_test_0.png").size == (3 * (72 + 4) - 4, 32 + HEAD)
    index = json.loads((out.parent / "maps/index.json").read_text())
    assert {"test/0", "test/3"} <= set(index)
    assert Image.open(out.parent / "maps" / index["test/0"]["0.3x"]).size == (32, 32)
    assert main(["task=review", "experiment_id=e"]) == 0
    page = Path("experiments_data/e/review/index.html").read_text()
    assert "weight of each scale" in page
    assert main([*words, "task=explain", "explain.ids=[test/99]"]) == 1
    assert "'test/99' was not tested" in capsys.readouterr().err


def test_files_say_what_was_there(tmp_path: Path) -> None:
    predictions = draw(images=60)
    weights = np.random.default_rng(0).dirichlet((4, 2), 60).astype(np.float32)
    dump = predictions.select(np.arange(60))
    dump.extra.update({"attention_0": weights[:, 0], "attention_1": weights[:, 1]})  # type: ignore[attr-defined]
    detector = NPRMultiScale(VIEW, VIEW, scales=(0.25, 0.75))
    files = write_explanation(dump, detector, {}, tmp_path)
    assert [file.name for file in files] == [
        "attention_distribution.png", "attention_heat_map.png", "attention_statistics.txt", "attention.csv",
    ]  # fmt: skip
    lines = (tmp_path / "attention_statistics.txt").read_text().splitlines()
    assert lines[0] == "all images (60)"
    assert lines[1] == f"Scale 0.25x: {weights[:, 0].mean():.4f} ± {weights[:, 0].std():.4f}"
    assert lines[4] == "real (30)"
    assert list(groups(dump)) == ["all images", "real", "alpha", "beta_2", "gamma-10"]
    for file in files[:2]:
        assert np.asarray(Image.open(file).convert("L")).std() > 10


def test_maps_are_the_residual_pixel_by_pixel(tmp_path: Path) -> None:
    predictions = draw(images=6)
    name = str(predictions.fused_ids[0])
    pixels = torch.randint(0, 256, (3, 81, 90), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    detector = NPR(VIEW, VIEW)
    assert attention_of(predictions, 1) is None
    (file,) = write_explanation(predictions, detector, {name: pixels}, tmp_path)
    sheet = np.asarray(Image.open(file))
    assert (sheet[HEAD:, :90] == pixels.permute(1, 2, 0).numpy()).all()
    unit = pixels[:, :80].double() / 255
    corner = unit[:, ::2, ::2].repeat_interleave(2, 1).repeat_interleave(2, 2)
    want = (unit - corner).abs().mean(0).float().numpy()
    got = detector.artefact_maps(pixels[None])[0, 0].numpy()
    np.testing.assert_allclose(got, want, atol=1e-6)
    assert (sheet[HEAD : HEAD + 80, 94:184] == hot(got)).all()
    assert (hot(np.array([[0.0, 2 / GAIN]], np.float32)) == [[[10, 0, 0], [255, 255, 255]]]).all()


def test_the_most_confident_right_and_wrong_of_each_class() -> None:
    predictions = draw(images=100)
    found = most_confident(predictions, 2)
    labels, logits = predictions.fused_labels, predictions.fused_logits
    assert labels[found].tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    right = (logits > 0) == (labels == 1)
    assert right[found].tolist() == [True, True, False, False] * 2
    for first in (0, 2, 4, 6):
        peers = (labels == labels[found[first]]) & (right == right[found[first]])
        assert abs(logits[found[first]]) == np.abs(logits[peers]).max()
