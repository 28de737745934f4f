"""``task=combine``: several detectors' dumps become one, with each score as a column."""

import json
from pathlib import Path

import numpy as np
import pytest
import synthetic_predictions
from sklearn.metrics import roc_auc_score

from benchmarks.calibration.methods import fit
from benchmarks.metrics import auroc
from benchmarks.predictions import Predictions, from_crops, read_predictions, write_predictions
from benchmarks.real_stats.combine import RULES, Columns, columns_of, combine
from benchmarks.real_stats.p_values import BinnedReference, combined, exact_p_values
from conf.compose import compose
from contracts.errors import ConfigError, DataError
from lightning_main import main
from tasks.combine import combine as task
from tasks.experiment.run import Run


def experiment(name: str, seed: int, count: int = 300) -> None:
    """An experiment's validation and test dump: the labels of all are those of seed 0, the scores their own."""
    folder = Path("experiments_data") / name / "window_0"
    folder.mkdir(parents=True)
    for stage, labels_of in (("validate", 90), ("test", 91)):
        images = synthetic_predictions.draw(labels_of, count)
        rng = np.random.default_rng([seed, labels_of])
        logits = rng.normal(images.fused_labels * (1.0 + seed), 1.0)
        made = from_crops(
            logits, np.arange(count), images.fused_labels, images.fused_generator_ids, images.fused_ids,
            generator_id_to_name=images.generator_id_to_name, group=images.group, extra={"energy": logits**2},
        )  # fmt: skip
        write_predictions(folder / f"predictions_{stage}_all.npz", made)


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    experiment("a", 0)
    experiment("b", 1)


def run(*words: str) -> Predictions:
    made = Run(compose(["task=combine", "experiment_id=both", *words]))
    task(made)
    return read_predictions(made.folder / "predictions_test_all.npz")


def area(predictions: Predictions) -> float:
    return float(roc_auc_score(predictions.fused_labels, predictions.fused_logits))


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize("rule", RULES)
def test_a_rule_makes_a_dump_with_votes(rule: str) -> None:
    parts = [read_predictions(f"experiments_data/{name}/window_0/predictions_test_all.npz") for name in "ab"]
    made = run("combine.inputs=[a,b]", f"combine.rule={rule}", "combine.independence=0.5")
    assert np.array_equal(made.fused_ids, parts[0].fused_ids)
    for name, part in zip("ab", parts, strict=True):
        assert np.array_equal(made.extra[f"vote_{name}"], part.fused_logits)
    about = json.loads(made.provenance)
    assert about["rule"] == rule
    if rule in ("mean", "calibrated_mean", "rank_mean", "weighted"):
        assert area(made) > (min if rule == "rank_mean" else max)(map(area, parts))
    if rule == "weighted":
        assert about["weights"]["b"] > about["weights"]["a"] > 0
    if rule == "calibrated_mean":
        validation = [read_predictions(f"experiments_data/{n}/window_0/predictions_validate_all.npz") for n in "ab"]
        each = [fit("platt", one.fused_logits, one.fused_labels) for one in validation]
        wanted = sum(one(part.fused_logits) for one, part in zip(each, parts, strict=True)) / 2
        np.testing.assert_allclose(made.fused_logits, wanted, rtol=1e-5, atol=1e-6)
    if rule in ("stouffer", "minimum"):
        assert about["columns"] == ["a", "b"]
        real = [read_predictions(f"experiments_data/{n}/window_0/predictions_validate_all.npz") for n in "ab"]
        p = [
            exact_p_values(r.fused_logits[r.fused_labels == 0], part.fused_logits)
            for r, part in zip(real, parts, strict=True)
        ]
        np.testing.assert_allclose(made.extra["p_value"], combined(np.stack(p, 1), rule)[1])
        calls = made.extra["p_value"][made.fused_labels == 0] < 0.1
        assert calls.mean() < 0.2  # the rate promised, and chance
    assert main(["task=review", "review.inputs=[both]", "review.out=page"]) == 0


@pytest.mark.usefixtures("two")
def test_a_switch_gives_the_published_p_values(tmp_path: Path) -> None:
    for name, seed in (("c", 0), ("d", 1)):  # as many real images as the published test of uniformity uses
        experiment(name, seed, 4000)
    words = ("combine.inputs=[c,d]", "combine.rule=stouffer", "combine.independence=0.9")
    exact, published = run(*words), run(*words, "combine.published=true")
    p = []
    for name in "cd":
        reference, asked = (
            read_predictions(f"experiments_data/{name}/window_0/predictions_{stage}_all.npz")
            for stage in ("validate", "test")
        )
        real = reference.fused_logits[reference.fused_labels == 0].astype(np.float64)
        p.append(BinnedReference.of(real, 1000).both(asked.fused_logits.astype(np.float64)))
    np.testing.assert_array_equal(published.extra["p_value"], combined(np.stack(p, 1), "stouffer")[1])
    assert published.extra["p_value"].min() < 1e-6 < exact.extra["p_value"].min()  # 0 in the highest bin
    assert json.loads(published.provenance)["published"]
    assert not json.loads(exact.provenance)["published"]
    with pytest.raises(DataError, match="published test uses 1000"):
        run("combine.inputs=[a,b]", "combine.rule=minimum", "combine.independence=0.9", "combine.published=true")
    with pytest.raises(ConfigError, match=r"published=true with combine\.rule=weighted"):
        run("combine.inputs=[a,b]", "combine.rule=weighted", "combine.published=true")
    with pytest.raises(ConfigError, match=r"checkpoint with combine\.published"):
        run(*words, "combine.published=true", f"combine.checkpoint={tmp_path / 'both.ckpt'}")


@pytest.mark.usefixtures("two")
def test_columns_of_one_dump() -> None:
    dump = "experiments_data/a/window_0/predictions_test_all.npz"
    made = run(f"combine.inputs=[{dump}]", "combine.columns=[logit,energy]")
    one = read_predictions(dump)
    expected = (one.fused_logits.astype(float) + one.extra["energy"].astype(float)) / 2
    np.testing.assert_allclose(made.fused_logits, expected, rtol=1e-6)
    with pytest.raises(ConfigError, match="would be fitted on the images that it scores"):
        run(f"combine.inputs=[{dump},b]", "combine.rule=weighted")
    with pytest.raises(DataError, match="no column 'enrgy' of numbers"):
        run("combine.inputs=[a,b]", "combine.columns=[enrgy]")
    with pytest.raises(ConfigError, match="inputs is empty"):
        run()
    with pytest.raises(DataError, match="nothing to combine"):
        run("combine.inputs=[a]")
    with pytest.raises(ConfigError, match=r"names 1 dump, combine\.inputs 2"):
        run("combine.inputs=[a,b]", "combine.rule=weighted", "combine.reference=[a]")


def test_a_column_that_separates_the_classes_is_not_calibrated() -> None:
    labels = np.repeat([0, 1], 20)
    images = from_crops(
        labels * 2.0 - 1, np.arange(40), labels, labels, [str(k) for k in range(40)], generator_id_to_name=["", "g"]
    )
    mixed = np.random.default_rng(0).normal(labels, 1.0)
    columns = Columns(["a", "b"], np.stack([mixed, labels * 2.0 - 1], 1), images)
    with pytest.raises(DataError, match="b cannot be calibrated: its scores of the reference separate"):
        combine(columns, "calibrated_mean", columns)


def test_identical_images_get_one_half() -> None:
    rng = np.random.default_rng(5)
    labels, values = np.repeat([0, 1], 51), np.tile(rng.normal(size=(51, 3)), (2, 1))
    images = from_crops(
        values[:, 0], np.arange(102), labels, labels, [str(k) for k in range(102)], generator_id_to_name=["", "g"]
    )
    columns = Columns(["a", "b", "c"], values, images)
    other = rng.normal(np.repeat([0, 1], 200)[:, None], 1.0, (400, 3))
    fitted = from_crops(
        other[:, 0], np.arange(400), np.repeat([0, 1], 200), np.repeat([0, 1], 200), [str(k) for k in range(400)],
        generator_id_to_name=["", "g"],
    )  # fmt: skip
    reference = Columns(["a", "b", "c"], other, fitted)
    for rule in RULES:
        found = combine(columns, rule, reference, independence=0.9)
        assert np.array_equal(found.logits[:51], found.logits[51:]), rule
        assert auroc(found.logits, labels) == 0.5, rule


def test_dumps_that_do_not_fit_are_refused() -> None:
    one = synthetic_predictions.draw(0, 20)
    with pytest.raises(DataError, match="disagree about labels"):
        columns_of({"a": one, "b": synthetic_predictions.draw(1, 20)})
    with pytest.raises(ConfigError, match="fitted on other images"):
        combine(columns_of({"a": one, "b": one}), "weighted")
