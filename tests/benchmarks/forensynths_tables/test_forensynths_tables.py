"""The published tables: their files, which images belong to which set, what is measured and written."""

import csv
from dataclasses import replace
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

from benchmarks.forensynths_tables.assign import Assigned, assign
from benchmarks.forensynths_tables.protocol import ForenSynthsTables
from benchmarks.forensynths_tables.published import load, names
from benchmarks.forensynths_tables.render import authors_form, latex, markdown, terminal
from benchmarks.forensynths_tables.results import measured
from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.metrics import accuracy, auroc, average_precision
from benchmarks.predictions import Predictions, from_crops, write_predictions
from contracts.errors import ConfigError, DataError
from contracts.view import View
from datamodules.tables.manifest import Manifest

TABLES = [load(name) for name in names()]


def test_the_seven_tables_and_their_sets() -> None:
    assert {name: len(load(name).sets) for name in names() if name != "sample"} == {
        "aigcdetectbenchmark": 16, "diffusion1kstep": 5, "diffusionforensics": 8, "forensynths": 8,
        "gangen_detection": 9, "genimage": 7, "universalfakedetect": 8,
    }  # fmt: skip
    assert load("forensynths").published["NPR"].mean == (92.5, 96.1)
    assert load("diffusionforensics").figures("NPR", "sdv1") == (97.4, 99.8)
    assert load("aigcdetectbenchmark").figures("NPR", "WFIR") == (60.7, None)
    assert load("aigcdetectbenchmark").figures("RPTC", "WFIR") == (None, None)
    assert load("gangen_detection").size_policy == "native"


@pytest.mark.parametrize(
    ("table", "method"), [(table.name, method) for table in TABLES for method, c in table.published.items() if c.sets]
)
def test_figures_agree_with_the_printed_mean(table: str, method: str) -> None:
    column = load(table).published[method]
    for k in (0, 1):
        figures = [value for pair in column.sets if (value := pair[k]) is not None]
        if figures:
            assert np.mean(figures) == pytest.approx(column.mean[k], abs=0.065)  # each was rounded to a decimal


def found(sources: dict[str, tuple[str, int]], tables: Any = TABLES) -> dict[str, dict[str, list[str]]]:
    """Table → set → sources of its images, for one image a source."""
    rows = list(sources)
    made = assign(rows, [sources[r][0] for r in rows], np.array([sources[r][1] for r in rows]), tables)
    return {a.table.name: {name: [rows[k] for k in images] for name, images in a.sets.items()} for a in made}


def test_sets_go_to_the_table_whose_folder_they_lie_in() -> None:
    assert found(
        {
            "ForenSynths_test/progan/car": ("progan", 1),
            "AIGCDetectBenchmark/progan/cat": ("progan", 1),
            "Diffusion1kStep/ddpm": ("ddpm", 1),
            "DiffusionForensics/ddpm": ("ddpm", 1),
            "DiffusionForensics/sdv1_new": ("sdv1_new", 1),
            "DiffusionForensics/midjourney": ("midjourney", 1),
        }
    ) == {
        "aigcdetectbenchmark": {"ProGAN": ["AIGCDetectBenchmark/progan/cat"]},
        "diffusion1kstep": {"ddpm": ["Diffusion1kStep/ddpm"]},
        "diffusionforensics": {"ddpm": ["DiffusionForensics/ddpm"], "sdv1": ["DiffusionForensics/sdv1_new"]},
        "forensynths": {"progan": ["ForenSynths_test/progan/car"]},
    }


def test_loose_sets_go_to_the_table_that_they_fill_best() -> None:
    eight = {name: (name, 1) for name in load("forensynths").sets}
    assert list(found(eight)) == ["forensynths"]
    sixteen = {(more or (name,))[0]: ("x", 1) for name, more in load("aigcdetectbenchmark").sets.items()}
    assert {name: len(sets) for name, sets in found(sixteen).items()} == {"aigcdetectbenchmark": 16}
    assert list(found({name: (name, 1) for name in ("progan", "biggan")})) == ["forensynths"]  # 2 of 8, not 2 of 16
    genimage = ["ADM", "BigGAN", "glide", "Midjourney", "VQDM", "wukong"]
    genimage += ["stable_diffusion_v_1_4", "stable_diffusion_v_1_5"]
    assert len(found({f"{name}/imagenet_x": (name, 1) for name in genimage})["genimage"]) == 7
    assert list(found({"whichfaceisreal": ("x", 1)})) == ["aigcdetectbenchmark"]
    assert found({"nothing": ("known", 1)}) == {}


def test_real_images_are_found_where_a_table_shares_them() -> None:
    ufd = {"guided": ("guided", 1), "dalle": ("dalle", 1), "imagenet": ("", 0), "laion": ("", 0)}
    assert found({f"diffusion_datasets/{k}": v for k, v in ufd.items()})["universalfakedetect"] == {
        "dalle": ["diffusion_datasets/dalle", "diffusion_datasets/laion"],
        "guided": ["diffusion_datasets/guided", "diffusion_datasets/imagenet"],
    }
    dire = {"lsun_bedroom/adm": ("adm", 1), "lsun_bedroom/pndm": ("pndm", 1), "lsun_bedroom": ("", 0)}
    assert found(dire)["diffusionforensics"] == {
        "adm": ["lsun_bedroom/adm", "lsun_bedroom"],
        "pndm": ["lsun_bedroom/pndm", "lsun_bedroom"],
    }


def dump(threshold: float | None = 0.3) -> Predictions:
    """Two whole sets of ForenSynths, one of generated images alone, and a set the table does not know."""
    rng = np.random.default_rng(0)
    source, labels, name = [], [], []
    for folder, kinds in (("progan/car", (0, 1)), ("biggan", (0, 1)), ("gaugan", (1,)), ("crn", (0, 1))):
        for k in range(24):
            label = kinds[k % len(kinds)]
            source.append(f"ForenSynths/{folder}")
            labels.append(label)
            name.append(folder.split("/")[0] if label else "")
    generators = ["", *sorted(set(name) - {""})]
    return from_crops(
        rng.normal(2.0 * np.array(labels) - 1, 1.5),
        np.arange(len(labels)),
        np.array(labels),
        np.array([generators.index(g) for g in name]),
        [f"{s}/{k}" for k, s in enumerate(source)],
        generator_id_to_name=generators,
        source=source,
        provenance={"threshold": threshold},
    )


def assigned(predictions: Predictions) -> Assigned:
    (one,) = assign(predictions.source, predictions.generators, predictions.fused_labels, TABLES)
    return one


def test_measured_sets_equal_the_plain_metrics_and_the_mean_names_what_it_leaves_out() -> None:
    predictions = dump()
    one = assigned(predictions)
    assert one.missing == ("stylegan", "stylegan2", "cyclegan", "stargan", "deepfake")
    assert one.others == ("crn",)
    results = measured(predictions, one, Bootstrap(50))
    scores = predictions.fused_scores.astype(np.float64)
    for name in ("progan", "biggan"):
        images = np.flatnonzero(np.char.find(predictions.source, name) >= 0)
        own, truth = scores[images], predictions.fused_labels[images]
        for metric, at, value in (
            ("accuracy", "0.5", accuracy(own, truth)),
            ("accuracy", "validation", accuracy(own, truth, 0.3)),
            ("average_precision", "", average_precision(own, truth)),
            ("auroc", "", auroc(own, truth)),
        ):
            result = results.of(name, metric, at)
            assert result is not None
            assert result.value == pytest.approx(value)
            assert result.low <= value <= result.high
    single = results.of("gaugan", "auroc")
    assert single is not None
    assert isnan(single.value)
    assert single.reason == "no real images"
    mean, parts = results.of("", "auroc"), [results.of(name, "auroc") for name in ("progan", "biggan")]
    assert mean is not None
    assert mean.value == pytest.approx(np.mean([part.value for part in parts if part]))
    assert mean.reason == "without gaugan"
    assert 0 < mean.high - mean.low < max(part.high - part.low for part in parts if part)
    whole, fakes = results.of("", "accuracy", "0.5"), results.of("gaugan", "recall", "0.5")
    assert whole is not None
    assert whole.generated == 12 + 12  # an accuracy of fakes alone is no match for a published one of both classes
    assert fakes is not None
    assert fakes.value == (scores[np.char.find(predictions.source, "gaugan") >= 0] > 0.5).mean()


def test_written_forms(tmp_path: Path) -> None:
    predictions = dump()
    write_predictions(tmp_path / "mine/window_0/predictions_test_all.npz", predictions)
    benchmark = ForenSynthsTables(seed=0)
    shown, others = benchmark.summarise(tmp_path / "mine")
    assert (shown.row_count, others.row_count) == (9, 2)  # crn, which the table does not name, and the mean
    assert "| crn | 24 |" in (tmp_path / "mine/tables/forensynths_others.md").read_text()
    with (tmp_path / "mine/tables/forensynths.csv").open() as file:
        rows = {(row["set"], row["metric"], row["at"]): row for row in csv.DictReader(file)}
    row = rows["progan", "accuracy", "0.5"]
    assert float(row["published"]) == 0.998
    assert float(row["difference"]) == pytest.approx(float(row["value"]) - 0.998)
    assert float(rows["mean", "average_precision", ""]["published"]) == pytest.approx(
        (100 + 94.5) / 200
    )  # gaugan has no AP here
    assert rows["deepfake", "", ""]["reason"] == "missing"
    assert rows["gaugan", "average_precision", ""]["value"] == ""
    text = (tmp_path / "mine/tables/forensynths.md").read_text()
    assert "| stargan | missing |" in text
    assert "issue 26" in text
    assert "| Ojha | 99.7/100.0 |" in text
    assert "left out of the mean: stylegan, stylegan2" in text
    assert r"Ojha & 99.7/100.0 &" in (tmp_path / "mine/tables/forensynths.tex").read_text()
    lines = (tmp_path / "mine/results/mine_forensynths.txt").read_text().splitlines()
    value = 100 * float(row["value"])
    assert lines[1].startswith(f"(0       progan) acc: {value:.1f}; ap: ")
    assert lines[3] == "(2    stylegan2) missing"
    assert "(6       gaugan)" in lines[7]
    assert "ap: -" in lines[7]
    assert lines[9].startswith("(8         Mean) acc: ")


def test_a_set_without_mistakes_has_wilsons_interval_of_its_photographs() -> None:
    predictions = dump()
    scores = np.where(predictions.fused_labels == 1, 0.9, 0.1).astype(np.float32)
    results = measured(replace(predictions, fused_scores=scores), assigned(predictions), Bootstrap(20))
    found = results.of("biggan", "accuracy", "0.5")
    assert found is not None
    known = binomtest(24, 24).proportion_ci(method="wilson")
    assert (found.value, found.low, found.high) == pytest.approx((1, known.low, 1))


def test_a_table_without_published_figures_or_validation_threshold() -> None:
    predictions = dump(threshold=None)
    results = measured(predictions, assigned(predictions), Bootstrap(20))
    for text in (markdown(results, "BiHPF"), latex(results, "NPR"), authors_form(results)):
        assert "val." not in text
    assert len(terminal(results, "none").columns) == 7  # set, n, ACC, AP, AUROC, real, fake


def manifest(*rows: tuple[str, int]) -> Manifest:
    return Manifest.from_columns(
        {
            "id": [str(k) for k in range(len(rows))],
            "label": [label for _, label in rows],
            "generator": [source.split("/")[-1] if label else "" for source, label in rows],
            "source": [source for source, _ in rows],
            "split": ["test"] * len(rows),
        }
    )


def test_each_table_is_looked_at_by_its_own_size_policy() -> None:
    images = manifest(
        ("ForenSynths/progan", 0), ("GANGen-Detection/STGAN", 1), ("elsewhere", 1), ("ForenSynths/progan", 1),
        ("sample_tree/style-26", 1), ("GenImage/ADM/imagenet_x", 1),
    )  # fmt: skip
    benchmark = ForenSynthsTables(seed=0)
    rows = benchmark.test_rows(images)
    assert rows.tolist() == [0, 1, 2, 3, 4, 5]
    own = View(resize=32)
    passes = {view: part.tolist() for view, part in benchmark.passes(images, rows, own)}
    assert passes == {View(resize=256): [0, 3], View(): [1], own: [2, 4], View(crop=224): [5]}
    passes = {view: part.tolist() for view, part in benchmark.passes(images, rows, View(resize=256))}
    assert passes == {View(resize=256): [0, 2, 3, 4], View(): [1], View(crop=224): [5]}  # alike is seen alike
    passes = dict(ForenSynthsTables(seed=0, size_policy="native").passes(images, rows, own))
    assert list(passes) == [View()]
    few = ForenSynthsTables(seed=0, tables=["gangen_detection"])
    with pytest.warns(UserWarning, match=r"5 test images belong to no set of benchmark\.tables.*elsewhere"):
        assert few.test_rows(images).tolist() == [1]
    with pytest.raises(DataError, match=r"sets \(elsewhere\)"):
        benchmark.test_rows(images.take([2]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tables": ["forensynth"]}, "'forensynths'"),
        ({"size_policy": "nativ"}, "'native'"),
        ({"method": "NPRR"}, "'NPR'"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ForenSynthsTables(seed=0, **options)
