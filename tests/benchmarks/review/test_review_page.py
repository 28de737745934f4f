import csv
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from packed import payload
from synthetic_predictions import draw

from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.predictions import from_crops, write_predictions
from benchmarks.review import review
from benchmarks.review.gallery import worth_seeing
from benchmarks.review.join import join
from benchmarks.review.learning import learning_curves
from benchmarks.review.selective import risk_coverage_plot
from contracts.errors import DataError
from contracts.history import write_epoch

FEW = Bootstrap(resamples=20)
EVIL = "</script><b>"


def dump(tmp_path, name="a", **options):
    path = tmp_path / f"{name}.npz"
    write_predictions(path, draw(**options))
    return path


def pixels(image_id: str) -> np.ndarray:
    return np.full((8, 8, 3), sum(image_id.encode()) % 256, np.uint8)


def test_one_page_that_needs_nothing_else(tmp_path):
    made = review([dump(tmp_path)], tmp_path / "out", pixels, bootstrap=FEW)
    text = made.page.read_text()
    assert not re.search(
        r"(?:src|href|url|import|fetch)\s*[=(]\s*[\"']?(?:https?:|//|\.{0,2}/|[a-z]+\.(?:js|css))", text
    )
    assert "default-src 'none'" in text
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "index.html", "metrics.csv", "predictions.csv", "predictions.parquet", "table.md", "table.tex",
    ]  # fmt: skip
    assert made.problems == {}
    assert len(payload(made.page)["images"]) == 120
    for shown in (
        "drawn · test",
        "generators never seen in training",
        "gamma-10",
        "threshold",
        "60 real, 60 generated",
    ):
        assert shown in text


def test_originals_of_aligned_images_are_named_as_such(tmp_path):
    path = dump(tmp_path, provenance={"experiment": "drawn", "protocol": {"align": "jpeg"}})
    page = review([path], tmp_path / "out", pixels, bootstrap=FEW).page
    assert "scored after datamodule.align=jpeg; this page shows their originals" in page.read_text()
    assert payload(page)["dumps"][0]["aligned"] == "jpeg"
    other = review([dump(tmp_path, "b")], tmp_path / "other", pixels, bootstrap=FEW).page
    assert "this page shows their originals" not in other.read_text()


def test_the_export_is_tidy_and_exact(tmp_path):
    made = review([dump(tmp_path), dump(tmp_path, "b", seed=0, crops=3)], tmp_path / "out", pixels, bootstrap=FEW)
    table = pq.read_table(tmp_path / "out" / "predictions.parquet")
    p = draw()
    rows = table.filter(np.arange(table.num_rows) < 120).to_pydict()
    assert table.num_rows == 240
    assert rows["id"] == p.fused_ids.tolist()
    assert np.array_equal(np.array(rows["score"], np.float32), p.fused_scores)
    assert rows["correct"] == ((p.fused_scores > 0.4) == p.fused_labels).tolist()
    assert rows["generator"] == p.generators.tolist()
    with (tmp_path / "out" / "predictions.csv").open() as file:
        first = next(csv.DictReader(file))
    assert (first["dump"], first["id"], first["threshold"]) == (
        "drawn · test (" + tmp_path.name + ") #1",
        p.fused_ids[0],
        "0.4",
    )
    metrics = list(csv.DictReader((tmp_path / "out" / "metrics.csv").open()))
    assert {row["dump"] for row in metrics} == set(made.tables)


def test_dumps_are_joined_on_ids(tmp_path):
    whole = draw(images=12)
    write_predictions(tmp_path / "a.npz", whole.select(np.arange(8)))
    write_predictions(tmp_path / "b.npz", whole.select(np.array([11, 9, 3, 7])))
    joined = join([tmp_path / "a.npz", tmp_path / "b.npz"])
    assert joined.ids.tolist() == [*whole.fused_ids[:8].tolist(), whole.fused_ids[11], whole.fused_ids[9]]
    assert joined.place.tolist() == [[0, 1, 2, 3, 4, 5, 6, 7, -1, -1], [-1, -1, -1, 2, -1, -1, -1, 3, 0, 1]]
    assert joined.column("fused_labels").tolist() == whole.fused_labels[[*range(8), 11, 9]].tolist()
    assert np.isnan(joined.measured(1, "fused_scores")[0])
    assert joined.measured(1, "fused_scores")[3] == whole.fused_scores[3]


def test_dumps_that_contradict_each_other_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"disagree on the label of \d+ images?, first '"):
        join([dump(tmp_path), dump(tmp_path, "b", seed=5)])
    with pytest.raises(DataError, match="nothing to review"):
        join([])


def test_confidently_wrong_images_come_first_and_the_caps_hold(tmp_path):
    path = dump(tmp_path)
    joined = join([path])
    order, p = worth_seeing(joined), draw()
    assert sorted(order) == list(range(120))
    called = p.fused_scores > 0.4
    missed = np.flatnonzero((p.fused_labels == 1) & ~called)
    alarms = np.flatnonzero((p.fused_labels == 0) & called)
    assert order[0] == missed[np.argmin(p.fused_scores[missed])]
    assert order[1] == alarms[np.argmax(p.fused_scores[alarms])]
    wrong = called != p.fused_labels
    assert wrong[order[:10]].sum() >= 6
    assert worth_seeing(joined, 30)[:30] == order[:30]
    few = review([path], tmp_path / "few", pixels, bootstrap=FEW, max_images=7)
    assert sorted(map(int, payload(few.page)["images"])) == sorted(order[:7])
    assert len(payload(review([path], tmp_path / "tiny", pixels, bootstrap=FEW, max_bytes=150).page)["images"]) <= 2


def test_missing_images_are_reported_on_the_page(tmp_path):
    def absent(image_id):
        if image_id.endswith("1"):
            raise DataError("<the archive> is not mounted")
        return pixels(image_id)

    made = review([dump(tmp_path)], tmp_path / "out", absent, bootstrap=FEW)
    assert made.problems == {"<the archive> is not mounted": 12}
    assert "12 images without pixels: &lt;the archive&gt; is not mounted" in made.page.read_text()
    assert len(payload(made.page)["images"]) == 108


def test_what_data_say_cannot_become_script(tmp_path):
    evil = "</script><script>alert(1)</script><b class=evil>"
    path = dump(tmp_path, generators=(evil, "x"), provenance={"experiment": evil, "note": evil})
    text = review([path], tmp_path / "out", pixels, bootstrap=FEW).page.read_text()
    assert evil not in text
    assert text.count("</script>") == 3
    assert evil in payload(tmp_path / "out" / "index.html")["generator"]["values"]


@pytest.mark.parametrize("labels", [0, 1, -1])
def test_a_dump_of_one_class_or_without_labels_has_a_page(tmp_path, labels):
    p = draw(images=9)
    from benchmarks.predictions import from_crops

    made = from_crops(
        p.fused_logits, np.arange(9), np.full(9, labels), np.full(9, max(labels, 0)), p.fused_ids,
        generator_id_to_name=["", "g"],
    )  # fmt: skip
    write_predictions(tmp_path / "p.npz", made)
    assert "Gallery" in review([tmp_path / "p.npz"], tmp_path / "out", pixels, bootstrap=FEW).page.read_text()


def test_neither_torch_nor_lightning_nor_matplotlib_is_imported():
    code = (
        "import sys, benchmarks.review, benchmarks.tables, benchmarks.thresholds.rules;"
        "print({'torch', 'pytorch_lightning', 'matplotlib', 'pandas', 'torchvision', 'scipy'} & sys.modules.keys())"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


def test_a_tracers_page_mentions_outliers(tmp_path):
    count = np.arange(40)
    multi = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    traced = from_crops(
        multi[:, 1] - multi[:, 0], count, count % 2, count % 2, [str(k) for k in count],
        generator_id_to_name=["", "var16"], class_names=["outlier", "var16", "rarb"], fused_multi_logits=multi,
        crop_multi_logits=multi,
    )  # fmt: skip
    write_predictions(tmp_path / "traced.npz", traced)
    text = review([tmp_path / "traced.npz"], tmp_path / "out", pixels, bootstrap=FEW).page.read_text()
    for shown in (
        "20 outlier, 20 generated",
        "against all outliers",
        '"negative":"outlier"',
        "outlier, called generated",
    ):
        assert shown in text
    assert "real, called generated" not in text
    both = review([tmp_path / "traced.npz", dump(tmp_path)], tmp_path / "both", pixels, bootstrap=FEW).page.read_text()
    assert '"negative":"real"' in both


def test_learning_curves_of_a_dumps_stage_are_on_its_page(tmp_path):
    file = dump(tmp_path)
    write_epoch(
        tmp_path / "checkpoints", {"epoch": 0, "step": 3, "train/loss": 0.7, "val/loss": 0.69, "val/auroc": 0.5}
    )
    one = review([file], tmp_path / "one", pixels, bootstrap=FEW).page.read_text()
    assert "learning curves" not in one, "a single epoch is no curve"
    write_epoch(tmp_path / "checkpoints", {"epoch": 1, "step": 6, "train/loss": 0.5, "val/loss": 0.6})
    text = review([file], tmp_path / "out", pixels, bootstrap=FEW).page.read_text()
    curves = learning_curves(file)
    assert curves is not None
    assert curves in text
    assert re.findall('aria-label="learning curves: ([^"]+)"', curves) == ["loss", "validation"]
    assert re.findall("</i> ([^<]+)", curves) == ["train/loss", "val/loss", "val/auroc"]
    assert curves.count("<circle") == 1, "AUROC has one epoch"


def test_every_column_comes_back_from_the_page(tmp_path):
    count, rng = 70, np.random.default_rng(0)
    extra = {
        "float": np.where(np.arange(count) % 9, rng.normal(size=count), np.nan), "huge": rng.normal(size=count) * 1e300,
        "int": rng.integers(-300, 300, count), "big": rng.integers(0, 2**40, count), "flag": rng.random(count) < 0.5,
        "text": np.array(["", EVIL, "\u200fחיפה", "x" * 300, 'a "quote"'])[np.arange(count) % 5],
    }  # fmt: skip
    one = draw(images=count, crops=3, extra=extra)
    chosen = np.arange(10, count)[::-1]
    write_predictions(tmp_path / "a.npz", replace(one.select(np.arange(40)), extra={}))
    write_predictions(tmp_path / "b.npz", one.select(chosen))
    made = review([tmp_path / "a.npz", tmp_path / "b.npz"], tmp_path / "out", pixels, bootstrap=FEW)
    found = payload(made.page)
    joined = join([tmp_path / "a.npz", tmp_path / "b.npz"])
    assert found["ids"] == joined.ids.tolist()
    second, place = found["dumps"][1], {name: k for k, name in enumerate(one.fused_ids.tolist())}
    rows = np.array([place[name] for name in found["ids"]])
    held = ~np.isnan(second["score"])
    assert held.tolist() == (rows >= 10).tolist()
    assert np.array_equal(second["score"][held], one.fused_scores[rows[held]])
    for name, column in extra.items():
        packed, own = second["extra"][name], column[rows]
        known = packed["known"].astype(bool)
        if column.dtype.kind in "US" or name == "flag":
            texts = np.char.lower(own.astype(str)) if name == "flag" else own
            assert known.tolist() == held.tolist()
            assert np.array(packed["values"])[packed["codes"]][known].tolist() == texts[known].tolist()
        else:
            assert known.tolist() == (held & np.isfinite(own)).tolist()
            np.testing.assert_allclose(packed["numbers"][known], own[known], rtol=1e-7)
    crops = second["crops"]
    first, number = crops["start"]["numbers"][-1], crops["count"]["numbers"][-1]
    assert np.array_equal(crops["scores"][first : first + number], one.crop_scores.reshape(count, 3)[rows[-1]])


def test_many_images_have_intervals_only_if_they_are_asked_for(tmp_path, monkeypatch):
    path = dump(tmp_path)
    monkeypatch.setattr("benchmarks.review.page.LARGE", 119)
    page = review([path], tmp_path / "large", pixels).page
    assert "Intervals are left out above 119 images" in page.read_text()
    assert "Wilson's on" not in page.read_text()
    rows = list(csv.DictReader((page.parent / "metrics.csv").open()))
    assert {row["low"] for row in rows} == {""}
    asked = review([path], tmp_path / "asked", pixels, bootstrap=FEW).page
    values = [row["value"] for row in csv.DictReader((asked.parent / "metrics.csv").open())]
    assert values == [row["value"] for row in rows]
    assert "20 bootstrap samples" in asked.read_text()


def test_risk_and_coverage_are_drawn_from_the_metric() -> None:
    logits, labels = np.array([3.0, -2.0, 1.0, -0.5]), np.array([1, 0, 0, 1])
    dump = from_crops(logits, np.arange(4), labels, labels, list("abcd"), generator_id_to_name=["real", "x"])
    plot = risk_coverage_plot(['<a"b>'], [dump], None)
    assert "<title>&lt;a&quot;b&gt;</title>" in plot
    assert "<polygon" not in plot
    heights = [float(pair.split(",")[1]) for pair in re.findall(r'points="([^"]*)"', plot)[0].split()]
    assert (heights[0], heights[-1]) == (240.0, 10.0)  # two sure calls are right, half of all four are wrong
    assert "<polygon" in risk_coverage_plot(["a"], [dump], Bootstrap(20, level=0.5))
    assert "<polygon" not in risk_coverage_plot(["a"], [dump], Bootstrap(20))  # two photographs of a class
