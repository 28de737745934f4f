"""Scoring without Lightning's trainer: the same files, bit for bit, the same lines, the same stop."""

import json
import re
import signal
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as L
import tiny
import torch

from callbacks.collector import Collector
from callbacks.preemption import Preemption
from callbacks.reporting.progress_lines import ProgressLines
from conf.compose import compose
from contracts.process.stop import STOP, Stopped
from lightning_main import main
from tasks.checking.ordinary import ordinary_device
from tasks.experiment.run import Run
from tasks.scoring import evaluate
from tasks.scoring.scorer import Scorer, needs_trainer

BEST = "experiments_data/e/window_0/checkpoints/best.ckpt"
VIA_TRAINER = {"predict": "trainer.limit_predict_batches=1.0", "test": "trainer.limit_test_batches=1.0"}
"""The value is Lightning's default, but its key is not ordinary."""


def dump(file: Path) -> dict[str, Any]:
    with np.load(file, allow_pickle=False) as opened:
        content = {name: opened[name] for name in opened.files}
    about = json.loads(str(content.pop("provenance")))
    del about["config_hash"]  # differs by the key of the trainer
    return content | {"provenance": about}


@pytest.mark.parametrize(
    ("task", "more"), [("predict", []), ("test", []), ("predict", ["trainer.precision=bf16-mixed"])]
)
def test_both_ways_write_the_same(
    trained: Path, words: list[str], task: str, more: list[str], capfd: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    made: list[object] = []
    find = evaluate.quiet_trainer

    def found_one(*given: Any, **more: Any) -> Any:
        made.append(find(*given, **more))
        return made[-1]

    monkeypatch.setattr(f"tasks.{task}.quiet_trainer", found_one)
    whole = [word for word in words if not word.startswith("trainer.enable_progress_bar")]
    found, printed = [], []
    for extra in ([], [VIA_TRAINER[task]]):
        capfd.readouterr()
        assert main([*whole, f"task={task}", f"ckpt={BEST}", "predict.out=scores", *more, *extra]) == 0
        files = {
            "predict": "scores/predictions_predict_all.npz",
            "test": "experiments_data/e/window_0/predictions_test_all.npz",
        }
        found.append(dump(trained / files[task]))
        printed.append(re.sub(r"[\d,.]+ images/s, \S+", "SPEED", capfd.readouterr().out))
    assert [type(one).__name__ for one in made] == ["Scorer", "Trainer"]
    assert found[0].keys() == found[1].keys()
    for name, value in found[0].items():
        assert np.array_equal(value, found[1][name]), name
    assert printed[0] == printed[1]
    assert f"{task}: 18 images" in printed[0] or task == "predict"


def test_the_detector_is_left_as_a_trainer_leaves_it(tmp_path: Path) -> None:
    detector, collector = tiny.Tiny(), Collector()
    detector.net.eval()
    module = tiny.data(tmp_path)
    Scorer([collector], "cpu").score("test", detector, module)
    assert detector.training
    assert not detector.net.training
    assert not torch.is_inference_mode_enabled()
    assert collector.predictions is not None
    assert len(collector.predictions) == 5


def test_a_signal_stops_behind_the_batch(tmp_path: Path) -> None:
    class Signalled(tiny.Tiny):
        batches = 0

        def score(self, batch: Any) -> Any:
            self.batches += 1
            STOP.signum = signal.SIGTERM
            return super().score(batch)

    detector, module = Signalled(), tiny.data(tmp_path, batch_size=2)
    try:
        with pytest.raises(Stopped, match="SIGTERM"):
            Scorer([Collector(), Preemption(), ProgressLines(shown=False)], "cpu").score("predict", detector, module)
    finally:
        STOP.signum, STOP.deferred = None, False
    assert detector.batches == 1


def test_progress_is_told_in_the_same_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = []
    for trainer in (Scorer([ProgressLines(every=0.0)], "cpu"), tiny.trainer(ProgressLines(every=0.0))):
        do = trainer.test if isinstance(trainer, L.Trainer) else partial(trainer.score, "test")
        do(tiny.Tiny(), datamodule=tiny.data(tmp_path, batch_size=2))
        lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("test")]
        told.append([re.sub(r"[\d.,]+ images/s|\d:\d\d:\d\d", "…", line) for line in lines])
    assert told[0] == told[1]
    assert told[0] == [*(f"test: batch {k}/3, …, … left" for k in (1, 2, 3)), "test: 5 images, …, …"]


@pytest.mark.parametrize("hook", ["on_predict_start", "on_after_batch_transfer", "setup"])
def test_hooks_of_its_own_need_a_trainer(hook: str) -> None:
    assert not needs_trainer(tiny.Tiny(), "predict")
    own = type("Own", (tiny.Tiny,), {hook: lambda *_: None})
    assert needs_trainer(own(), "predict")


def test_so_does_asking_for_the_trainer() -> None:
    class Own(tiny.Tiny):
        def score(self, batch: Any) -> Any:
            assert self.trainer.predicting
            return super().score(batch)

    assert needs_trainer(Own(), "predict")


def test_the_command_then_uses_one(tmp_path: Path) -> None:
    run = Run(compose(["task=predict", "trainer=cpu", f"predict.out={tmp_path}", "ckpt=x", "experiment_id=x"]))
    own = type("Own", (tiny.Tiny,), {"on_predict_start": lambda *_: None})
    module = tiny.data(tmp_path)
    for detector, name in ((own(), "Trainer"), (tiny.Tiny(), "Scorer")):
        assert type(evaluate.quiet_trainer(run, Collector(), scored=(detector, module), logger=False)).__name__ == name


@pytest.mark.parametrize(
    ("more", "env"),
    [
        ({"devices": 2}, {}),
        ({"strategy": "ddp"}, {}),
        ({"precision": "16-mixed"}, {}),
        ({"precision": "bf17"}, {}),
        ({"accelerator": "tpu"}, {}),
        ({"accelerator": True}, {}),
        ({"devices": True}, {}),
        ({"devices": [0]}, {}),
        ({"limit_test_batches": 2}, {}),
        ({"max_epochs": 0.5}, {}),
        ({"fast_dev_run": True}, {}),
        ({"max_time": "00:00:00:00"}, {}),
        ({}, {"WORLD_SIZE": "2"}),
        ({}, {"LOCAL_RANK": "0"}),
        ({}, {"SLURM_JOB_ID": "1", "SLURM_NTASKS": "2"}),
        ({}, {"PL_TRAINER_PRECISION": "64"}),
    ],
)
def test_what_is_not_ordinary_is_lightnings(more: dict[str, Any], env: dict[str, str]) -> None:
    node = compose(["trainer=cpu"]).resolved["trainer"]
    assert ordinary_device(node, {}) == "cpu"
    assert ordinary_device(node | more, env) is None


def test_the_device_is_the_one_lightning_would_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    node = compose(["trainer=auto"]).resolved["trainer"]
    for gpus, devices, found in ((0, "auto", "cpu"), (1, "auto", "cuda"), (2, "auto", None), (2, 1, "cuda")):
        cuda = SimpleNamespace(is_available=lambda n=gpus: n > 0, device_count=lambda n=gpus: n)
        monkeypatch.setattr(torch, "cuda", cuda)
        assert ordinary_device(node | {"devices": devices}, {}) == found
    monkeypatch.setattr(torch, "cuda", SimpleNamespace(is_available=lambda: False))
    assert ordinary_device(node | {"accelerator": "gpu"}, {}) is None  # Lightning refuses it
