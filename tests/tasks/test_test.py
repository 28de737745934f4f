"""Testing and validating: the chosen weights, the threshold of validation, every image once."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.predictions import read_predictions
from lightning_main import main
from tasks.experiment.stage_folder import file_hash


def stage(folder: Path, experiment: str = "e") -> Path:
    return folder / "experiments_data" / experiment / "window_0"


def arrays(file: Path) -> dict[str, Any]:
    with np.load(file, allow_pickle=False) as dump:
        return {name: dump[name] for name in dump.files if name != "provenance"}


def test_every_test_image_is_scored_and_the_dump_says_by_what(trained: Path) -> None:
    found = read_predictions(stage(trained) / "predictions_test_all.npz")
    assert found.fused_ids.tolist() == [f"test-{k}" for k in range(18)]
    assert found.fused_labels.tolist() == [k % 2 for k in range(18)]
    about = found.about
    assert about["experiment"] == "e"
    assert about["stage"] == "test"
    assert about["checkpoint_sha256"] == file_hash(stage(trained) / "checkpoints/best.ckpt")
    assert about["detector"]["backbone"] == "timm/test_resnet"
    assert about["seen_generators"] == ["repeat-a", "repeat-b"]
    assert {"torch", "pixelproof"} <= about["versions"].keys()


def test_the_threshold_comes_from_validation(trained: Path) -> None:
    found = read_predictions(stage(trained) / "predictions_test_all.npz")
    stored = json.loads((stage(trained) / "metrics.json").read_text())
    limit = stored["threshold"]["value"]
    assert found.about["threshold"] == limit
    numbers = {(r["kind"], r["metric"], r["at"]): r["value"] for r in stored["test"]}
    for at, value in (("0.5", 0.5), ("validation", limit)):
        right = (found.fused_scores > value) == (found.fused_labels == 1)
        assert numbers["pooled", "accuracy", at] == pytest.approx(right.mean())
    assert stored["validate"], "the metrics of validation stay beside"
    with (stage(trained) / "metrics_test.csv").open() as file:
        (line,) = [
            r for r in csv.DictReader(file) if (r["kind"], r["metric"], r["at"]) == ("pooled", "accuracy", "validation")
        ]
    assert float(line["threshold"]) == pytest.approx(limit)
    assert float(line["value"]) == pytest.approx(numbers["pooled", "accuracy", "validation"])


def test_validating_again_says_the_same(trained: Path, words: list[str]) -> None:
    file = stage(trained) / "predictions_validate_all.npz"
    before = arrays(file)
    file.unlink()
    assert main([*words, "task=validate"]) == 0
    after = arrays(file)
    assert before.keys() == after.keys()
    for name, array in before.items():
        np.testing.assert_array_equal(array, after[name], err_msg=name)


def test_a_checkpoint_alone_gives_the_same_scores(trained: Path) -> None:
    given = "task=test datamodule=hdf5 datamodule.path=drawn.h5 trainer=cpu experiment_id=alone datamodule.batch_size=4"
    ckpt = stage(trained) / "checkpoints/best.ckpt"
    assert main([*given.split(), f"ckpt={ckpt}", "trainer.enable_progress_bar=false"]) == 0
    one, other = (arrays(stage(trained, name) / "predictions_test_all.npz") for name in ("e", "alone"))
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)


def test_untrained_experiments_are_refused(trained: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "task=test", "experiment_id=nobody"]) == 1
    assert "contains no trained stage" in capsys.readouterr().err
    (stage(trained) / "done").unlink()
    assert main([*words, "task=test"]) == 1
    assert "not completely trained" in capsys.readouterr().err


def test_the_table_is_shown_and_kept(trained: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "task=test"]) == 0
    shown = capsys.readouterr().out
    for part in ("all images", "repeat-a", "repeat-b", "AUROC", "predictions_test_all.npz"):
        assert part in shown
    text = (stage(trained) / "metrics_test.md").read_text()
    assert text.startswith("| generator | n | AUROC | AP | Acc @ 0.5 | Acc @ val. |")
