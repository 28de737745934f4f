"""From tables of scores to a threshold, by the verb itself."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.predictions import from_crops, write_predictions
from benchmarks.thresholds.columns import choose, load, roc
from benchmarks.thresholds.score_table import aurocs, read_scores
from conf.check import check
from conf.compose import compose
from contracts.errors import ConfigError, DataError
from tasks.experiment.run import Run
from tasks.predict import _expected
from tasks.threshold import threshold

RNG = np.random.default_rng(0)
LABELS = np.arange(60) % 2
SCORES = RNG.normal(LABELS * 1.5, 1.0)


def table(folder: Path, scores: Any = SCORES, labels: Any = LABELS, name: str = "scores.csv", **more: Any) -> Path:
    heads = ["path", "label", "D0", *more]
    lines = [",".join(heads)]
    for k, (score, label) in enumerate(zip(scores, labels, strict=True)):
        lines.append(",".join(map(str, [f"{k}.png", label, score, *(values[k] for values in more.values())])))
    (folder / name).write_text("\n".join(lines) + "\n")
    return folder / name


def run(*words: str) -> None:
    threshold(Run(compose(["task=threshold", "experiment_id=t", *words])))


def test_a_table_of_scores_becomes_a_threshold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    scores: list[Any] = [*SCORES, "ERR", "", "nan"]
    labels = [*LABELS, 1, 0, 1]
    file = table(tmp_path, [*scores, 3.0], [*labels, -1], D1=[*SCORES * 0, 0, 0, 0, 0])
    run(f"threshold.input={file}", "threshold.column=D0", "threshold.rule=fpr_5")
    kept = json.loads((tmp_path / "experiments_data/t/threshold.json").read_text())
    assert kept["skipped"] == {"without_label": 1, "without_score": 3}
    assert set(kept["rules"]) == {"balanced_accuracy", "youden", "fpr_1", "fpr_5"}
    chosen = load(tmp_path / "experiments_data/t/threshold.json")
    assert chosen.rule == "fpr_5"
    assert chosen.auroc == pytest.approx(roc_auc_score(LABELS, SCORES.astype(np.float32)), abs=1e-12)
    called = chosen.called(SCORES)
    assert called[LABELS == 0].mean() == chosen.fpr <= 0.05
    assert called[LABELS == 1].mean() == chosen.tpr
    told = capsys.readouterr().out
    assert "3 rows without a score" in told
    assert f"D0 > {chosen.value:.6g}" in told
    assert "higher means generated (found)" in told
    with Image.open(tmp_path / "experiments_data/t/threshold.png") as plot:
        assert plot.width > 500


def test_the_other_direction_is_found_and_reported_in_the_original_sign() -> None:
    up, down = choose("D0", SCORES, LABELS), choose("D0", -SCORES, LABELS)
    for rule, one in up.items():
        other = down[rule]
        assert (one.higher_is_generated, other.higher_is_generated) == (True, False)
        assert other.value == -one.value
        assert (other.tpr, other.fpr, other.auroc) == (one.tpr, one.fpr, pytest.approx(one.auroc))
        assert np.array_equal(one.called(SCORES), other.called(-SCORES))
    forced = choose("D0", -SCORES, LABELS, "higher")
    assert forced["youden"].auroc == pytest.approx(1 - up["youden"].auroc)
    assert forced["youden"].higher_is_generated


def test_ties_count_half_whatever_their_order() -> None:
    for labels in (LABELS, LABELS[::-1]):
        tied = choose("D0", np.zeros(60), labels)["balanced_accuracy"]
        assert tied.auroc == 0.5
        assert tied.balanced_accuracy == 0.5
    fpr, tpr = roc(np.zeros(60), LABELS, True)
    assert (fpr.tolist(), tpr.tolist()) == ([0, 1], [0, 1])


def test_the_best_balanced_accuracy_is_the_best_of_all_cuts() -> None:
    scores = np.round(SCORES, 1).astype(np.float32)
    best = choose("D0", scores, LABELS)["balanced_accuracy"]
    cuts = [((scores > c)[LABELS == 1].mean() + (scores <= c)[LABELS == 0].mean()) / 2 for c in np.unique(scores)]
    assert best.balanced_accuracy == pytest.approx(max(cuts))


def test_labels_of_others_are_understood_when_said(tmp_path: Path) -> None:
    file = table(tmp_path, labels=1 - LABELS)  # ZED_Rep: 1 is real
    assert np.array_equal(read_scores(file, generated_label="0").labels, LABELS)
    words = table(tmp_path, labels=np.array(["real", "Fake"])[LABELS], name="words.csv")
    assert np.array_equal(read_scores(words).labels, LABELS)
    strange = table(tmp_path, labels=["maybe"] * 60, name="strange.csv")
    with pytest.raises(DataError, match="'maybe'"):
        read_scores(strange)


def test_infinite_scores_are_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    scores = np.where(LABELS == 1, np.inf, SCORES)
    scores[0] = -np.inf
    file = table(tmp_path, scores)
    (row,) = [row for row in aurocs(read_scores(file), Bootstrap(resamples=50)) if row["subset"] == "all"]
    assert (row["auroc"], row["generated"], row["real"]) == (1, 30, 30)
    run(f"threshold.input={file}")
    chosen = load(tmp_path / "experiments_data/t/threshold.json")
    assert (chosen.images, chosen.tpr, chosen.fpr) == (60, 1, 0)
    assert chosen.called(scores).tolist() == (LABELS == 1).tolist()


def test_a_table_may_be_parquet(tmp_path: Path) -> None:
    frame = pd.DataFrame({"Label": LABELS, "score": SCORES, "group": [f"p{k}" for k in range(60)], "empty": None})
    frame.loc[3, "score"] = np.nan
    frame["embedding"] = [[0.5, float(k)] for k in range(60)]
    frame.to_parquet(tmp_path / "t.parquet")
    found = read_scores(tmp_path / "t.parquet")
    assert np.array_equal(found.columns["score"], frame["score"], equal_nan=True)
    assert np.array_equal(found.labels, LABELS)
    assert found.groups[1] == "p1"
    assert list(found.columns) == ["score"]
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"t\.parquet cannot be read as Parquet"):
        read_scores(tmp_path / "t.parquet")


def test_dumps_give_every_extra_and_an_auroc_for_each_generator(tmp_path: Path) -> None:
    generators = np.where(LABELS == 1, 1 + np.arange(60) // 2 % 2, 0)
    dump = from_crops(
        SCORES, np.arange(60), LABELS, generators, [str(k) for k in range(60)],
        generator_id_to_name=["", "a", "b"], extra={"D0": -SCORES, "text": np.full(60, "x")},
    )  # fmt: skip
    write_predictions(tmp_path / "dump.npz", dump)
    found = read_scores(tmp_path / "dump.npz")
    assert list(found.columns) == ["score", "logit", "D0"]
    rows = {(row["column"], row["subset"]): row for row in aurocs(found, Bootstrap(resamples=50))}
    assert set(rows) == {(c, s) for c in ("score", "logit", "D0") for s in ("all", "a", "b")}
    expected = roc_auc_score(LABELS[(generators != 2)], SCORES[generators != 2])
    assert rows["logit", "a"]["auroc"] == pytest.approx(expected)
    assert rows["D0", "a"]["auroc"] == pytest.approx(1 - expected)
    assert rows["logit", "a"]["low"] < expected < rows["logit", "a"]["high"]
    assert rows["logit", "all"]["generated"] == 30


def test_mistakes_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = table(tmp_path)
    with pytest.raises(DataError, match="'D0'"):
        run(f"threshold.input={file}", "threshold.column=D00")
    with pytest.raises(DataError, match="'label'"):
        run(f"threshold.input={file}", "threshold.label=lable")
    with pytest.raises(DataError, match="no generated image"):
        choose("D0", SCORES, LABELS * 0)
    with pytest.raises(ConfigError, match="'lower'"):
        choose("D0", SCORES, LABELS, "lowr")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="is not a threshold file"):
        load(file)
    problems = [str(p) for p in check(compose(["task=threshold", "experiment_id=t"]))]
    assert any("threshold.input=" in p for p in problems)
    problems = [str(p) for p in check(compose(["task=threshold", "threshold.input=nowhere.csv"]))]
    assert any("nowhere.csv does not exist" in p for p in problems)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_tables_as_spreadsheets_write_them(tmp_path: Path, encoding: str, delimiter: str) -> None:
    decimal = "." if delimiter == "," else ","
    lines = ["path;Label;D0;größe".replace(";", delimiter)]
    for k, (score, label) in enumerate(zip(SCORES, LABELS, strict=True)):
        cells = [f"bär{k}.png", ("nature", "fake")[label], f"{score:.9f}".replace(".", decimal), "3"]
        lines.append(delimiter.join(cells))
    (tmp_path / "t.csv").write_bytes("\r\n".join(lines).encode(encoding))
    found = read_scores(tmp_path / "t.csv")
    np.testing.assert_array_equal(found.labels, LABELS)
    np.testing.assert_allclose(found.columns["D0"], SCORES, atol=1e-9)
    assert set(found.columns) == {"D0", "größe"}


def dumped(file: Path, scores: Any, labels: Any = LABELS, stage: str = "validate") -> Path:
    dump = from_crops(
        np.asarray(scores, float), np.arange(len(labels)), labels, labels * 0, [str(k) for k in range(len(labels))],
        generator_id_to_name=[""], provenance={"stage": stage},
    )  # fmt: skip
    write_predictions(file, dump)
    return file


def test_a_detectors_own_score_is_never_turned_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    few = np.arange(8) % 2
    run(f"threshold.input={dumped(tmp_path / 'few.npz', -2.0 * few, few)}")
    assert load(tmp_path / "experiments_data/t/threshold.json").higher_is_generated
    told = capsys.readouterr().out
    assert "the AUROC of score is 0.0000" in told
    assert "threshold.direction=lower" in told
    run(f"threshold.input={tmp_path / 'few.npz'}", "threshold.direction=lower")
    assert not load(tmp_path / "experiments_data/t/threshold.json").higher_is_generated
    assert "warning" not in capsys.readouterr().out
    lines = [f"{k},{1 - 0.1 * k:.1f},{-k},True,{k % 2}" for k in range(8)]
    (tmp_path / "predict.csv").write_text("\n".join(["id,score,logit,generated,label", *lines]))
    run(f"threshold.input={tmp_path / 'predict.csv'}")
    assert load(tmp_path / "experiments_data/t/threshold.json").higher_is_generated


def test_a_direction_that_the_images_do_not_show_is_refused_or_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    kept, few = tmp_path / "experiments_data/t/threshold.json", np.arange(8) % 2
    file = table(tmp_path, [0.5] * 8, few)
    with pytest.raises(DataError, match=r"8 images do not show.*\n.*threshold\.direction=higher"):
        run(f"threshold.input={file}")
    assert not kept.exists()
    run(f"threshold.input={file}", "threshold.direction=higher")
    for scores, side in (([0.1, 0.2, 0.3, 0.25, 0.4, 0.15, 0.2, 0.3], "lower"), ([2, 3, 3, 1, 4, 5, 5, 6], "higher")):
        capsys.readouterr()
        run(f"threshold.input={table(tmp_path, scores, few)}")
        assert f"{side} is used, which may be chance" in capsys.readouterr().out
        assert "may be chance" in json.loads(kept.read_text())["direction"]
        assert load(kept).higher_is_generated == (side == "higher")
    run(f"threshold.input={table(tmp_path, -SCORES)}")
    assert "chance" not in capsys.readouterr().out
    assert not load(kept).higher_is_generated


def test_the_images_it_was_chosen_on_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    window = tmp_path / "experiments_data/t/window_0"
    dumped(window / "predictions_test_all.npz", SCORES, stage="test")
    with pytest.raises(DataError, match="task=validate experiment_id=t"):
        run()
    run("threshold.input=t")
    assert "chosen on test images" in capsys.readouterr().out
    assert json.loads((window.parent / "threshold.json").read_text())["chosen_on"] == "test"
    dumped(window / "predictions_validate_all.npz", SCORES)
    assert not list(check(compose(["task=threshold", "experiment_id=t"])))
    for words in (["threshold.input=t"], [], ["threshold.rule=youden"]):
        run(*words)
        told = capsys.readouterr().out
        assert "chosen on test images" not in told
        assert ("old name of balanced_accuracy" in told) == bool(words and "youden" in words[0])
        assert json.loads((window.parent / "threshold.json").read_text())["chosen_on"] == "validate"


def test_a_conformal_threshold_bounds_false_alarms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    file = table(tmp_path, group=[f"photo{k // 2}" for k in range(60)], source=["a", "a", "b", "b"] * 15)
    run(f"threshold.input={file}", "threshold.rule=conformal", "threshold.fpr=0.1")
    chosen = load(tmp_path / "experiments_data/t/threshold.json")
    real = SCORES[LABELS == 0].astype(np.float32)
    assert chosen.rule == "conformal"
    assert chosen.value == np.sort(real)[27]  # 28 = ⌈31 · 0.9⌉ of 30 photographs with one real image each
    assert chosen.p_values(np.array([real.max()])).tolist() == [2 / 31]
    assert "At most 10.00% of new real photographs" in capsys.readouterr().out
    run(f"threshold.input={file}", "threshold.rule=conformal", "threshold.fpr=0.1", "threshold.by=source")
    by_source = load(tmp_path / "experiments_data/t/threshold.json")
    assert sorted(by_source.calibration) == ["a", "b"]
    assert by_source.value >= chosen.value
    with pytest.raises(DataError, match=r"30 real photographs cannot bound the false-positive rate at 0\.01"):
        run(f"threshold.input={file}", "threshold.rule=conformal")


def test_a_conformal_threshold_needs_real_images_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    scores = SCORES.astype(np.float32)
    run(f"threshold.input={table(tmp_path, scores)}", "threshold.rule=conformal", "threshold.fpr=0.1")
    both = load(tmp_path / "experiments_data/t/threshold.json")
    real = scores[LABELS == 0]
    alone = table(tmp_path, real, np.zeros(30, int))
    words = [f"threshold.input={alone}", "threshold.rule=conformal", "threshold.fpr=0.1"]
    with pytest.raises(DataError, match="no generated image to show whether higher or lower values of D0"):
        run(*words)
    capsys.readouterr()
    run(*words, "threshold.direction=higher")
    found = load(tmp_path / "experiments_data/t/threshold.json")
    assert (found.value, found.fpr, found.calibration) == (both.value, both.fpr, both.calibration)
    assert np.isnan([found.tpr, found.auroc, found.balanced_accuracy]).all()
    assert json.loads((tmp_path / "experiments_data/t/threshold.json").read_text())["chosen"]["tpr"] is None
    printed = capsys.readouterr().out
    assert "real images alone: AUROC, balanced accuracy and true positive rate are unknown" in printed
    assert "nan" not in printed
    assert "the rates of the threshold are unknown" in _expected(found, 0.01)
    table(tmp_path, -real, np.zeros(30, int))
    run(*words, "threshold.direction=lower")
    assert load(tmp_path / "experiments_data/t/threshold.json").value == -found.value
    dump = from_crops(real, np.arange(30), np.zeros(30, int), np.zeros(30, int), [*"abcdefghijklmnopqrstuvwxyz1234"],
                      generator_id_to_name=[""])  # fmt: skip
    write_predictions(tmp_path / "real.npz", dump)
    run("threshold.input=real.npz", "threshold.column=logit", *words[1:])
    assert load(tmp_path / "experiments_data/t/threshold.json").value == pytest.approx(found.value, abs=1e-6)
    with pytest.raises(DataError, match="no generated image has a D0"):
        run(f"threshold.input={alone}", "threshold.rule=fpr_5")
