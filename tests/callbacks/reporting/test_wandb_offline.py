"""What an offline run holds, read back from its file, and what ``wandb sync`` makes of it, up to the server."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import synthetic
import wandb
from synthetic_ai_genbench import miniature
from wandb.proto import wandb_internal_pb2

from benchmarks.ai_genbench.protocol.generators import load_generators
from benchmarks.predictions import read_predictions
from lightning_main import main
from tasks.candidates import mirror

DATA = "datamodule=hdf5 datamodule.path=drawn.h5 datamodule.batch_size=4 experiment_id=e logger=[csv,wandb]"
DETECTOR = "detector=classifier detector.pretrained=false detector.backbone=timm/test_resnet detector.image_size=32"
TRAINER = "trainer=cpu trainer.max_epochs=1 trainer.enable_progress_bar=false trainer.log_every_n_steps=1"
WORDS = f"{DATA} {DETECTOR} {TRAINER}".split()
MINIATURE = (
    "datamodule=ai_genbench datamodule.path=mini datamodule.batch_size=2 benchmark=ai_genbench benchmark.window_size=1 "
    "benchmark.crop_size=32 benchmark.global_batch=null benchmark.augmentation_factor=1 benchmark.monitor_images=8"
)
FURTHER = ["logger.wandb.tags=[search,b]", "logger.wandb.publish=true"]
HEADER, BLOCK = 7, 32768
"""Of a run's file: LevelDB's log format behind a header of W&B's."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB__SERVICE_WAIT", "300")  # seconds that its own process may take to start
    monkeypatch.chdir(tmp_path)
    synthetic.hdf5(tmp_path / "drawn.h5", {"train": 8, "valid": 6, "test": 5})
    yield tmp_path
    wandb.teardown()


def runs(folder: Path) -> list[list[Any]]:
    """Records of every offline run, in the order in which they were begun; all of them are ended."""
    files = sorted(folder.glob("experiments_logs/wandb/offline-run-*/run-*.wandb"))
    limit = time.monotonic() + 300
    while True:  # W&B's own process brings the last of them to the file a little after the run was finished
        found = [records_in(file) for file in files]
        if all(of(records, "exit") for records in found):
            return found
        assert time.monotonic() < limit, files
        time.sleep(0.05)


def records_in(file: Path) -> list[Any]:
    """Those that are there so far."""
    records = []
    for data in parts(file.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        records.append(record)
    return records


def parts(data: bytes) -> Iterator[bytes]:
    """Records of LevelDB's log format: (checksum 4, length 2, kind 1, content) in blocks that none crosses."""
    assert data[:4] in (b":W&B", b"")
    place, joined = HEADER, b""
    while place + 7 <= len(data):
        if (left := BLOCK - place % BLOCK) < 7:
            place += left
            continue
        length, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
        if place + 7 + length > len(data):
            return  # still being written
        joined += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last piece
            yield joined
            joined = b""


def of(records: list[Any], kind: str) -> list[Any]:
    return [getattr(record, kind) for record in records if record.WhichOneof("record_type") == kind]


def summary(records: list[Any]) -> dict[str, Any]:
    found = {}
    for entry in of(records, "summary"):
        for item in entry.update:
            found["/".join(item.nested_key) if item.nested_key else item.key] = json.loads(item.value_json)
    return found


def config(records: list[Any]) -> dict[str, Any]:
    found = {}
    for entry in [*(run.config for run in of(records, "run")), *of(records, "config")]:
        found |= {item.key: json.loads(item.value_json) for item in entry.update if item.key}
    return found


def test_a_stage_is_one_run_that_logs_everything_and_continues_under_its_id(folder: Path) -> None:
    assert main([*WORDS, *FURTHER]) == 0
    (records,) = runs(folder)
    (run,) = of(records, "run")[:1]
    assert (run.run_id, run.run_group, run.job_type, run.project) == ("e-window_0", "e", "train", "pixelproof")
    assert list(run.tags) == ["search", "b"]
    assert run.display_name == "e/window_0"

    told = config(records)
    assert told["detector"]["backbone"] == "timm/test_resnet"  # nested, as it can be filtered by
    assert told["command"] == [*WORDS, *FURTHER]
    logged = {"/".join(item.nested_key) or item.key for entry in of(records, "history") for item in entry.item}
    assert {"train/loss", "val/auroc", "val/loss", "epoch", "trainer/global_step"} <= logged

    dump = read_predictions(folder / "experiments_data/e/window_0/predictions_validate_all.npz")
    noted = summary(records)
    assert noted["checkpoint/sha256"] == dump.about["checkpoint_sha256"]
    assert noted["checkpoint/path"].endswith("checkpoints/best.ckpt")
    (artifact,) = of(records, "artifact")
    assert (artifact.name, artifact.type, set(artifact.aliases)) == ("e-window_0-best", "model", {"best", "latest"})
    (entry,) = artifact.manifest.contents
    assert entry.path == "best.ckpt"

    # the test of the kept one is added to the same run, in a further folder
    assert main([*WORDS, "task=test"]) == 0
    mirror("e")
    _, again = runs(folder)
    (run,) = of(again, "run")[:1]
    assert (run.run_id, run.run_group) == ("e-window_0", "e")
    results = json.loads((folder / "experiments_data/e/window_0/metrics.json").read_text())["test"]
    auroc = next(one["value"] for one in results if one["metric"] == "auroc" and one["kind"] == "pooled")
    assert summary(again)["test/auroc"] == pytest.approx(auroc)

    # wandb sync finds both, and stops before the server
    words = ["sync", "--dry-run", *map(str, sorted(folder.glob("experiments_logs/wandb/offline-run-*")))]
    done = subprocess.run([sys.executable, "-m", "wandb", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told_by_sync = done.stdout + done.stderr
    assert "Would sync 2 run(s)" in told_by_sync
    assert told_by_sync.count("/run-e-window_0.wandb") == 2


def test_every_window_is_a_run_of_its_own(folder: Path) -> None:
    names = [generator.name for generator in load_generators()[:2]]
    miniature(folder / "mini", train=2, validation=2, size=32, names=names)
    words = [*WORDS, *MINIATURE.split(), f"benchmark.generators=[{','.join(names)}]"]
    assert main(words) == 0
    found = runs(folder)
    assert [of(records, "run")[0].run_id for records in found] == ["e-window_0", "e-window_1"]
    for records in found:
        (run,) = of(records, "run")[:1]
        assert run.run_group == "e"
        assert list(run.tags) == []
        assert len(summary(records)["checkpoint/sha256"]) == 64
        assert not of(records, "artifact")  # without publish
        assert of(records, "exit")
