"""Tracing from files to a submission, on tiny untrained siblings: once through every model, resumed, and told apart."""

import csv
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tasks.scoring.report
import tasks.tracing.steps
from benchmarks.attribution.measures import Attribution, attribution
from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.predictions import read_predictions
from benchmarks.review import review
from conf.compose import compose
from contracts.errors import CheckpointError, ConfigError, DataError
from tasks.experiment.run import Run
from tasks.trace import trace
from tests.detectors.tracer.tracer_zoo import IMAGE
from tests.tasks import traced
from tests.tasks.traced import CLASSES, TEST, TRAIN, counted


@pytest.fixture(scope="module", autouse=True)
def few_draws():
    """Intervals are tested elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks.scoring.report, "attribution", partial(attribution, bootstrap=Bootstrap(resamples=20)))
        yield


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Tiny siblings, their images, and a first trace."""
    base = traced.world(tmp_path_factory.mktemp("trace"))
    return base, counted(base, base / "data")


def run(base, data, *words):
    return Run(compose(traced.words(base, data, *words)))


def submitted(base):
    with (base / "out" / "submission.csv").open(newline="") as stream:
        return {row["image_name"]: row["label"] for row in csv.DictReader(stream)}


def test_every_image_goes_once_through_every_model(world):
    _, seen = world
    images = (TRAIN + TEST) * len(CLASSES)
    assert seen == {"encode": 2 * images, "variant": 4 * images}


def test_dumps_hold_a_score_for_every_class(world):
    base, _ = world
    for route, name in (("calibrated", "train"), ("prada", "train_prada")):
        dump = read_predictions(base / "out" / "window_0" / f"predictions_{name}_all.npz")
        assert dump.class_names.tolist() == list(CLASSES)
        assert dump.fused_multi_logits.shape == (TRAIN * len(CLASSES), len(CLASSES))
        np.testing.assert_allclose(np.exp(dump.fused_multi_logits.astype(float)).sum(1), 1, atol=1e-5)
        assert dump.about["route"] == route
        answers = Attribution.of(dump)
        assert np.bincount(answers.truth).tolist() == [TRAIN] * len(CLASSES)
    assert "\n| rar_m | " in (base / "out" / "window_0" / "attribution_train_calibrated.md").read_text()


def test_the_submission_answers_every_file(world):
    base, _ = world
    files = [file.name for file in (base / "data" / "test").iterdir()]
    with (base / "out" / "submission.csv").open(newline="", encoding="utf-8") as stream:
        answers = {row["image_name"]: row["label"] for row in csv.DictReader(stream)}
    assert sorted(answers) == sorted(files)
    dump = read_predictions(base / "out" / "window_0" / "predictions_test_all.npz")
    named = zip(dump.fused_ids.tolist(), dump.fused_multi_logits.argmax(1).tolist(), strict=True)
    assert {Path(i).name: CLASSES[k] for i, k in named} == answers


def test_the_page_shows_the_evidence(world, tmp_path):
    base, _ = world
    made = review([base / "out" / "window_0" / "predictions_train_all.npz"], tmp_path / "page")
    text = made.page.read_text()
    for title in ("Confusion", "Scores of each generator", "Calibration g(d)", "Weights of the scales", "Features",
                  "Evidence by scale and position"):  # fmt: skip
        assert title in text
    assert text.count("data:image/png;base64") >= 6
    assert text.count('data-pick="source:0:') == len(CLASSES) ** 2, "the confusion is a table whose cells open images"


def test_nothing_is_done_twice(world, tmp_path):
    """A second run computes nothing; a new image alone is computed; a damaged block is done again; answers stay."""
    base, _ = world
    before = submitted(base)
    assert counted(base, base / "data") == {"encode": 0, "variant": 0}
    data = shutil.copytree(base / "data", tmp_path / "data")
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (IMAGE, IMAGE, 3), dtype=np.uint8)).save(data / "test" / "new.png")
    shutil.copy(data / "test" / "new.png", data / "test" / "new-again.png")
    assert counted(base, data) == {"encode": 2, "variant": 4}
    after = submitted(base)
    assert after["new.png"] == after["new-again.png"]
    assert {name: label for name, label in after.items() if not name.startswith("new")} == before
    block = sorted((base / "out" / "trace_cache").glob("encode_var_*/*.npz"))[0]
    block.write_bytes(block.read_bytes()[:100])
    assert 1 <= counted(base, data)["encode"] <= 16


def test_a_killed_run_continues(world, tmp_path):
    base, _ = world
    real = tasks.tracing.steps.encode_pass
    calls = []

    def dying(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks.tracing.steps, "encode_pass", dying)
        with pytest.raises(KeyboardInterrupt):
            trace(run(base, base / "data", f"trace.cache={tmp_path / 'cache'}"))
    images = (TRAIN + TEST) * len(CLASSES)
    # two blocks of 16 images were whole
    assert counted(base, base / "data", f"trace.cache={tmp_path / 'cache'}")["encode"] == 2 * images - 32


def test_fitted_decisions_serve_another_folder(world, tmp_path):
    base, _ = world
    before = submitted(base)
    decision = shutil.copytree(base / "out" / "decisions", tmp_path / "decisions")
    trace(run(base, base / "data" / "test", f"trace.decision={decision}"))
    assert submitted(base) == before
    with pytest.raises(CheckpointError, match=r"flat\.npz does not exist"):
        trace(run(base, base / "data" / "test", f"trace.decision={decision}", "detector.routes=[flat]"))


def test_images_no_generator_can_have_saved(world, tmp_path):
    base, _ = world
    data = shutil.copytree(base / "data", tmp_path / "data")
    Image.new("RGB", (IMAGE + 1, IMAGE)).save(data / "test" / "wide.png")
    Image.new("L", (IMAGE, IMAGE)).save(data / "test" / "grey.png")
    Image.new("RGBA", (IMAGE, IMAGE)).save(data / "test" / "alpha.png")
    (data / "test" / "text.png").write_text("no image")
    with pytest.raises(DataError) as told:
        trace(run(base, data))
    for words in ("4 of 59", f"{IMAGE + 1}×{IMAGE} pixels", "mode L", "mode RGBA", "text.png", "trace.refused=outlier"):
        assert words in str(told.value)
    trace(run(base, data, "trace.refused=outlier"))
    answers = submitted(base)
    assert all(answers[name] == "outlier" for name in ("wide.png", "grey.png", "alpha.png", "text.png"))
    with (base / "out" / "failures.csv").open(newline="") as stream:
        assert [row["id"] for row in csv.DictReader(stream)] == [
            f"test/{name}.png" for name in ("alpha", "grey", "text", "wide")
        ]


def test_missing_variants_are_named(world, capsys):
    base, _ = world
    trace(run(base, base / "data", "detector.variants=[var_s,var_m,rar_s]"))
    shown = capsys.readouterr().out
    assert "classes: var_s, var_m, rar_s, outlier" in shown
    assert "images by rar_m are not used for fitting" in shown
    assert "no inverse decoder for var" in shown


@pytest.mark.parametrize(
    ("words", "kind", "message"),
    [
        (["trace.fit_on=[trian]"], ConfigError, "split 'trian' is unknown"),
        (["trace.fit_on=[test]"], DataError, "no image by var_s"),
        (["detector.labels=given"], DataError, "the data has no classes"),
    ],
)
def test_what_cannot_work_is_reported(world, words, kind, message):
    base, _ = world
    with pytest.raises(kind, match=message):
        trace(run(base, base / "data", *words))


def test_a_detector_is_no_tracer(world):
    base, _ = world
    words = ["task=trace", "detector=npr", "datamodule=tracer", f"datamodule.path={base / 'data'}"]
    with pytest.raises(ConfigError, match="needs a tracer, not NPR"):
        trace(Run(compose(words)))


def test_given_classes_follow_the_table(world):
    """The same images under their own classes: candidates are not searched, so nothing is screened."""
    base, _ = world
    with (base / "images" / "images.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["split"] == "train"]
    table = base / "images" / "given.csv"
    with table.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "label", "split", "class"])
        writer.writerows([row["path"], row["label"], "train", row["class"] or 0] for row in rows)
    seen = counted(base, table, "detector.labels=given", f"trace.out={base / 'given'}")
    assert seen["variant"] == 4 * len(rows)
    assert not list((base / "given" / "trace_cache").glob("labels_*"))
    cache = next((base / "given" / "trace_cache").glob("score_var_s_*"))
    labels = np.concatenate([np.load(file)["label"] for file in cache.glob("*.npz")])
    assert np.bincount(labels).tolist() == np.bincount([int(row["class"] or 0) for row in rows]).tolist()
