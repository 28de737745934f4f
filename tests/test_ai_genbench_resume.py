"""A whole miniature AI-GenBench killed inside and between windows ends in the same table."""

import csv
import json
import random
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from forked import Commands
from synthetic_ai_genbench import miniature
from their_evaluation import evaluate

from benchmarks.ai_genbench.protocol.generators import load_generators
from benchmarks.predictions import read_predictions

NAMES = [generator.name for generator in load_generators()[:3]]
WINDOWS = 3
COMMON = (
    "datamodule=ai_genbench datamodule.path=mini datamodule.batch_size=2 "
    "benchmark=ai_genbench benchmark.window_size=1 benchmark.crop_size=32 benchmark.global_batch=4 "
    "benchmark.augmentation_factor=2 benchmark.monitor_images=8 benchmark.test_images=all "
    "detector=classifier detector.backbone=timm/test_resnet detector.pretrained=false detector.image_size=32 "
    "detector.scheduler={_target_:detectors.parts.training.schedules.OneCycle,_partial_:true} "
    "detector.scheduler_steps=total_steps "
    "trainer=cpu trainer.max_epochs=1 trainer.enable_progress_bar=false"
)
WORDS = [*COMMON.split(), f"benchmark.generators=[{','.join(NAMES)}]"]
KILLS = 2


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("windows")
    miniature(folder / "mini", train=2, validation=2, size=32, names=NAMES)
    with Commands(folder) as started:
        yield started


def results(commands: Commands, name: str) -> dict[str, Any]:
    """The tables, and each window's weights."""
    commands.run(f"{name}-test", [*WORDS, f"experiment_id={name}", "task=test"])
    folder = commands.folder / "experiments_data" / name
    tables = json.loads((folder / "ai_genbench.json").read_text())[name]
    weights = [
        torch.load(folder / f"window_{window}/checkpoints/best.ckpt", weights_only=True)["state_dict"]
        for window in range(WINDOWS)
    ]
    steps = [json.loads((folder / f"window_{window}/steps.json").read_text()) for window in range(WINDOWS)]
    for theirs, stage in zip(evaluate(folder), tables["stages"], strict=True):
        assert theirs["growing_whole"] == pytest.approx(stage["periods"]["whole"]["roc_auc"], abs=1e-12)
    selected = read_predictions(folder / "window_0/predictions_selection_all.npz")
    tested = read_predictions(folder / "window_0/predictions_validate_all.npz")
    assert not set(selected.fused_ids) & set(tested.fused_ids)
    return {"tables": tables, "weights": weights, "steps": steps}


def windows_done(folder: Path) -> int:
    return len(list(folder.glob("window_*/done")))


def test_a_benchmark_killed_anywhere_ends_in_the_same_table(commands: Commands) -> None:
    commands.run("whole", [*WORDS, "experiment_id=whole"])
    wanted, order = results(commands, "whole"), commands.batches("whole")
    images = [2 * 2 * (window + 1) for window in range(WINDOWS)]
    per_window = [count * 2 // 2 for count in images]  # batches of two, two copies of each image
    assert len(order) == sum(per_window)
    # two batches a step; the axis goes on from window to window
    assert wanted["steps"] == [
        {"before": sum(per_window[:w]) // 2, "steps": per_window[w] // 2} for w in range(WINDOWS)
    ]
    for window, noted in enumerate(wanted["steps"]):
        logged = commands.folder / f"experiments_logs/whole/window_{window}/version_0/metrics.csv"
        with logged.open() as file:
            last = max(int(row["step"]) for row in csv.DictReader(file))
        assert last == noted["before"] + noted["steps"] - 1
    assert len(wanted["tables"]["stages"]) == WINDOWS
    first, second = wanted["weights"][:2]
    assert any(not torch.equal(first[key], second[key]) for key in first)

    rng = random.Random(time.time_ns())
    # the first inside the second window, the others anywhere
    folder = commands.folder / "experiments_data/killed"
    words = [*WORDS, "experiment_id=killed", "callbacks.checkpoints.minutes=0"]
    kills = 0
    while kills < KILLS:
        target = per_window[0] + 3 if not kills else len(commands.batches("killed")) + rng.randint(1, per_window[1])
        commands.start("killed", words, hold=None if kills else target)
        while len(commands.batches("killed")) < target and not commands.ended():
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.3) if kills else 0)
        if commands.kill() == 0:
            break
        kills += 1
        if kills == 1:
            assert windows_done(folder) == 1
            assert not (folder / "window_1/done").exists()
    commands.run("killed", words)
    found = results(commands, "killed")
    assert found["tables"] == wanted["tables"]
    assert found["steps"] == wanted["steps"]
    for ours, theirs in zip(found["weights"], wanted["weights"], strict=True):
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    seen = {(epoch, batch, tuple(ids)) for epoch, batch, ids in commands.batches("killed")}
    assert seen == {(epoch, batch, tuple(ids)) for epoch, batch, ids in order}

    changed = commands.start("changed", [*WORDS, "experiment_id=killed", "benchmark.holdout=0.1"])
    assert changed
    assert commands.wait() == 2
    assert "benchmark.holdout: 0.0 → 0.1" in (commands.folder / "changed.out").read_text()
    (folder / "window_2/done").unlink()
    commands.start("early", [*WORDS, "experiment_id=killed", "task=test"])
    assert commands.wait() == 1
    assert "window_2 is not completely trained" in (commands.folder / "early.out").read_text()
