"""A traced decision scores images by task=test and task=predict, like any detector, and says what task=trace said."""

import csv
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import tasks.scoring.report
from benchmarks.attribution.measures import Attribution, attribution
from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.predictions import read_predictions
from benchmarks.review import review
from conf.compose import compose
from contracts.errors import CheckpointError, ConfigError, DataError
from detectors.tracer.tracer import Tracer
from lightning_main import main
from tasks.experiment.run import Run
from tasks.predict import predict
from tasks.test import test as score_test_images
from tasks.trace import trace
from tests.detectors.tracer.tracer_zoo import IMAGE, zoo
from tests.tasks import traced
from tests.tasks.traced import CLASSES, TEST

QUIET = ["trainer=cpu", "trainer.enable_progress_bar=false"]


@pytest.fixture(scope="module", autouse=True)
def few_draws():
    """Intervals are tested elsewhere."""
    few = Bootstrap(resamples=20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks.scoring.report, "attribution", partial(attribution, bootstrap=few))
        patch.setattr(tasks.scoring.report, "Bootstrap", lambda: few)
        yield


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A table of labelled images traced, and its answers to the test images."""
    base = traced.world(tmp_path_factory.mktemp("detector"))
    trace(Run(compose(traced.words(base, base / "images" / "images.csv"))))
    return base, read_predictions(base / "out" / "window_0" / "predictions_test_all.npz")


@pytest.fixture
def here(world, tmp_path, monkeypatch):
    """The world, from an empty working directory."""
    monkeypatch.chdir(tmp_path)
    return world


def command(base, task, *more):
    return ["task=" + task, f"ckpt={base / 'out' / 'tracer.ckpt'}", "experiment_id=s", *QUIET, *more]


def assert_same_answers(found, traced_before, name=str):
    place = {name(image): k for k, image in enumerate(traced_before.fused_ids)}
    order = [place[name(image)] for image in found.fused_ids.tolist()]
    assert found.class_names.tolist() == list(CLASSES)
    for column in ("fused_logits", "fused_multi_logits"):
        np.testing.assert_allclose(
            getattr(found, column), getattr(traced_before, column)[order], rtol=1e-3, atol=1e-3, err_msg=column
        )
    best = np.sort(found.fused_multi_logits, 1)
    clear = best[:, -1] - best[:, -2] > 0.01  # near ties may fall otherwise in other batches
    assert clear.sum() > len(found) // 2
    attributed = found.extra["attributed"][clear].tolist()
    assert attributed == traced_before.extra["attributed"][order][clear].tolist()


def test_test_says_what_trace_said(here):
    base, before = here
    data = [f"datamodule.path={base / 'images' / 'images.csv'}", "datamodule.eval_batch_size=4"]
    score_test_images(Run(compose(command(base, "test", "datamodule=tracer", *data))))
    folder = Path("experiments_data/s/window_0")
    found = read_predictions(folder / "predictions_test_all.npz")
    assert len(found) == TEST * len(CLASSES)
    assert_same_answers(found, before)
    assert set(found.extra) == {"attributed", *(f"p_{name}" for name in CLASSES)}
    np.testing.assert_allclose(sum(found.extra[f"p_{name}"] for name in CLASSES), 1, atol=1e-5)
    ours, theirs = Attribution.of(found), Attribution.of(before)
    assert ours.families == theirs.families
    np.testing.assert_array_equal(ours.truth, theirs.truth)
    metrics = json.loads((folder / "metrics.json").read_text())
    accuracy = next(f["value"] for f in metrics["attribution_test"] if f["metric"] == "accuracy")
    assert accuracy == (ours.answer == ours.truth).mean()
    assert "parameters" not in json.loads((folder / "cost.json").read_text())  # not 0: its models are loaded in turn
    assert "| var_s |" in (folder / "attribution_test.md").read_text()
    assert {row["metric"] for row in metrics["test"]} >= {"auroc"}
    page = review([folder / "predictions_test_all.npz"], Path("page")).page.read_text()
    assert "Confusion" in page


def test_predict_scores_a_folder(here):
    base, before = here
    data = ["datamodule=folder", f"datamodule.path={base / 'data' / 'test'}", "datamodule.eval_batch_size=16"]
    assert main(command(base, "predict", *data)) == 0
    with Path("experiments_data/s/predictions.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == TEST * len(CLASSES)
    assert all(row["attributed"] == max(CLASSES, key=lambda name: float(row[f"p_{name}"])) for row in rows)
    found = read_predictions("experiments_data/s/predictions_predict_all.npz")
    # the flat copies are named <label>-<number>.png
    assert_same_answers(found, before, name=lambda image: image.removeprefix("test/").replace("/", "-"))


def test_what_cannot_work_is_reported(here, tmp_path, capsys):
    base, _ = here
    data = ["datamodule=folder", f"datamodule.path={base / 'drawn'}"]
    other = zoo(tmp_path / "other", seed=1)
    with pytest.raises(CheckpointError, match=r"different weights of var tokenizer, rar tokenizer, var_s"):
        predict(Run(compose(command(base, "predict", *data, f"detector.weights={other}"))))
    bare = tmp_path / "bare.ckpt"
    torch.save({"state_dict": {"a": torch.zeros(1)}}, bare)
    words = command(base, "predict", *data, "detector=tracer", f"detector.weights={base / 'zoo'}")
    with pytest.raises(CheckpointError, match="holds no fitted decision"):
        predict(Run(compose([*words, f"ckpt={bare}"])))
    assert main(["task=fit", "detector=tracer", f"detector.weights={base / 'zoo'}", *data, *QUIET]) == 2
    assert "does not serve task=fit" in capsys.readouterr().err
    wide = tmp_path / "wide"
    wide.mkdir()
    Image.new("RGB", (IMAGE + 8, IMAGE)).save(wide / "a.png")
    with pytest.raises(DataError, match="not resampled"):
        predict(Run(compose(command(base, "predict", "datamodule=folder", f"datamodule.path={wide}"))))


def test_given_classes_cannot_be_had_from_a_batch(here):
    base, _ = here
    tracer = Tracer(base / "zoo", labels="given")
    with pytest.raises(ConfigError, match="has no class labels"):
        _ = tracer._evidence
