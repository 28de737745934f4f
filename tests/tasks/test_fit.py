"""What training leaves behind, and what it refuses."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import synthetic
import torch
import yaml

from benchmarks.plain import Plain
from benchmarks.predictions import read_predictions
from benchmarks.thresholds.rules import choose_threshold
from contracts.errors import DataError
from contracts.stage import Stage
from datamodules.loading.hdf5_manifest import read_manifest
from lightning_main import main
from tasks.fit import refuse_test_rows


def checkpoint(folder: Path, name: str = "best.ckpt", experiment: str = "e") -> dict[str, Any]:
    file = folder / f"experiments_data/{experiment}/window_0/checkpoints/{name}"
    return dict(torch.load(file, weights_only=True))


def logged(folder: Path) -> list[dict[str, str]]:
    """Rows of the CSV log."""
    (file,) = (folder / "experiments_logs/e/window_0").glob("version_*/metrics.csv")
    with file.open() as opened:
        return list(csv.DictReader(opened))


def test_the_folder_holds_what_the_docs_say(trained: Path) -> None:
    experiment, stage = trained / "experiments_data/e", trained / "experiments_data/e/window_0"
    assert (experiment / "config.lock.yaml").is_file()
    names = (
        "done",
        "config.yaml",
        "metrics.json",
        "metrics_validate.csv",
        "metrics_validate.md",
        "checkpoints/last.ckpt",
    )
    assert [name for name in names if not (stage / name).exists()] == []
    config = yaml.safe_load((stage / "config.yaml").read_text())
    assert config["datamodule"]["path"] == "drawn.h5"
    assert config == yaml.safe_load((experiment / "config.lock.yaml").read_text())["config"]
    assert not (experiment / "failures.csv").exists()


def test_csv_logs_are_always_there(trained: Path) -> None:
    assert list((trained / "experiments_logs/e/window_0").glob("version_*/events.out.tfevents.*"))
    assert len([row for row in logged(trained) if row["val/auroc"]]) == 3


def test_the_threshold_is_the_one_of_the_chosen_weights_on_validation(trained: Path) -> None:
    stage = trained / "experiments_data/e/window_0"
    predictions = read_predictions(stage / "predictions_validate_all.npz")
    assert predictions.fused_ids.tolist() == [f"valid-{k}" for k in range(16)]
    wanted = choose_threshold(predictions.fused_scores, predictions.fused_labels)
    passport = checkpoint(trained)["pixelproof"]
    assert passport["threshold"]["value"] == wanted.value
    assert passport["seen_generators"] == ["repeat-a", "repeat-b"]
    assert json.loads((stage / "metrics.json").read_text())["threshold"]["value"] == wanted.value
    assert predictions.about["threshold"] == wanted.value


def test_the_best_checkpoint_is_the_best_epoch(trained: Path) -> None:
    values = {int(row["epoch"]): float(row["val/auroc"]) for row in logged(trained) if row["val/auroc"]}
    assert checkpoint(trained)["epoch"] == min(epoch for epoch in values if values[epoch] == max(values.values()))


def test_a_finished_stage_is_left_alone(trained: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    file = trained / "experiments_data/e/window_0/checkpoints/best.ckpt"
    before = file.stat().st_mtime_ns
    assert main([*words, "datamodule.num_workers=1"]) == 0
    assert "window_0 is complete" in capsys.readouterr().out
    assert file.stat().st_mtime_ns == before


def test_ckpt_is_where_training_starts(trained: Path, words: list[str]) -> None:
    start = "ckpt=experiments_data/e/window_0/checkpoints/best.ckpt"
    changed = [
        "experiment_id=f",
        start,
        "detector.optimizer.lr=0",
        "detector.optimizer.weight_decay=0",
        "trainer.max_epochs=1",
    ]
    assert main([*words, *changed]) == 0
    before, after = checkpoint(trained)["state_dict"], checkpoint(trained, experiment="f")["state_dict"]
    assert before.keys() == after.keys()
    for name, value in before.items():
        if "running" not in name and "num_batches" not in name:
            assert torch.equal(value, after[name]), name


def test_selection_never_sees_a_test_image(
    trained: Path, words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = read_manifest(trained / "drawn.h5")
    train, valid, test = (manifest.rows(split) for split in ("train", "valid", "test"))
    refuse_test_rows(Stage(0, "fine", train, valid), manifest)
    with pytest.raises(DataError, match="would train on 1 test image, the first is 'test-0'"):
        refuse_test_rows(Stage(0, "leaky", np.append(train, test[0]), valid), manifest)
    monkeypatch.setattr(Plain, "stages", lambda *_: [Stage(0, "leaky", train, test)])
    assert main([*words, "experiment_id=leaky"]) == 1
    assert "would validate on 18 test images" in capsys.readouterr().err
    assert not (trained / "experiments_data/leaky/window_0").exists()


@pytest.fixture
def damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A set with one unreadable training image and one unreadable validation image."""
    monkeypatch.chdir(tmp_path)
    file = synthetic.parquet(tmp_path / "set", {"train": 20, "valid": 8, "test": 4})
    rows = pq.read_table(file).to_pylist()
    for row in rows:
        if row["id"] in ("train/3", "valid/2"):
            row["image"]["bytes"] = row["image"]["bytes"][:60]
    pq.write_table(pa.Table.from_pylist(rows), file)
    return tmp_path


COLUMNS = "datamodule.columns={id:id,image:image,label:label,generator:generator,split:split,group:photo}"


def test_unreadable_training_images_end_training_unless_a_share_is_allowed(
    damaged: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    given = [*words, "datamodule=parquet", "datamodule.path=set", COLUMNS, "trainer.max_epochs=2"]
    assert main([*given, "experiment_id=strict"]) == 1
    assert "'train/3'" in capsys.readouterr().err
    assert main([*given, "experiment_id=lenient", "datamodule.max_failures=0.1"]) == 0
    listed = (damaged / "experiments_data/lenient/failures.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in listed] == ["id", "train/3", "valid/2"]
    scored = read_predictions(damaged / "experiments_data/lenient/window_0/predictions_validate_all.npz")
    assert scored.fused_ids.tolist() == [f"valid/{k}" for k in (0, 1, 3, 4, 5, 6, 7)]


def test_a_refused_start_leaves_no_lock_and_the_corrected_command_continues(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    synthetic.hdf5(tmp_path / "drawn.h5", {"train": 8, "valid": 6, "test": 5})
    lock = tmp_path / "experiments_data/e/config.lock.yaml"
    for wrong in (
        "trainer.val_check_interval=20",
        "trainer.limit_train_batches=0.01",
        "callbacks.checkpoints.monitor=x",
    ):
        assert main([*words, wrong]) == 2
        assert wrong.split("=")[0] in capsys.readouterr().err
        assert not lock.exists()
    assert main([*words, "trainer.max_steps=1"]) == 0
    assert (tmp_path / "experiments_data/e/window_0/done").exists()
    assert main([*words, "trainer.val_check_interval=20"]) == 2
    assert "was started with another configuration" in capsys.readouterr().err


def test_time_that_is_up_before_any_validation_still_chooses_weights(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The timer ends training behind its first batch, in an epoch in which no validation is due."""
    from pytorch_lightning.callbacks import Timer

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Timer, "time_elapsed", lambda self, stage="train": 0 if self.start_time(stage) is None else 1e9)
    synthetic.hdf5(tmp_path / "drawn.h5", {"train": 8, "valid": 6, "test": 5})
    assert main([*words, "trainer.max_time=00:01:00:00", "trainer.check_val_every_n_epoch=2"]) == 0
    stage = tmp_path / "experiments_data/e/window_0"
    assert json.loads((stage / "checkpoints/best.json").read_text())["step"] == 1
    assert (stage / "done").exists()
    assert torch.load(stage / "checkpoints/best.ckpt", weights_only=True)["pixelproof"]["threshold"] is not None
