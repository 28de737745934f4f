"""``task=predict`` on a photograph of 200 megapixels, such as phones take."""

import csv
import os
from pathlib import Path

import pytest
import torch
from PIL import Image

from contracts.view import View
from detectors.npr.detector import NPR
from lightning_main import main

NEEDED = 4 << 30
"""Bytes of free memory; the command takes 1.6 GB."""
WIDTH, HEIGHT = 16320, 12288


def available() -> int:
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(available() < NEEDED, reason="less than 4 GB of memory are free")
def test_200_megapixels_are_scored_once_the_limit_is_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    (tmp_path / "photos").mkdir()
    Image.new("L", (WIDTH, HEIGHT), 90).save("photos/large.jpg", quality=50)
    torch.save(NPR(View(), View()).net.state_dict(), "npr.pth")
    words = [
        "task=predict", "detector=npr", "ckpt=npr.pth", "detector.eval_view.resize=256", "detector.eval_view.crop=224",
        "datamodule=folder", "datamodule.path=photos", "trainer=cpu", "trainer.enable_progress_bar=false",
    ]  # fmt: skip
    assert main([*words, "predict.out=p"]) == 1
    assert f"{WIDTH * HEIGHT} pixels" in capsys.readouterr().err
    assert main([*words, "predict.out=q", f"datamodule.max_pixels={WIDTH * HEIGHT}"]) == 0
    with Path("q/predictions.csv").open(newline="") as text:
        (row,) = csv.DictReader(text)
    assert row["error"] == ""
    assert 0 < float(row["score"]) < 1
