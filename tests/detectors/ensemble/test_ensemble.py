"""Two trained detectors as one checkpoint: its scores are those of ``task=combine``, on any images."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import zoo_commands as zoo
from drawn_predictions import draw
from torch import nn

from benchmarks.predictions import read_predictions
from benchmarks.real_stats.combine import Columns, combine
from conf.build import build_for_scoring
from contracts.batch import Batch
from contracts.errors import ConfigError
from contracts.view import View
from detectors.ensemble.detector import Ensemble
from detectors.parts.weights import load_weights
from detectors.residual.detector import Residual
from lightning_main import main
from tasks.scoring.ensembles import write_ensemble


def member(view: View | None = None) -> Residual:
    return Residual(View(), view or View(), "npr", "tiny_ladeda").eval()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two experiments that are trained, validated and tested on a few images."""
    folder = tmp_path_factory.mktemp("ensemble")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        zoo.run("task=prepare datamodule=sample prepare.limit=60 prepare.out=data.h5")
        views = "detector.train_view.crop=32 detector.eval_view.crop=40"
        for name, front in (("a", "npr"), ("b", "raw")):
            words = f"detector=residual detector.front_end={front} detector.body=tiny_ladeda {views}"
            zoo.run(f"experiment_id={name} datamodule=hdf5 datamodule.path=data.h5 datamodule.batch_size=4 {words}")
            zoo.run(f"task=test experiment_id={name}")
    return folder


@pytest.mark.parametrize("rule", ["mean", "rank_mean", "weighted"])
@pytest.mark.filterwarnings("ignore")
def test_the_checkpoint_scores_as_the_dump_says(rule: str, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained)
    zoo.run(
        f"task=combine combine.inputs=[a,b] combine.rule={rule} experiment_id={rule} combine.checkpoint={rule}.ckpt"
    )
    wanted = read_predictions(f"experiments_data/{rule}/predictions_test_all.npz")
    zoo.run(f"task=test ckpt={rule}.ckpt experiment_id={rule}_scored datamodule=hdf5 datamodule.path=data.h5")
    found = read_predictions(f"experiments_data/{rule}_scored/window_0/predictions_test_all.npz")
    assert np.array_equal(found.fused_ids, wanted.fused_ids)
    np.testing.assert_allclose(found.fused_logits, wanted.fused_logits, rtol=1e-5, atol=1e-6)
    for name in "ab":
        np.testing.assert_allclose(found.extra[f"vote_{name}"], wanted.extra[f"vote_{name}"], atol=1e-6)
    zoo.run(f"task=review review.inputs=[{rule}_scored] review.out={rule}_page")
    entry = torch.load(f"{rule}.ckpt", weights_only=True)["pixelproof"]
    assert entry["threshold"]["images"] == len(
        read_predictions("experiments_data/a/window_0/predictions_validate_all.npz")
    )


@pytest.mark.parametrize("rule", ["stouffer", "minimum"])
@pytest.mark.filterwarnings("ignore")
def test_a_checkpoint_of_p_values_keeps_the_independent_members(
    rule: str, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained)
    rng = np.random.default_rng(0)
    images = draw(images=4000)
    noise = rng.normal(size=(4000, 2)) + 2.0 * images.fused_labels[:, None]
    # c is a once more, so that the members are a and b, or b and c
    reference = Columns(["a", "b", "c"], np.stack([noise[:, 0], noise[:, 1], 3 * noise[:, 0]], 1), images)
    asked = Columns(["a", "b", "c"], reference.values[:50] + 0.01, images.select(np.arange(50)))
    found = combine(asked, rule, reference, independence=0.2)
    assert len(found.columns) == 2
    best = Path("experiments_data/a/window_0/checkpoints/best.ckpt")
    write_ensemble(Path(f"{rule}.ckpt"), dict.fromkeys("abc", best), found, reference)
    entry = torch.load(f"{rule}.ckpt", weights_only=True)["pixelproof"]
    assert list(entry["detector"]["members"]) == list(found.columns)
    detector = build_for_scoring(entry["detector"], from_checkpoint=True)
    load_weights(detector, Path(f"{rule}.ckpt"))
    assert isinstance(detector, Ensemble)
    values = asked.values[:, [asked.names.index(name) for name in found.columns]]
    logits = detector.combined(torch.from_numpy(values))
    np.testing.assert_allclose(logits.numpy(), found.logits, rtol=1e-9, atol=1e-9)
    robust = "benchmark=robustness benchmark.deliveries=[side-9999,noise-5]"
    data = "datamodule=hdf5 datamodule.path=data.h5"
    zoo.run(f"task=test detector=real_stats ckpt={rule}.ckpt {robust} experiment_id={rule} {data}")
    stage = Path(f"experiments_data/{rule}/window_0")
    dump = read_predictions(stage / "predictions_test_all.npz")
    np.testing.assert_allclose(dump.extra["p_value"], 1 - dump.fused_scores, atol=1e-5)
    same = read_predictions(stage / "deliveries/predictions_side-9999_all.npz")
    assert np.array_equal(same.extra["p_value"], dump.extra["p_value"])


def test_the_option_needs_a_checkpoint(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detector=real_stats", "datamodule=sample", "trainer=cpu"]) == 2
    assert "members has 0\n  → Give ckpt=FILE, a checkpoint of task=combine" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore")
def test_the_checkpoint_predicts_and_looks(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(trained)
    zoo.run("task=combine combine.inputs=[a,b] experiment_id=mean combine.checkpoint=both.ckpt")
    images = zoo.twins(trained / "twins", 2)
    zoo.run(f"task=predict ckpt=both.ckpt experiment_id=scored datamodule=folder datamodule.path={images}")
    with Path("experiments_data/scored/predictions.csv").open(newline="") as text:
        rows = {row["id"]: row for row in csv.DictReader(text)}
    for row in rows.values():
        votes = [float(row[f"vote_{name}"]) for name in "ab"]
        assert float(row["logit"]) == pytest.approx(sum(votes) / 2, abs=1e-5)
    capsys.readouterr()
    assert main(["look", str(images / "0_real/0.png"), "ckpt=both.ckpt", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["votes"]["both"] == pytest.approx(float(rows["0_real/0.png"]["score"]), abs=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_single_columns_make_no_checkpoint(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(trained)
    words = "task=combine combine.inputs=[a,b] experiment_id=no combine.checkpoint=no.ckpt"
    assert main([*words.split(), "combine.columns=[logit]"]) == 2
    assert "A checkpoint combines logits" in capsys.readouterr().err


def test_members_must_look_alike() -> None:
    with pytest.raises(ConfigError, match="a looks at images as native, b as crop9"):
        Ensemble({"a": member(), "b": member(View(crop=9))})
    with pytest.raises(ConfigError, match="members has 1"):
        Ensemble({"a": member()})
    with pytest.raises(ConfigError, match="rule='median'"):
        Ensemble({"a": member(), "b": member()}, rule="median")  # type: ignore[arg-type]


def test_equal_images_get_equal_scores_and_small_ones_are_refused() -> None:
    torch.manual_seed(0)
    detector = Ensemble({"a": member(), "b": member()}).eval()
    assert isinstance(detector.net.members, nn.ModuleDict)
    assert detector.sides().least == 6
    images = torch.randint(0, 256, (1, 3, 20, 20), dtype=torch.uint8).expand(5, -1, -1, -1)
    rows = torch.arange(5)
    with torch.inference_mode():
        scores = detector.score(Batch(images, rows % 2, rows, rows, rows, rows))
    assert len(set(scores.logits.tolist())) == 1
    mean = (scores.extras["vote_a"] + scores.extras["vote_b"]) / 2
    assert torch.allclose(scores.logits, mean, atol=1e-6)
