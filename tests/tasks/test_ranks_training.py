"""Ways to the same optimiser step: one large batch, accumulated ones, two ranks, both; and what ranks cannot do."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import synthetic
import torch
from forked import ROOT, Commands

from lightning_main import main

BACKBONE = "detector=classifier detector.pretrained=false detector.image_size=32 detector.backbone=timm"
# layers that look at one image at a time, and a step in proportion to the gradient, as nothing else is the same sum
PLAIN = f"{BACKBONE}/test_convnext detector.optimizer._target_=torch.optim.SGD detector.optimizer.lr=0.05"
FIT = "trainer=cpu trainer.max_epochs=2 trainer.enable_progress_bar=false logger=null"
WORDS = f"datamodule=hdf5 datamodule.path=drawn.h5 datamodule.eval_batch_size=4 {FIT}".split()
TWO = ["trainer.devices=2", "trainer.strategy=ddp"]
WAYS = {
    "whole": (8, 1, 1),
    "accumulated": (4, 2, 1),
    "ranks": (4, 1, 2),
    "both": (2, 2, 2),
}
"""Images of a batch on a rank, batches of a step, ranks."""


@pytest.fixture(scope="module")
def commands(zygote: Commands, tmp_path_factory: pytest.TempPathFactory) -> Commands:
    zygote.folder = tmp_path_factory.mktemp("ways")
    synthetic.hdf5(zygote.folder / "drawn.h5", {"train": 32, "valid": 10, "test": 11})
    return zygote


def scores(folder: Path, stage: str) -> np.ndarray:
    with np.load(folder / f"window_0/predictions_{stage}_all.npz", allow_pickle=False) as dump:
        logits: np.ndarray = dump["fused_logits"]
    assert logits.dtype == np.float32
    assert np.isfinite(logits).all()
    return logits


def test_accumulation_and_ranks_take_the_same_steps(commands: Commands) -> None:
    found = {}
    for name, (batch, accumulated, ranks) in WAYS.items():
        words = [*WORDS, *PLAIN.split(), f"experiment_id={name}", f"datamodule.batch_size={batch}"]
        words += [f"trainer.accumulate_grad_batches={accumulated}", *(TWO if ranks == 2 else ())]
        commands.run(name, words, ranks)
        folder = commands.folder / f"experiments_data/{name}"
        last = torch.load(folder / "window_0/checkpoints/last.ckpt", weights_only=True)
        assert last["global_step"] == 8
        found[name] = last["state_dict"], scores(folder, "validate")
    weights, wanted = found.pop("whole")
    start = {name: tensor for name, tensor in weights.items() if tensor.ndim > 1}
    for name, (others, logits) in found.items():
        for key in start:
            torch.testing.assert_close(others[key], weights[key], atol=2e-6, rtol=1e-4, msg=f"{name}: {key}")
        np.testing.assert_allclose(logits, wanted, atol=2e-5, err_msg=name)
    assert len(wanted) == 10


def test_bf16_on_two_ranks_scores_as_on_one(commands: Commands) -> None:
    words = [*WORDS, *f"{BACKBONE}/test_resnet".split(), "datamodule.batch_size=4"]
    commands.run("bf16", [*words, *TWO, "experiment_id=bf16", "trainer.precision=bf16-mixed"], 2)
    best = "ckpt=experiments_data/bf16/window_0/checkpoints/best.ckpt"
    found = {}
    for name, precision, ranks in (("one", "bf16-mixed", 1), ("two", "bf16-mixed", 2), ("full", "32-true", 1)):
        further = [f"experiment_id=bf16_{name}", f"trainer.precision={precision}", *(TWO if ranks == 2 else ())]
        commands.run(f"bf16_{name}", [*words, "task=test", best, *further], ranks)
        found[name] = scores(commands.folder / f"experiments_data/bf16_{name}", "test")
    np.testing.assert_array_equal(found["one"], found["two"])
    assert not np.array_equal(found["one"], found["full"])  # or it was no bf16
    np.testing.assert_allclose(found["one"], found["full"], atol=0.05)


@pytest.mark.parametrize("strategy", ["ddp", "ddp_find_unused_parameters_true"])
def test_batch_norm_over_ranks_is_refused_on_a_cpu(
    strategy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"datamodule.path={tmp_path}", "datamodule=folder", "trainer=cpu", "trainer.sync_batchnorm=true"]
    assert main([*words, "trainer.devices=2", f"trainer.strategy={strategy}", "experiment_id=x"]) == 2
    told = capsys.readouterr().err
    assert "trainer.sync_batchnorm=true on 2 CPU processes" in told
    assert "trainer.accelerator=gpu" in told


@pytest.mark.slow
def test_several_jobs_of_several_devices_are_one_group_each(commands: Commands) -> None:
    words = [*WORDS, *f"{BACKBONE}/test_resnet".split(), "datamodule.batch_size=4", "trainer.max_epochs=1", *TWO]
    words += ["experiment_id=many", "seed=1,2", "launcher=local", "launcher.at_once=2", "launcher.logs=logs"]
    command = [sys.executable, str(ROOT / "lightning_main.py"), "-m", *words]
    env = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "WANDB_"))}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=commands.folder, env=env)
    logs = [(commands.folder / f"logs/job_{number}.log").read_text() for number in range(2)]
    assert done.returncode == 0, (done.stderr, logs)
    for number, log in enumerate(logs):
        assert log.count("every stage is trained") == 1
        assert "MEMBER: 2/2" in log  # Lightning's word for a second rank
        folder = commands.folder / f"experiments_data/many_seed-{number + 1}"
        assert len(scores(folder, "validate")) == 10
        assert json.loads((folder / "window_0/steps.json").read_text())["steps"] == 4
    first, second = (scores(commands.folder / f"experiments_data/many_seed-{seed}", "validate") for seed in (1, 2))
    assert not np.array_equal(first, second)
    assert not list((commands.folder / "experiments_data").glob("[0-9]*"))
