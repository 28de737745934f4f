"""Two ranks say what one says: every image once, equal arrays, one file of failures."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import synthetic
from forked import ROOT, Commands
from PIL import Image

from lightning_main import main

DETECTOR = "detector=classifier detector.backbone=timm/test_resnet detector.pretrained=false detector.image_size=32"
TRAINER = "trainer=cpu trainer.max_epochs=2 trainer.enable_progress_bar=false"
TWO = "trainer.devices=2 trainer.strategy=ddp"
FIT = f"datamodule=hdf5 datamodule.path=drawn.h5 datamodule.batch_size=4 {DETECTOR} {TRAINER}".split()


@pytest.fixture(scope="module")
def commands(zygote: Commands, tmp_path_factory: pytest.TempPathFactory) -> Commands:
    folder = tmp_path_factory.mktemp("ranks")
    synthetic.hdf5(folder / "drawn.h5", {"train": 20, "valid": 10, "test": 11})
    synthetic.hdf5(folder / "two.h5", {"test": 2})
    for k in range(7):
        (folder / "mixed").mkdir(exist_ok=True)
        pixels = synthetic.picture(np.random.default_rng(k), 24 + 8 * (k % 3), bool(k % 2))
        Image.fromarray(pixels).save(folder / f"mixed/{k}.png")
    broken = folder / "mixed/5.png"
    broken.write_bytes(broken.read_bytes()[:-100])
    zygote.folder = folder
    zygote.run("fit", [*FIT, "experiment_id=one"])
    return zygote


def arrays(file: Path) -> dict[str, Any]:
    with np.load(file, allow_pickle=False) as dump:
        return {name: dump[name] for name in dump.files if name != "provenance"}


def assert_equal(one: dict[str, Any], two: dict[str, Any]) -> None:
    assert one.keys() == two.keys()
    for name, array in one.items():
        assert array.dtype == two[name].dtype, name
        np.testing.assert_array_equal(array, two[name], err_msg=name)


@pytest.mark.parametrize(("data", "batch", "count"), [("drawn", 4, 11), ("drawn", 1, 11), ("two", 4, 2)])
def test_test_gives_equal_arrays(commands: Commands, data: str, batch: int, count: int) -> None:
    ckpt = "ckpt=experiments_data/one/window_0/checkpoints/best.ckpt"
    words = [*FIT, ckpt, "task=test", f"datamodule.path={data}.h5", f"datamodule.eval_batch_size={batch}"]
    found = []
    for ranks in (1, 2):
        name = f"{data}-{batch}-{ranks}"
        commands.run(name, [*words, f"experiment_id={name}", *(TWO.split() if ranks == 2 else ())], ranks)
        found.append(arrays(commands.folder / f"experiments_data/{name}/window_0/predictions_test_all.npz"))
    assert len(set(found[0]["fused_ids"].tolist())) == count
    assert_equal(*found)


def test_predict_gives_equal_arrays_and_lists_failures_once(commands: Commands) -> None:
    words = f"task=predict ckpt=experiments_data/one/window_0/checkpoints/best.ckpt datamodule=folder {TRAINER}".split()
    words += ["datamodule.path=mixed", "datamodule.batch_size=1"]  # nothing is left of the broken one's batch
    found, failures = [], []
    for ranks in (1, 2):
        name = f"predict-{ranks}"
        commands.run(name, [*words, f"experiment_id={name}", *(TWO.split() if ranks == 2 else ())], ranks)
        folder = commands.folder / f"experiments_data/{name}"
        found.append(arrays(folder / "predictions_predict_all.npz"))
        failures.append((folder / "failures.csv").read_text())
    assert_equal(*found)
    assert len(found[0]["fused_ids"]) == 6
    assert failures[0] == failures[1]
    assert failures[0].count("5.png") >= 1
    assert len(failures[0].splitlines()) == 2


def test_training_on_two_ranks_shares_the_images_and_ends_once(commands: Commands) -> None:
    printed = commands.run("both", [*FIT, "experiment_id=both", *TWO.split()], 2)
    stage = commands.folder / "experiments_data/both/window_0"
    assert (stage / "done").exists()
    assert printed.count("every stage is trained") == 1
    assert len(arrays(stage / "predictions_validate_all.npz")["fused_ids"]) == 10
    first, second = commands.batches("both"), commands.batches("both.1")
    assert [entry[:2] for entry in first] == [entry[:2] for entry in second]
    for epoch in (0, 1):
        ids = [i for seen in (first, second) for at, _, batch in seen if at == epoch for i in batch]
        assert len(ids) == len(set(ids)) == 16


@pytest.mark.parametrize("strategy", ["ddp_spawn", "ddp_fork", "ddp_notebook", "ddp_spawn_find_unused_parameters_true"])
def test_strategies_that_keep_the_scores_are_refused(
    strategy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"datamodule.path={tmp_path}", "trainer.devices=2", f"trainer.strategy={strategy}", "experiment_id=x"]
    assert main(["task=predict", "datamodule=folder", f"ckpt={__file__}", *words]) == 2
    assert "Set trainer.strategy=ddp," in capsys.readouterr().err


def test_the_command_starts_its_own_ranks(commands: Commands) -> None:
    words = [*FIT, "task=test", "experiment_id=one", *TWO.split()]
    command = [sys.executable, str(ROOT / "lightning_main.py"), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=commands.folder, timeout=900)
    assert done.returncode == 0, done.stderr
    stage = commands.folder / "experiments_data/one/window_0"
    alone = commands.folder / "experiments_data/drawn-4-1/window_0"
    assert_equal(arrays(alone / "predictions_test_all.npz"), arrays(stage / "predictions_test_all.npz"))
    assert json.loads((stage / "metrics.json").read_text())["test"]
    assert not list((commands.folder / "experiments_data").glob("[0-9]*"))
