"""One small experiment, trained once for all tests that look at what comes behind training."""

import contextlib
import shutil
from pathlib import Path

import pytest
import synthetic

from lightning_main import main

DETECTOR = (
    "detector=classifier detector.backbone=timm/test_resnet detector.pretrained=false detector.image_size=32 "
    "detector.optimizer.lr=0.003"
)
TRAINER = "trainer=cpu trainer.max_epochs=3 trainer.enable_progress_bar=false trainer.enable_model_summary=false"
DATA = "datamodule=hdf5 datamodule.path=drawn.h5 datamodule.batch_size=4"
WORDS = f"{DATA} {DETECTOR} {TRAINER}".split()


@pytest.fixture(scope="session")
def _trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    synthetic.hdf5(folder / "drawn.h5", {"train": 32, "valid": 16, "test": 18})
    with contextlib.chdir(folder):
        assert main([*WORDS, "experiment_id=e", "logger=[tensorboard]"]) == 0
        assert main([*WORDS, "experiment_id=e", "logger=[tensorboard]", "task=test"]) == 0
    return folder


@pytest.fixture
def words() -> list[str]:
    """The words of the command line that trained it."""
    return [*WORDS, "experiment_id=e"]


@pytest.fixture
def trained(_trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folder in which ``experiment_id=e`` was trained and tested; the working directory."""
    folder = tmp_path / "trained"
    shutil.copytree(_trained, folder, symlinks=True)
    monkeypatch.chdir(folder)
    return folder
