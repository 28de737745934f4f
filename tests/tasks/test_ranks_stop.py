"""Ranks that are told to stop, or die, at any moment: nobody waits for ever, and nothing is lost."""

import json
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import synthetic
import torch
from ranks import Ranks

BATCHES, EPOCHS = 8, 3
TRIALS = int(os.environ.get("PIXELPROOF_TERM_TRIALS", "5"))
WORDS = (
    "datamodule=hdf5 datamodule.path=drawn.h5 datamodule.batch_size=2 detector=classifier "
    "detector.backbone=timm/test_resnet detector.pretrained=false detector.image_size=32 detector.dropout=0.3 "
    f"trainer=cpu trainer.max_epochs={EPOCHS} trainer.enable_progress_bar=false logger=null"
).split()
TWO = [*WORDS, "trainer.devices=2", "trainer.strategy=ddp"]


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ranks]:
    folder = tmp_path_factory.mktemp("ranks")
    synthetic.hdf5(folder / "drawn.h5", {"train": 2 * 2 * BATCHES, "valid": 12, "test": 13})
    with Ranks(folder) as started:
        yield started


def weights(folder: Path) -> dict[str, bytes]:
    assert (folder / "window_0/done").exists()
    last = torch.load(folder / "window_0/checkpoints/last.ckpt", weights_only=True)
    return {name: tensor.numpy().tobytes() for name, tensor in last["state_dict"].items()}


def order(file: Path) -> list[Any]:
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return sorted({(epoch, batch): ids for epoch, batch, ids in lines}.items())


@pytest.fixture(scope="module")
def undisturbed(ranks: Ranks) -> None:
    """Trains with two ranks."""
    ranks.start("whole", [*TWO, "experiment_id=whole"], 2)
    assert ranks.wait() == [0, 0], ranks.printed("whole", 0)


def moment(draw: random.Random, ranks: Ranks, noted: Path) -> None:
    """Waits for some time while the ranks start, or for some steps and a little more."""
    if draw.random() < 0.3:
        time.sleep(0.3 + draw.random() * 3)
        return
    wanted = lines(noted) + draw.randrange(5)
    while lines(noted) < wanted and not ranks.ended():
        time.sleep(0.01)
    time.sleep(draw.random() * 0.3)


def lines(file: Path) -> int:
    return len(file.read_text().splitlines()) if file.is_file() else 0


@pytest.mark.usefixtures("undisturbed")
def test_term_to_any_rank_at_any_time_stops_all_and_loses_nothing(ranks: Ranks) -> None:
    draw, stops, name = random.Random(7), 0, "stopped0"
    for trial in range(10 * TRIALS):  # if all ended before the signal came, it did not come at any time
        if trial >= TRIALS and stops:
            break
        victims = draw.choice([[0], [1], [0, 1], [1, 0]])
        pids = ranks.start(name, [*TWO, f"experiment_id={name}"], 2)
        moment(draw, ranks, ranks.folder / f"{name}.0")
        for victim in victims:
            with suppress(ProcessLookupError):
                os.kill(pids[victim], signal.SIGTERM)
            time.sleep(draw.choice([0, 0.03, 0.2]))
        codes = ranks.wait()
        assert codes in ([143, 0], [0, 0]), (trial, victims, codes, ranks.printed(name, 0)[-2000:])
        stops += codes == [143, 0]
        if (ranks.folder / f"experiments_data/{name}/window_0/done").exists():
            as_if_nothing_had_happened(ranks, name)
            name = f"stopped{trial + 1}"
    assert stops
    ranks.start(name, [*TWO, f"experiment_id={name}"], 2)
    assert ranks.wait() == [0, 0]
    as_if_nothing_had_happened(ranks, name)


def as_if_nothing_had_happened(ranks: Ranks, name: str) -> None:
    assert weights(ranks.folder / f"experiments_data/{name}") == weights(ranks.folder / "experiments_data/whole")
    for rank in range(2):
        assert order(ranks.folder / f"{name}.{rank}") == order(ranks.folder / f"whole.{rank}")


@pytest.mark.parametrize("victim", [0, 1])
def test_a_dead_rank_ends_the_job_within_a_minute(victim: int, ranks: Ranks) -> None:
    name = f"dead{victim}"
    pids = ranks.start(name, [*TWO, "trainer.max_epochs=1000000", f"experiment_id={name}"], 2)
    while not lines(ranks.folder / f"{name}.0"):
        assert not ranks.ended(), ranks.printed(name, 0)
        time.sleep(0.05)
    os.kill(pids[victim], signal.SIGKILL)
    codes = ranks.wait(60)  # it takes a second; the one left would wait half an hour in its collective
    assert codes[victim] == -signal.SIGKILL
    assert codes[1 - victim] > 0
    assert "lost the connection to another rank" in ranks.printed(name, 1 - victim)


@pytest.mark.usefixtures("undisturbed")
def test_predictions_are_equal_for_one_two_and_three_ranks(ranks: Ranks) -> None:
    best = "experiments_data/whole/window_0/checkpoints/best.ckpt"
    tables = []
    for count in (1, 2, 3):
        strategy = [f"trainer.devices={count}", "trainer.strategy=ddp"] if count > 1 else []
        words = ["task=test", *WORDS, *strategy, f"ckpt={best}", f"experiment_id=by{count}"]
        ranks.start(f"by{count}", words, count)
        assert ranks.wait() == [0] * count, ranks.printed(f"by{count}", 0)
        folder = ranks.folder / f"experiments_data/by{count}/window_0"
        with np.load(folder / "predictions_test_all.npz", allow_pickle=False) as dump:
            tables.append({name: dump[name] for name in dump.files if name != "provenance"})
    assert len(tables[0]["ids" if "ids" in tables[0] else next(iter(tables[0]))]) >= 13
    for other in tables[1:]:
        assert other.keys() == tables[0].keys()
        for name, values in tables[0].items():
            if values.dtype.kind == "f":
                np.testing.assert_allclose(other[name], values, atol=1e-5)
            else:
                assert np.array_equal(other[name], values)
