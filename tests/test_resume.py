"""Killed at any moment and started again, training sees the same images in the same order and ends the same."""

import itertools
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import synthetic
import torch
from forked import Commands

EPOCHS, BATCHES = 3, 6
WORDS = (
    "datamodule=hdf5 datamodule.path=drawn.h5 datamodule.batch_size=4 "
    "detector=classifier detector.backbone=timm/test_resnet detector.pretrained=false detector.image_size=32 "
    "detector.dropout=0.3 detector.scheduler={_target_:detectors.parts.training.schedules.OneCycle,_partial_:true} "
    "detector.scheduler_steps=total_steps "
    "detector.augment={_target_:detectors.classifier.device_augment.DeviceAugment,max_rotation:9,flip_p:0.5} "
    f"trainer=cpu trainer.max_epochs={EPOCHS} trainer.enable_progress_bar=false"
).split()
KILLS = 10


@pytest.fixture(scope="module")
def commands(zygote: Commands, tmp_path_factory: pytest.TempPathFactory) -> Commands:
    folder = tmp_path_factory.mktemp("resume")
    synthetic.hdf5(folder / "drawn.h5", {"train": 4 * BATCHES + 2, "valid": 12})
    zygote.folder = folder
    return zygote


def ended(folder: Path) -> dict[str, Any]:
    """All that training leaves behind and tests or further training go on from."""
    stage = folder / "window_0"
    assert (stage / "done").exists()
    last = torch.load(stage / "checkpoints/last.ckpt", weights_only=True)
    best = torch.load(stage / "checkpoints/best.ckpt", weights_only=True)
    with np.load(stage / "predictions_validate_all.npz", allow_pickle=False) as dump:
        scores = {name: dump[name] for name in dump.files if name != "provenance"}
    kept = ("epoch", "global_step", "state_dict", "optimizer_states", "lr_schedulers")
    return {
        "last": {name: last[name] for name in kept},
        "best": {name: best[name] for name in ("global_step", "state_dict", "pixelproof")},
        "scores": scores,
        "metrics": (stage / "metrics.json").read_text(),
    }


def same(one: Any, other: Any) -> bool:
    """Equal to the last bit, tensors and arrays included."""
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.tobytes() == other.tobytes()
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def wait_for_moment(commands: Commands, name: str, rng: random.Random) -> None:
    """Until some batch has begun, and a little longer."""
    batch = len(commands.batches(name)) + rng.randint(1, EPOCHS * BATCHES)
    while len(commands.batches(name)) < batch:
        time.sleep(0.002)
        if commands.ended():
            return
    time.sleep(rng.uniform(0, 0.1))


def test_training_killed_at_any_moment_ends_the_same(commands: Commands) -> None:
    began = time.monotonic()
    commands.run("whole", [*WORDS, "experiment_id=whole"])
    whole, seconds = commands.batches("whole"), time.monotonic() - began
    wanted = ended(commands.folder / "experiments_data/whole")
    assert [(epoch, batch) for epoch, batch, _ in whole] == [(e, b) for e in range(EPOCHS) for b in range(BATCHES)]
    by_place = {(epoch, batch): ids for epoch, batch, ids in whole}
    assert len(set(map(tuple, by_place.values()))) == EPOCHS * BATCHES  # so that a wrong order would be seen

    rng, kills, within = random.Random(time.time_ns()), 0, 0
    for trial in itertools.count():
        if kills >= KILLS:
            break
        name = f"killed{trial}"
        # some saved behind every batch, so that kills meet half-written checkpoints, some behind epochs alone
        words = [*WORDS, f"experiment_id={name}", f"callbacks.checkpoints.minutes={rng.choice([0, 10])}"]
        for _ in range(rng.choice([1, 2, 3])):
            commands.start(name, [*words, f"datamodule.num_workers={rng.choice([0, 0, 0, 1])}"])
            if kills % 5 == 4:  # any time at all
                time.sleep(rng.uniform(0, seconds))
            else:
                wait_for_moment(commands, name, rng)
            if commands.kill() == 0:
                break
            kills += 1
            within += bool(len(commands.batches(name)) > 0)
        commands.run(name, words)
        seen = commands.batches(name)
        assert all(by_place[epoch, batch] == ids for epoch, batch, ids in seen), name
        assert {(epoch, batch) for epoch, batch, _ in seen} == by_place.keys(), name
        found = ended(commands.folder / "experiments_data" / name)
        for part, value in wanted.items():
            assert same(value, found[part]), f"{name}: {part} differs"
    assert within >= KILLS // 2
