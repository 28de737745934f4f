"""Attribution figures against brute force, and submissions against their folder."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score

from benchmarks.attribution.measures import Attribution, attribution
from benchmarks.attribution.submission import write_submission
from benchmarks.attribution.tables import markdown, rich_table, tidy_csv
from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.intervals.clusters import strata_of_classes
from benchmarks.predictions import from_crops, read_predictions, write_predictions
from contracts.errors import DataError

CLASSES = ("var16", "var20", "rarb", "outlier")
FAMILIES = {"var16": "var", "var20": "var", "rarb": "rar"}


def answers(seed=0, n=90, levels=None):
    rng = np.random.default_rng(seed)
    truth = rng.integers(4, size=n)
    logits = rng.normal(size=(n, 4)) + 1.2 * np.eye(4)[truth]
    if levels:
        logits = np.round(logits * levels) / levels
    posterior = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    families = tuple(FAMILIES.get(name, "") for name in CLASSES)
    return Attribution(CLASSES, families, truth, posterior, np.array([f"i{k}" for k in range(n)]), np.arange(n))


def by_name(figures):
    return {(figure.metric, figure.of): figure for figure in figures}


@pytest.mark.parametrize("levels", [None, 1])
def test_figures_equal_brute_force(levels):
    a = answers(levels=levels)
    found = by_name(attribution(a, Bootstrap(resamples=20)))
    answer, alien = a.answer, a.truth == 3
    assert found["accuracy", ""].value == pytest.approx((answer == a.truth).mean())
    assert found["balanced_accuracy", ""].value == pytest.approx(balanced_accuracy_score(a.truth, answer))
    assert found["macro_f1", ""].value == pytest.approx(f1_score(a.truth, answer, average="macro"))
    own = np.isin(a.truth, (0, 1))
    assert found["family_accuracy", "var"].value == pytest.approx(np.isin(answer, (0, 1))[own].mean())
    assert found["variant_accuracy", "var"].value == pytest.approx((answer == a.truth)[own].mean())
    assert found["recall", "outlier"].value == pytest.approx((answer == 3)[alien].mean())
    known = np.logaddexp.reduce(a.log_posterior[:, :3], axis=1) - a.log_posterior[:, 3]
    assert found["known_auroc", ""].value == pytest.approx(roc_auc_score(~alien, known))
    best, right = a.log_posterior[:, :3].max(1), a.log_posterior[:, :3].argmax(1) == a.truth
    pairs = [
        right[i] * ((best[i] > best[j]) + 0.5 * (best[i] == best[j]))
        for i in np.flatnonzero(~alien)
        for j in np.flatnonzero(alien)
    ]
    assert found["oscr", ""].value == pytest.approx(np.mean(pairs))


def test_intervals_hold_the_value_and_shrink():
    few, many = (by_name(attribution(answers(n=n)))["accuracy", ""] for n in (60, 600))
    for figure in (few, many):
        assert figure.low < figure.value < figure.high
    assert many.high - many.low < 0.6 * (few.high - few.low)


def test_intervals_are_of_photographs_and_need_six_of_each_class():
    single = answers(n=90)
    twice = replace(
        single,
        truth=np.tile(single.truth, 2), log_posterior=np.tile(single.log_posterior, (2, 1)),
        ids=np.array([f"i{k}" for k in range(180)]), clusters=np.tile(single.clusters, 2),
    )  # fmt: skip
    for one, other in zip(attribution(single), attribution(twice), strict=True):
        assert (other.value, other.low, other.high) == pytest.approx(
            (one.value, one.low, one.high)
        )  # copies tell nothing
    few = replace(single, clusters=np.where(single.truth == 1, single.clusters % 5, 10 + single.clusters))
    found = by_name(attribution(few, Bootstrap(resamples=20)))
    without = {key for key, figure in found.items() if np.isnan(figure.low)}
    assert without == {
        ("accuracy", ""), ("balanced_accuracy", ""), ("macro_f1", ""), ("family_accuracy", "var"),
        ("variant_accuracy", "var"), ("recall", "var20"), ("known_auroc", ""), ("oscr", ""),
    }  # fmt: skip


@pytest.mark.parametrize("alone", [[[1, 1, 0]], [[1, 1, 0], [0, 1, 1]]])
def test_a_photograph_of_several_classes_alone_is_resampled_with_others(alone):
    holds = np.array([[1, 0, 0]] * 3 + alone + [[0, 1, 0]] * 4, dtype=bool)
    found = strata_of_classes(holds)
    assert sorted(np.concatenate(found).tolist()) == list(range(len(holds)))
    assert min(map(len, found)) > 1


def test_a_dump_round_trip(tmp_path):
    """Truth: the generator if it is a class, outlier for real images and unknown generators, nothing for no label."""
    names = ["", "rarb", "stranger", "var16"]
    labels, generators = np.array([0, 1, 1, 1, -1]), np.array([0, 1, 2, 3, 0])
    multi = np.log(np.full((5, 4), 0.25, np.float32))
    predictions = from_crops(
        np.zeros(5, np.float32), np.arange(5), labels, generators, [f"i{k}" for k in range(5)],
        generator_id_to_name=names, fused_multi_logits=multi, crop_multi_logits=multi, class_names=CLASSES,
        provenance={"families": FAMILIES},
    )  # fmt: skip
    write_predictions(tmp_path / "p.npz", predictions)
    a = Attribution.of(read_predictions(tmp_path / "p.npz"))
    assert [CLASSES[k] for k in a.truth] == ["outlier", "rarb", "outlier", "var16"]
    assert a.families == ("var", "var", "rar", "")
    figures = attribution(a, Bootstrap(resamples=20))
    assert "known against outlier" in markdown(figures, a)
    assert tidy_csv(figures).startswith("metric,of,value")
    assert rich_table(figures).row_count == len(figures)


def test_a_detectors_dump_is_refused():
    predictions = from_crops(
        np.zeros(2, np.float32), np.arange(2), np.array([0, 1]), np.array([0, 1]), ["a", "b"],
        generator_id_to_name=["", "g"],
    )  # fmt: skip
    with pytest.raises(DataError, match="no scores of single generators"):
        Attribution.of(predictions)


FILES = ["b.png", "a.png", "c.png"]


def test_submission_round_trip(tmp_path):
    file = tmp_path / "submission.csv"
    write_submission(file, [("b.png", "rarb"), ("a.png", "outlier"), ("c.png", "var16")], FILES, CLASSES)
    assert file.read_bytes() == b"image_name,label\na.png,outlier\nb.png,rarb\nc.png,var16\n"


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ("a.png outlier b.png rarb b.png rarb c.png rarb", "1 name given more than once.*'b.png'"),
        ("a.png outlier b.png rarb", "1 of 3 files have no answer, 'c.png'"),
        ("a.png outlier b.png rarb c.png rarb d.png rarb", "1 answers belong to no file, 'd.png'"),
        ("a.png outlier b.png RARB c.png rarb", "b.png is answered 'RARB'"),
    ],
)
def test_bad_answers_are_refused_before_writing(tmp_path, answers, message):
    words = answers.split()
    with pytest.raises(DataError, match=message):
        write_submission(tmp_path / "s.csv", zip(words[::2], words[1::2], strict=True), FILES, CLASSES)
    assert not (tmp_path / "s.csv").exists()


def test_equal_file_names_are_refused_before_writing(tmp_path):
    with pytest.raises(DataError, match="given more than once among the files"):
        write_submission(tmp_path / "s.csv", [("a.png", "rarb")], ["a.png", "a.png"], CLASSES)
    assert not (tmp_path / "s.csv").exists()
