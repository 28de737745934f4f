"""Dumps lie where those who look for them expect them."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from their_evaluation import evaluate

from benchmarks.ai_genbench.benchmark import AiGenBench
from benchmarks.ai_genbench.protocol.generators import names_by_id, sliding_windows
from benchmarks.ai_genbench.report import reported
from benchmarks.plain import Plain
from benchmarks.predictions import Predictions, from_crops, read_predictions, write_predictions
from tasks.experiment.dumps import write_dump
from tasks.experiment.stage_folder import StageFolder


def scored(window: int, task: str = "test", upto: int = 9, crops: int = 1) -> Predictions:
    """Random scores of images by the generators of the first windows and of as many real ones."""
    rng = np.random.default_rng([window, crops])
    windows = sliding_windows()
    ids = np.repeat([generator.id for row in windows[:upto] for generator in row], 4)
    logits = np.concatenate([rng.normal(1, 1, len(ids)), rng.normal(0, 1, len(ids))])
    test = task == "test"
    return from_crops(
        np.repeat(logits, crops) + rng.normal(0, 0.3 * (crops > 1), len(logits) * crops),
        np.repeat(np.arange(len(logits)), crops),
        np.repeat([1, 0], len(ids)),
        np.concatenate([ids, np.zeros_like(ids)]),
        [f"{task} {number}" for number in range(len(logits))],
        generator_id_to_name=names_by_id(),
        pairing=np.concatenate([np.full_like(ids, -1), rng.permutation(ids)]) if test else None,
        windows_timeline=[[generator.name for generator in row] for row in windows] if test else (),
        provenance={"stage": task, "experiment": "run"} | ({"benchmark": {"window": window}} if test else {}),
    )


@pytest.mark.parametrize(("needed", "crops"), [(False, 1), (True, 1), (True, 5)])
def test_their_script_reads_an_experiment_of_ours_and_finds_our_figures(
    tmp_path: Path, needed: bool, crops: int
) -> None:
    for window in range(9):
        folder = StageFolder(tmp_path / "run", window)
        write_dump(folder, AiGenBench(seed=0), "validate", scored(window, "validate"))
        dump = scored(window, upto=min(window + 2, 9) if needed else 9, crops=crops)
        assert write_dump(folder, AiGenBench(seed=0), "test", dump) == folder.predictions("test")
    theirs = evaluate(tmp_path / "run")
    reported([StageFolder(tmp_path / "run", window).predictions("test") for window in range(9)], tmp_path / "out")
    ours = json.loads((tmp_path / "out/ai_genbench.json").read_text())["run"]["stages"]
    for window in range(9):
        periods = ours[window]["periods"]
        assert theirs[window]["growing_whole"] == pytest.approx(periods["whole"]["roc_auc"], abs=1e-12)
        assert theirs[window]["growing"] == pytest.approx(periods["past"]["roc_auc"], abs=1e-12)
        if window < 8:
            assert theirs[window]["immediate_future"] == pytest.approx(periods["next"]["roc_auc"], abs=1e-12)


def test_selection_stays_apart_from_test(tmp_path: Path) -> None:
    folder = StageFolder(tmp_path, 0)
    write_dump(folder, AiGenBench(seed=0), "validate", scored(0, "validate"))
    assert not folder.predictions("validate").exists()
    write_dump(folder, AiGenBench(seed=0), "test", scored(0))
    selection = read_predictions(folder.predictions("selection"))
    assert selection.about["stage"] == "validate"
    assert not set(selection.fused_ids) & set(read_predictions(folder.predictions("validate")).fused_ids)


def test_an_older_dump_of_selection_images_is_kept(tmp_path: Path) -> None:
    folder = StageFolder(tmp_path, 0)
    write_predictions(folder.predictions("validate"), scored(0, "validate"))
    for again in range(2):
        write_dump(folder, AiGenBench(seed=0), "test", scored(again))
        assert read_predictions(folder.predictions("selection")).about["stage"] == "validate"
        assert folder.predictions("validate").read_bytes() == folder.predictions("test").read_bytes()


def test_an_older_dump_does_not_replace_a_newer_selection(tmp_path: Path) -> None:
    folder = StageFolder(tmp_path, 0)
    write_predictions(folder.predictions("validate"), scored(0, "validate"))
    write_dump(folder, AiGenBench(seed=0), "validate", scored(1, "validate"))
    newer = folder.predictions("selection").read_bytes()
    write_dump(folder, AiGenBench(seed=0), "test", scored(0))
    assert folder.predictions("selection").read_bytes() == newer


def test_a_half_written_file_of_that_name_is_replaced(tmp_path: Path) -> None:
    folder = StageFolder(tmp_path, 0)
    folder.path.mkdir()
    folder.predictions("validate").write_bytes(b"PK half")
    write_dump(folder, AiGenBench(seed=0), "test", scored(0))
    assert read_predictions(folder.predictions("validate")).about["stage"] == "test"
    assert sorted(file.name for file in folder.path.iterdir()) == [
        "predictions_test_all.npz",
        "predictions_validate_all.npz",
    ]


def test_without_links_it_is_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: Any) -> None:
        raise OSError("Operation not supported")

    monkeypatch.setattr(os, "link", link)
    folder = StageFolder(tmp_path, 0)
    write_dump(folder, AiGenBench(seed=0), "test", scored(0))
    assert folder.predictions("validate").read_bytes() == folder.predictions("test").read_bytes()


@pytest.mark.parametrize("benchmark", [Plain(seed=0), object()])
def test_other_benchmarks_keep_the_names_of_their_tasks(tmp_path: Path, benchmark: object) -> None:
    folder = StageFolder(tmp_path, 0)
    for task in ("validate", "test"):
        write_dump(folder, benchmark, task, scored(0, task))
        assert read_predictions(folder.predictions(task)).about["stage"] == task
    assert len(list(folder.path.iterdir())) == 2
