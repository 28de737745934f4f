"""Tables out of dumps: the original's and ours give the same; damaged sets of dumps are refused."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import lightning_main
from benchmarks.ai_genbench.metrics import Evaluated, headline, stage_metrics, windows_of
from benchmarks.ai_genbench.protocol.generators import names_by_id, sliding_windows
from benchmarks.ai_genbench.report import reported
from benchmarks.dumps.ai_genbench import THEIRS
from benchmarks.predictions import Predictions, from_crops, read_predictions, write_predictions
from contracts.errors import DataError

PER_GENERATOR = 3


def drawn(window: int, upto: int = 9, crops: int = 1, **about: object) -> Predictions:
    """Scores after training up to a window: the generators seen are told apart better."""
    rng = np.random.default_rng(window)
    windows = sliding_windows()
    ids = np.repeat([g.id for w in windows[:upto] for g in w], PER_GENERATOR)
    place = {g.id: number for number, w in enumerate(windows) for g in w}
    lift = np.array([2.0 if place[one] <= window else 0.7 for one in ids])
    labels = np.repeat([1, 0], len(ids))
    logits = np.concatenate([rng.normal(lift), rng.normal(0, 1, len(ids))])
    return from_crops(
        np.repeat(logits, crops) + rng.normal(0, 0.2 * (crops > 1), len(logits) * crops),
        np.repeat(np.arange(len(logits)), crops),
        labels,
        np.concatenate([ids, np.zeros_like(ids)]),
        [f"image {number}" for number in range(len(labels))],
        generator_id_to_name=names_by_id(),
        pairing=np.concatenate([np.full_like(ids, -1), rng.permutation(ids)]),
        windows_timeline=[[g.name for g in w] for w in windows],
        provenance=about,
    )


def write_ours(folder: Path, dumps: dict[int, Predictions]) -> list[Path]:
    paths = [folder / f"window_{window}" / "predictions_test_all.npz" for window in dumps]
    for path, dump in zip(paths, dumps.values(), strict=True):
        write_predictions(path, dump)
    return paths


def write_theirs(folder: Path, dumps: dict[int, Predictions]) -> list[Path]:
    """The original's arrays alone, crops counted within a batch."""
    paths = []
    for window, dump in dumps.items():
        path = folder / f"window_{window}" / "predictions_validate_all.npz"
        path.parent.mkdir(parents=True)
        arrays = {name: getattr(dump, name) for name in THEIRS | {"windows_timeline"}}
        arrays["crop_to_image_index"] = arrays["crop_to_image_index"] % 16
        np.savez(path, **arrays, identifier=dump.fused_identifiers)
        paths.append(path)
    return paths


@pytest.mark.parametrize("crops", [1, 5])
def test_the_originals_dumps_and_ours_give_the_same_table(tmp_path: Path, crops: int) -> None:
    dumps = {window: drawn(window, crops=crops) for window in range(9)}
    ours = reported(write_ours(tmp_path / "a" / "run", dumps), tmp_path / "ours")
    theirs = reported(write_theirs(tmp_path / "b" / "run", dumps), tmp_path / "theirs")
    assert ours == theirs
    assert (tmp_path / "ours/ai_genbench_auroc.png").read_bytes()[1:4] == b"PNG"
    stages = [stage_metrics(Evaluated.of(dump), k, windows_of(dump)) for k, dump in dumps.items()]
    means = headline(stages)
    assert f"**{100 * means.next:.2f}**" in ours
    assert f"{100 * means.past_without_last:.2f} / {100 * means.past:.2f}" in ours
    assert "94.24" in ours  # the leaderboard's rows stand beside
    stored = json.loads((tmp_path / "ours/ai_genbench.json").read_text())["run"]
    assert "next" not in stored["stages"][8]["periods"]
    assert stored["stages"][3]["recall_per_generator"].keys() == set(names_by_id()[1:])


def test_task_review_prints_it_for_foreign_dumps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.chdir(tmp_path)
    dumps = {window: drawn(window) for window in range(2)}
    paths = write_theirs(tmp_path / "run", dumps)
    expected = reported(paths, tmp_path / "direct")
    words = ["task=review", f"review.inputs=[{paths[0]},{paths[1]}]", f"review.out={tmp_path}/page"]
    assert lightning_main.main(words) == 0
    assert (tmp_path / "page/ai_genbench.md").read_text() == expected
    assert "Tested windows: 0, 1 of 9." in expected


@pytest.mark.golden
def test_golden_dumps_are_read_with_their_windows(tmp_path: Path, golden_path: Callable[[str], Path]) -> None:
    for kind in ("single_view", "multicrop"):
        source = golden_path(f"aigenbench_dump/predictions_validate_all__{kind}.npz")
        path = tmp_path / kind / "window_0" / "predictions_validate_all.npz"
        path.parent.mkdir(parents=True)
        path.write_bytes(source.read_bytes())
        text = reported([path], tmp_path / "out")
        dump = read_predictions(source)
        metrics = stage_metrics(Evaluated.of(dump), 0, windows_of(dump))
        assert f"{100 * metrics.periods['next'].roc_auc:.2f}" in text


def test_windows_not_scored_are_left_open(tmp_path: Path) -> None:
    dumps = {window: drawn(window, upto=min(window + 2, 9)) for window in range(9)}
    text = reported(write_ours(tmp_path / "run", dumps), tmp_path)
    stored = json.loads((tmp_path / "ai_genbench.json").read_text())["run"]
    assert stored["stages"][0]["auroc_per_window"][2:] == [None] * 7
    assert "all" not in stored["stages"][0]["periods"]
    assert "all" in stored["stages"][8]["periods"]
    assert "| window 0 |" in text


def test_sets_of_dumps_that_say_nothing_are_refused(tmp_path: Path) -> None:
    (path,) = write_ours(tmp_path / "run", {1: drawn(1)})
    (path.parent / "checkpoints").mkdir()
    with pytest.raises(DataError, match=r"unfinished window[\s\S]*Let task=fit finish"):
        reported([path], tmp_path)
    (path.parent / "done").touch()
    assert reported([path], tmp_path)
    with pytest.raises(DataError, match="second dump of window 1"):
        reported([path, path], tmp_path)
    nowhere = tmp_path / "some.npz"
    write_predictions(nowhere, drawn(1))
    with pytest.raises(DataError, match="does not say which window"):
        reported([nowhere], tmp_path)
    write_predictions(nowhere, drawn(1, benchmark={"window": 9}))
    with pytest.raises(DataError, match="belongs to window 9, but its windows_timeline ends at 8"):
        reported([nowhere], tmp_path)
    short = write_ours(tmp_path / "short", {3: drawn(3, upto=4)})
    with pytest.raises(DataError, match="dump of window 3 lacks images of window 4"):
        reported(short, tmp_path)
    first = drawn(0)
    other = replace(first, windows_timeline=first.windows_timeline[:, ::-1])
    mixed = write_ours(tmp_path / "mixed", {0: first, 1: other})
    with pytest.raises(DataError, match="the dumps of windows 0 and 1 have different timelines"):
        reported(mixed, tmp_path)


def test_other_dumps_are_none_of_its_business_and_torch_stays_out(tmp_path: Path) -> None:
    plain = tmp_path / "plain.npz"
    write_predictions(plain, replace(drawn(0), windows_timeline=np.zeros((0, 0), "U1")))
    assert reported([plain], tmp_path / "out") == ""
    assert not (tmp_path / "out").exists()
    code = "import sys, benchmarks.ai_genbench.report; sys.exit('torch' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], cwd=Path(lightning_main.__file__).parent, check=False).returncode
        == 0
    )
