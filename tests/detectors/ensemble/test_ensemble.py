"""Two trained detectors as one checkpoint: its scores are those of ``task=combine``, on any images."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import zoo_commands as zoo
from synthetic_predictions import draw
from torch import nn

from benchmarks.predictions import read_predictions
from benchmarks.real_stats.combine import Columns, combine
from benchmarks.real_stats.p_values import combined, exact_p_values
from benchmarks.thresholds.rules import choose_threshold
from conf.build import build_for_scoring
from conf.compose import compose
from contracts.batch import Batch
from contracts.errors import ConfigError
from contracts.view import View
from detectors.base import Scores
from detectors.ensemble.detector import Ensemble
from detectors.parts.weights import load_weights
from detectors.residual.detector import Residual
from lightning_main import main
from tasks.experiment.run import Run
from tasks.scoring.ensembles import write_ensemble
from tasks.scoring.evaluate import load_detector


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
    origins = [(name, "logit") for name in "abc"]
    asked = Columns(["a", "b", "c"], reference.values[:50] + 0.01, images.select(np.arange(50)), origins)
    found = combine(asked, rule, reference, independence=0.2)
    assert len(found.columns) == 2
    best = Path("experiments_data/a/window_0/checkpoints/best.ckpt")
    write_ensemble(Path(f"{rule}.ckpt"), dict.fromkeys("abc", best), found, asked, reference)
    entry = torch.load(f"{rule}.ckpt", weights_only=True)["pixelproof"]
    assert list(entry["detector"]["members"]) == list(found.columns)
    detector = build_for_scoring(entry["detector"], from_checkpoint=True)
    load_weights(detector, Path(f"{rule}.ckpt"))
    assert isinstance(detector, Ensemble)
    values = asked.values[:, [asked.names.index(name) for name in found.columns]]
    logits = detector.combined(torch.from_numpy(values))
    np.testing.assert_allclose(logits.numpy(), found.logits, rtol=1e-9, atol=1e-9)
    kept = reference.values[:, [reference.names.index(name) for name in found.columns]]
    real = images.fused_labels == 0
    for other in ("stouffer", "minimum"):  # its threshold is that of a checkpoint of this rule
        used = load_detector(Run(compose([f"ckpt={rule}.ckpt", f"detector.rule={other}"])), Path(f"{rule}.ckpt"))
        p = combined(np.stack([exact_p_values(column[real], column) for column in kept.T], 1), other)[1]
        wanted = choose_threshold((1 - p).astype(np.float32), images.fused_labels)
        assert used.threshold == pytest.approx(wanted.value, abs=1e-6)
    assert entry["thresholds"]["stouffer"]["value"] != entry["thresholds"]["minimum"]["value"]
    with pytest.raises(ConfigError, match=f"rank_mean: {rule}.ckpt was made for {rule}"):
        load_detector(Run(compose([f"ckpt={rule}.ckpt", "detector.rule=rank_mean"])), Path(f"{rule}.ckpt"))
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
def test_a_checkpoint_combines_the_columns_that_the_dump_does(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained)
    words = "combine.columns=[logit] experiment_id=columns combine.checkpoint=columns.ckpt"
    zoo.run(f"task=combine combine.inputs=[a,b] combine.rule=weighted {words}")
    wanted = read_predictions("experiments_data/columns/predictions_test_all.npz")
    detector = load_detector(Run(compose(["ckpt=columns.ckpt"])), Path("columns.ckpt")).detector
    assert isinstance(detector, Ensemble)
    assert detector.columns == {"a.logit": ["a", "logit"], "b.logit": ["b", "logit"]}
    votes = np.stack([wanted.extra["vote_a.logit"], wanted.extra["vote_b.logit"]], 1)
    found = detector.combined(torch.from_numpy(votes).double()).numpy()
    np.testing.assert_array_equal(found.astype(np.float32), wanted.fused_logits)


def test_columns_of_members_are_named_as_in_their_dumps() -> None:
    class Stub(Residual):
        def score(self, batch: Batch) -> Scores:
            share = batch.images.float().mean((1, 2, 3))
            return Scores(-share, {"mean": share, "pair": torch.stack([2 * share, 3 * share], 1)})

    members = {name: Stub(View(), View(), "npr", "tiny_ladeda") for name in "ab"}
    two = torch.arange(2)
    batch = Batch(8 * two.byte().view(2, 1, 1, 1).expand(2, 3, 4, 4), two, two, two, two, two)
    columns = {"x": ("a", "mean"), "y": ("a", "pair_1"), "z": ("b", "logit")}
    found = Ensemble(members, columns=columns).score(batch)
    assert {name: votes.tolist() for name, votes in found.extras.items()} == {
        "vote_x": [0, 8], "vote_y": [0, 24], "vote_z": [0, -8],
    }  # fmt: skip
    assert found.logits.tolist() == [0, 8]
    with pytest.raises(ConfigError, match="a gives no column 'pair_2'"):
        Ensemble(members, columns={"x": ("a", "mean"), "y": ("a", "pair_2")}).score(batch)


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
