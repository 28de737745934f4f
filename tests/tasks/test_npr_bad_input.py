"""Bad image trees and checkpoints, by the command line: each is named with its place and the next step."""

from pathlib import Path

import numpy as np
import pytest
import synthetic
import torch
from PIL import Image

from contracts.view import View
from detectors.npr.detector import NPR
from detectors.npr.multiscale import NPRMultiScale
from lightning_main import main

VIEW = View(resize=32)
WORDS = [
    "datamodule=forensynths", "datamodule.path=tree", "datamodule.batch_size=8", "trainer=cpu",
    "detector=npr_multiscale", "detector.scales=[0.5,0.3]", "detector.train_view.resize=null",
    "detector.train_view.crop=24", "detector.eval_view.resize=24", "trainer.max_epochs=1",
    "trainer.enable_progress_bar=false", "trainer.enable_model_summary=false",
]  # fmt: skip


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small ForenSynths tree in the working folder."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for split, sets, count in (("train", ("car",), 8), ("val", ("car",), 4), ("test", ("progan/car", "biggan"), 3)):
        for name in sets:
            for kind in ("0_real", "1_fake"):
                folder = tmp_path / "tree" / split / name / kind
                folder.mkdir(parents=True)
                for k in range(count):
                    Image.fromarray(synthetic.picture(rng, 24, kind == "1_fake")).save(folder / f"{k}.png")
    return tmp_path / "tree"


def fails(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What is said where a command fails, which it does without a traceback."""
    capsys.readouterr()
    name = "e" if "task=test" in words else f"e{len(list(Path().glob('experiments_data/*')))}"
    assert main([*WORDS, f"experiment_id={name}", *words]) in (1, 2)
    told = capsys.readouterr().err
    assert "Traceback" not in told
    assert "→" in told  # the next step
    return told


@pytest.mark.filterwarnings("ignore:.*skipped")
def test_trees(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tree.parent / "empty").mkdir()
    assert "empty: no image in a class folder; it is empty" in fails(capsys, "datamodule.path=empty")
    (tree.parent / "loose").mkdir()
    (tree / "test/biggan/0_real/0.png").rename(tree.parent / "loose/0.png")
    assert "no image in a class folder; it contains 0.png" in fails(capsys, "datamodule.path=loose")
    assert "is a class folder itself" in fails(capsys, "datamodule.path=tree/train/car/0_real")
    assert "did you mean 'car'?" in fails(capsys, "datamodule.classes=[cars]")
    assert "datamodule.path=tre does not exist" in fails(capsys, "datamodule.path=tre")
    for file in (tree / "val/car/1_fake").iterdir():
        file.rename(file.with_suffix(".txt"))
    assert "val/car/1_fake contains no image" in fails(capsys)


def test_damaged_files_and_other_checkpoints(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = (tree / "train/car/0_real/3.png").read_bytes()
    (tree / "train/car/0_real/3.png").write_bytes(whole[:-40])
    told = fails(capsys)
    assert "image 'train/car/0_real/3.png'" in told
    assert "datamodule.max_failures" in told
    (tree / "train/car/0_real/3.png").write_bytes(whole)

    assert main([*WORDS, "experiment_id=e"]) == 0
    (tree / "test/biggan/1_fake/1.png").write_bytes(b"<html>404</html>")
    (tree / "test/biggan/0_real/2.png").write_bytes(whole[:-40])
    assert main([*WORDS, "experiment_id=e", "task=test", "benchmark=forensynths_tables"]) == 0
    failed = (tree.parent / "experiments_data/e/failures.csv").read_text()
    assert "test/biggan/1_fake/1.png" in failed
    assert "no image of a known format" in failed
    assert "test/biggan/0_real/2.png" in failed
    assert "biggan,accuracy" in (tree.parent / "experiments_data/e/tables/forensynths.csv").read_text()

    best = "ckpt=experiments_data/e/window_0/checkpoints/best.ckpt"
    told = fails(capsys, "task=test", best, "detector.scales=[0.5,0.7]")
    assert "detector.scales=[0.5,0.3]" in told
    torch.save(NPR(VIEW, VIEW).net.state_dict(), "npr.pth")
    told = fails(capsys, "task=test", "ckpt=npr.pth")
    assert "npr.pth" in told
    torch.save(NPRMultiScale(VIEW, VIEW, scales=(0.2, 0.5, 0.7)).net.state_dict(), "three.pth")
    told = fails(capsys, "task=test", "ckpt=three.pth")
    assert "three.pth" in told or "scales" in told
