"""``task=leaderboard`` by the real command line, and the cost that ``task=test`` and ``predict`` record."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from lightning_main import main

FOLDER = "experiments_data/e/window_0"


def test_two_experiments_share_a_table_with_their_costs(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cost = json.loads((trained / FOLDER / "cost.json").read_text())
    assert cost["images"] == 18
    assert cost["seconds"] > 0
    assert cost["cpu_seconds"] > 0
    assert cost["weights_mb"] * 1e6 >= 4 * cost["parameters"] > 0
    shutil.copytree("experiments_data/e", "experiments_data/f")
    capsys.readouterr()
    assert main(["task=leaderboard", "leaderboard.out=board"]) == 0
    printed = capsys.readouterr().out
    assert "Plain on Hdf5DataModule drawn.h5, 18 images" in printed
    assert "e and f have the same mean rank" in printed
    with (trained / "board/leaderboard.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if (row["figure"], row["of"]) == ("auroc", "")]
    pooled = next(
        r["value"]
        for r in json.loads((trained / FOLDER / "metrics.json").read_text())["test"]
        if (r["kind"], r["metric"]) == ("pooled", "auroc")
    )
    assert [(row["detector"], float(row["value"])) for row in rows] == [("e", pooled), ("f", pooled)]
    assert "config.yaml" in (trained / "board/index.html").read_text()
    assert main(["task=leaderboard", "leaderboard.inputs=[nowhere]"]) == 1


def test_predict_records_its_cost(trained: Path) -> None:
    words = ["datamodule=hdf5", "datamodule.path=drawn.h5", "trainer=cpu", "trainer.enable_progress_bar=false"]
    assert main(["task=predict", f"ckpt={FOLDER}/checkpoints/best.ckpt", *words, "predict.out=p"]) == 0
    assert json.loads((trained / "p/cost.json").read_text())["images"] == 66


def test_nothing_to_show_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["task=leaderboard"]) == 2
    assert "contains no tested experiment" in capsys.readouterr().err
