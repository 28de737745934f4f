"""Runs against each other, by function and by the command line."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest
from synthetic_predictions import draw

from benchmarks.comparison.compare import common, compare, mcnemar, sets_of
from benchmarks.comparison.render import markdown
from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.metrics import accuracy, auroc
from benchmarks.predictions import Predictions, from_crops, sigmoid, write_predictions
from contracts.errors import ConfigError, DataError
from datamodules.sample import SampleDataModule
from lightning_main import main


def better(predictions: Predictions, by: float) -> Predictions:
    """The same images, their logits moved to the right side; in another order, and one image less."""
    order = np.random.default_rng(5).permutation(len(predictions))[1:]
    chosen = predictions.select(order)
    return from_crops(
        chosen.fused_logits + by * (2 * chosen.fused_labels - 1),
        np.arange(len(chosen)),
        chosen.fused_labels,
        chosen.fused_generator_ids,
        chosen.fused_ids,
        generator_id_to_name=chosen.generator_id_to_name,
        group=chosen.group,
        source=chosen.source,
        provenance=chosen.about,
    )


def test_differences_counts_and_intervals() -> None:
    first = draw(images=300)
    found = compare([first, better(first, 1.0), better(first, -0.5)], ["a", "b", "c"], Bootstrap(200))
    assert found.images == 299
    assert found.sets == ("alpha", "beta_2", "gamma-10")
    runs = common([first, better(first, 1.0)], ["a", "b"])
    images = sets_of(runs[0])["alpha"]
    want = [accuracy(r.fused_scores[images].astype(float), r.fused_labels[images]) for r in runs]
    (change,) = [c for c in found.changes[0] if (c.name, c.metric, c.at) == ("alpha", "accuracy", "0.5")]
    assert (change.first, change.other) == pytest.approx(tuple(want))
    (mean,) = [c for c in found.changes[0] if (c.name, c.metric, c.at) == ("", "accuracy", "0.5")]
    assert mean.low < mean.value < mean.high
    assert mean.low > 0
    assert mean.high - mean.low < 0.15
    assert found.improved(1, "accuracy", "0.5") == (3, 3)
    assert found.improved(2, "accuracy", "0.5") == (0, 3)
    assert found.tests[0].lost == 0
    text = markdown(found)
    assert "b: mean +" in text
    assert "better on 3 of 3 sets" in text


def test_mcnemar_is_the_exact_binomial_test() -> None:
    first = draw(seed=1, images=200)
    second = draw(seed=1, images=200, decimals=0)
    noisy = from_crops(
        np.roll(second.fused_logits, 1), np.arange(200), second.fused_labels, second.fused_generator_ids,
        second.fused_ids, generator_id_to_name=second.generator_id_to_name,
    )  # fmt: skip
    test = mcnemar(first, noisy)
    assert test.gained + test.lost > 20
    assert test.p == pytest.approx(binomtest(test.gained, test.gained + test.lost).pvalue)
    assert mcnemar(first, first).p == 1


def test_what_cannot_be_compared() -> None:
    first = draw()
    with pytest.raises(ConfigError, match="fewer than two"):
        compare([first], ["a"])
    other = from_crops(
        np.zeros(1), np.zeros(1, int), np.zeros(1, int), np.zeros(1, int), ["x"], generator_id_to_name=[""]
    )
    with pytest.raises(DataError, match="a, b have no labelled image in common"):
        compare([first, other], ["a", "b"])
    flipped = from_crops(
        first.fused_logits, np.arange(len(first)), 1 - first.fused_labels, np.zeros(len(first), int), first.fused_ids,
        generator_id_to_name=["", "x"],
    )  # fmt: skip
    with pytest.raises(DataError, match="a and b disagree on the label of 120 images, first '"):
        compare([first, flipped], ["a", "b"])


def test_by_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    first = draw()
    write_predictions(Path("experiments_data/base/window_0/predictions_test_all.npz"), first)
    write_predictions(Path("other.npz"), better(first, 0.7))
    words = ["task=compare", "experiment_id=c", "compare.metric=auroc"]
    assert main([*words, "compare.inputs=[base,other.npz]"]) == 0
    assert "AUROC, 119 images" in capsys.readouterr().out
    with Path("experiments_data/c/compare/compare.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["run"] for row in rows} == {"other"}
    assert {row["set"] for row in rows} == {"alpha", "beta_2", "gamma-10", "mean", "all images"}
    assert Path("experiments_data/c/compare/heat_map.png").stat().st_size > 5000
    assert main([*words, "compare.inputs=[bse,other.npz]"]) == 1
    assert "did you mean 'base'?" in capsys.readouterr().err
    assert main([*words, "compare.inputs=[base]"]) == 2


def test_the_sample_corpus_is_compared_against_its_real_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    module = SampleDataModule()
    manifest = module.manifest()
    manifest = manifest.take(manifest.rows("test"))
    for seed, name in enumerate(("a", "b")):
        logits = np.random.default_rng(seed).normal(size=len(manifest)) + 3 * seed * manifest.labels
        dump = from_crops(
            logits, np.arange(len(manifest)), manifest.labels, manifest.generator_index,
            manifest.column("id").astype(str), generator_id_to_name=manifest.generator_names,
            source=manifest.column("source").astype(str), group=manifest.column("group").astype(str),
        )  # fmt: skip
        write_predictions(Path(f"experiments_data/{name}/window_0/predictions_test_all.npz"), dump)
    assert main(["task=compare", "experiment_id=c", "compare.inputs=[a,experiments_data/b]"]) == 0
    shown = capsys.readouterr().out
    assert "AUROC, 116 images" in shown
    assert "better on 8 of 8 sets" in shown
    assert "; all images +" in shown
    with Path("experiments_data/c/compare/compare.csv").open() as file:
        rows = {(row["set"], row["metric"]): row for row in csv.DictReader(file) if row["at"] != "validation"}
    pooled = rows["all images", "auroc"]
    assert float(pooled["low"]) < float(pooled["difference"]) < float(pooled["high"])
    wanted = auroc(sigmoid(np.float32(logits)).astype(float), manifest.labels.astype(np.int64))
    assert float(pooled["other"]) == pytest.approx(wanted)
    assert all(float(rows[name, "auroc"]["first"]) > 0 for name in manifest.generator_names[1:])
    assert main(["task=review", "review.inputs=[a,experiments_data/b/window_0/predictions_test_all.npz]",
                 "review.out=page"]) == 0  # fmt: skip
    assert Path("page/index.html").is_file()
    assert main(["task=review", "review.inputs=[aa]"]) == 2
    assert "did you mean 'a'" in capsys.readouterr().err


def test_images_of_one_class_have_no_sets_to_compare() -> None:
    fakes = draw().select(draw().fused_labels == 1)
    found = compare([fakes, fakes], ["a", "b"], Bootstrap(20))
    assert "no set has both classes" in markdown(found) or "## AUROC" not in markdown(found)
    assert "0.0" not in markdown(found).partition("Do they make mistakes")[0]


def test_sets_of_tables_hold_their_own_real_images() -> None:
    folders = np.repeat(["ForenSynths/progan", "ForenSynths/biggan"], 4)
    dump = from_crops(
        np.arange(8.0), np.arange(8), np.tile([0, 1], 4), np.tile([0, 1], 4) * np.repeat([1, 2], 4),
        [str(k) for k in range(8)], generator_id_to_name=["", "progan", "biggan"], source=folders,
    )  # fmt: skip
    assert {name: images.tolist() for name, images in sets_of(dump).items()} == {
        "progan": [0, 1, 2, 3], "biggan": [4, 5, 6, 7],
    }  # fmt: skip


def test_a_mean_over_sets_has_an_interval_where_a_set_has_too_few_photographs_for_one() -> None:
    p = draw(images=60)
    fakes = np.flatnonzero(p.fused_labels == 1)
    made = np.where(p.fused_labels == 1, 1, 0)
    made[fakes[:5]] = 2
    p = replace(p, fused_generator_ids=made, crop_generator_ids=made, group=np.full(60, ""))
    other = replace(p, fused_scores=p.fused_scores[::-1].copy())
    changes = {(c.name, c.metric): c for c in compare([p, other], ["a", "b"], Bootstrap(50)).changes[0]}
    assert np.isnan(changes["beta_2", "auroc"].low)
    for name in ("alpha", ""):
        assert changes[name, "auroc"].low <= changes[name, "auroc"].value <= changes[name, "auroc"].high
    few = [replace(one, group=np.array([f"p{i % 5}" for i in range(60)])) for one in (p, other)]
    assert all(np.isnan(c.low) for c in compare(few, ["a", "b"], Bootstrap(50)).changes[0])
