"""``task=audit audit.against=[…]`` by the real command line: copies that were planted are found, and nothing else."""

import csv
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image
from synthetic_predictions import draw

from benchmarks.evaluation import evaluate
from benchmarks.predictions import Predictions, from_crops, write_predictions
from datamodules.auditing.overlap import COLUMNS as HASHES
from datamodules.tables.manifest import Manifest
from lightning_main import main

COUNT = 24


def scene(seed: int) -> Image.Image:
    """A smooth image, whose difference hash survives re-encoding."""
    small = np.random.default_rng(seed).integers(0, 256, (9, 9, 3)).astype(np.uint8)
    return Image.fromarray(small).resize((96, 96), Image.Resampling.BICUBIC)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def table(path: Path, rows: list[tuple[str, int, str, bytes]], split: str) -> None:
    path.parent.mkdir(exist_ok=True)
    made = [
        {"id": name, "label": label, "generator": generator, "split": split, "image": {"bytes": data}}
        for name, label, generator, data in rows
    ]
    pq.write_table(pa.Table.from_pylist(made), path)


COLUMNS = "{id:id,image:image,label:label,generator:generator,split:split}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Test images t0 … t23; the training set holds the bytes of t1 and a small JPEG of t2 (real) and t3 (gan-3)."""
    monkeypatch.chdir(tmp_path)
    names = ["", "gan-1", "", "gan-3"]
    tested = [(f"t{k}", k % 2, names[k % 4], saved(scene(k), "PNG")) for k in range(COUNT)]
    table(tmp_path / "test.parquet", tested, "test")
    small = [saved(scene(k).resize((64, 64)), "JPEG", quality=70) for k in (2, 3)]
    train = [(f"u{k}", k % 2, names[k % 4], saved(scene(100 + k), "PNG")) for k in range(COUNT)]
    train += [("same", 1, "gan-1", tested[1][3]), ("small-2", 0, "", small[0]), ("small-3", 1, "gan-3", small[1])]
    table(tmp_path / "train/a.parquet", train, "train")
    table(tmp_path / "train/b.parquet", [("unused", 0, "", tested[5][3])], "test")
    return tmp_path


WORDS = ["task=audit", "datamodule=parquet", "datamodule.path=test.parquet", f"datamodule.columns={COLUMNS}"]
FOUND = {("t1", "same", "True", "0"), ("t2", "small-2", "False"), ("t3", "small-3", "False")}


def copies(path: Path) -> set[tuple[str, ...]]:
    with path.open() as file:
        rows = list(csv.DictReader(file))
    return {(r["id"], r["copy"], r["exact"], *(("0",) if r["exact"] == "True" else ())) for r in rows}


def labelled_dump(folder: Path) -> Predictions:
    """A dump of the test images."""
    labels = np.arange(COUNT) % 2
    made = from_crops(
        draw(images=COUNT).fused_logits, np.arange(COUNT), labels, np.where(labels, 1 + np.arange(COUNT) % 4 // 3, 0),
        [f"t{k}" for k in range(COUNT)], generator_id_to_name=["", "gan-1", "gan-3"],
    )  # fmt: skip
    write_predictions(folder / "d.npz", made)
    return made


def experiment(folder: Path, data: str) -> None:
    """An experiment e with this data."""
    (folder / "experiments_data/e").mkdir(parents=True)
    columns = {name: name for name in ("id", "image", "label", "generator", "split")}
    node = {"_target_": "datamodules.parquet.ParquetDataModule", "path": str(folder / data), "columns": columns}
    (folder / "experiments_data/e/config.lock.yaml").write_text(yaml.safe_dump({"config": {"datamodule": node}}))


def test_planted_copies_are_found_and_figures_shown_without_them(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dump = labelled_dump(folder)
    experiment(folder, "train")
    (folder / "other.png").write_bytes(saved(scene(200), "PNG"))
    Manifest.from_columns({"id": ["x"], "label": [0], "where": ["other.png"]}).save(folder / "manifest.arrow")
    assert main([*WORDS, "audit.against=[e,manifest.arrow]", "audit.dump=d.npz", "audit.out=a"]) == 0
    assert copies(folder / "a/overlap.csv") == FOUND  # t5 is in the other set too, among its test images
    page = (folder / "a/overlap.md").read_text()
    assert "3 test images of 24 have a copy in another set" in page
    assert "| e | 27 | (real) | 12 | 0 | 1 | t2 = small-2 |" in page
    assert "| e | 27 | gan-1 | 6 | 1 | 0 | t1 = same |" in page
    assert "| manifest.arrow | 1 | (real) | 12 | 0 | 0 |  |" in page
    kept = dump.select(np.array([0, *range(4, COUNT)]))
    for which, n in ((dump, 24), (kept, 21)):
        auroc = next(r.value for r in evaluate(which, metrics=("auroc",)) if r.kind == "pooled")
        assert f"| {n} | {auroc:.3f} |" in page
    # the hashes just written take the place of the images
    (folder / "train").rename(folder / "away")
    capsys.readouterr()
    assert main([*WORDS, "audit.against=[a/hashes_1.parquet]", "audit.out=b"]) == 0
    assert copies(folder / "b/overlap.csv") == FOUND
    assert "audit.against can name that file" not in capsys.readouterr().out


def test_the_splits_that_count_and_the_copy_that_is_named(folder: Path) -> None:
    flat = [saved(Image.new("RGB", (40, 40), "gray"), kind) for kind in ("PNG", "BMP")]
    tested = [(f"t{k}", k % 2, "gan-1" * (k % 2), saved(scene(k), "PNG")) for k in range(COUNT)]
    table(folder / "mixed/a.parquet", [*tested, ("flat", 0, "", flat[0]), ("bad", 0, "", b"no image")], "test")
    table(folder / "mixed/b.parquet", [("own", 0, "", saved(scene(50), "PNG"))], "train")
    small = [saved(scene(k).resize((64, 64)), "JPEG", quality=70) for k in (1, 3)]
    other = [
        ("u", 0, "", saved(scene(50), "PNG")),
        ("near", 1, "gan-1", saved(scene(1), "BMP")),
        ("same", 1, "gan-1", tested[1][3]),
    ]
    table(folder / "other/a.parquet", [*other, ("flat-1", 0, "", flat[1]), ("flat-2", 0, "", flat[0])], "train")
    table(folder / "other/b.parquet", [("kept", 1, "gan-1", small[1])], "valid")
    labels = np.arange(COUNT) % 2
    logits = np.where(labels, 3.0, -3.0) + np.linspace(-1, 1, COUNT)
    logits[[1, 3]] = -9  # whose copies are in the other set
    names = [f"t{k}" for k in range(COUNT)]
    dump = from_crops(
        logits.astype(np.float32), np.arange(COUNT), labels, labels, names, generator_id_to_name=["", "gan-1"]
    )
    write_predictions(folder / "d.npz", dump)
    words = ["task=audit", "datamodule=parquet", "datamodule.path=mixed", f"datamodule.columns={COLUMNS}"]
    experiment(folder, "other")
    assert main([*words, "audit.against=[e]", "audit.dump=d.npz", "audit.out=a"]) == 0
    with (folder / "a/overlap.csv").open() as file:
        found = {row["id"]: (row["copy"], row["exact"], int(row["bits"])) for row in csv.DictReader(file)}
    assert {key: value[:2] for key, value in found.items()} == {
        "t1": ("same", "True"), "t3": ("kept", "False"), "flat": ("flat-2", "True"),
    }  # fmt: skip
    assert found["t1"][2] == found["flat"][2] == 0
    page = (folder / "a/overlap.md").read_text()
    assert "3 test images of 25 have a copy" in page
    assert "1 image could not be read and was not compared." in page
    change = re.search(r"all images \| AUROC \| 24 \| 0.833 \| 22 \| 1.000 \| \+0.167 \[\+(\S+), \+(\S+)\]", page)
    assert change
    assert float(change[1]) <= 0.167 <= float(change[2])


def test_no_image_of_a_set_without_splits_of_its_own_is_passed_over(folder: Path) -> None:
    rows = [{"id": f"u{k}", "label": k % 2, "image": {"bytes": saved(scene(k), "PNG")}} for k in range(COUNT)]
    pq.write_table(pa.Table.from_pylist(rows), folder / "plain.parquet")
    for name, out in (("parquet:plain.parquet", "a"), ("a/hashes_1.parquet", "b")):
        assert main([*WORDS, f"audit.against=[{name}]", f"audit.out={out}"]) == 0
        assert f"{COUNT} test images of {COUNT} have a copy" in (folder / out / "overlap.md").read_text()


def test_without_copies_every_resample_differs_by_nothing(folder: Path) -> None:
    labelled_dump(folder)
    table(folder / "else.parquet", [("x", 0, "", saved(scene(300), "PNG")), ("y", 0, "", b"no image")], "train")
    assert main([*WORDS, "audit.against=[parquet:else.parquet]", "audit.dump=d.npz", "audit.out=a"]) == 0
    page = (folder / "a/overlap.md").read_text()
    assert "0 test images of 24 have a copy" in page
    assert "1 image could not be read and was not compared." in page
    assert page.count("| +0.000 [+0.000, +0.000] |") == 6  # two metrics of all images and of each generator


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["audit.against=[sampl]"], 2, "'sampl' is neither an experiment, a file nor a data module"),
        (["audit.dump=d.npz"], 2, "audit.dump without audit.against"),
        (["audit.against=[d.parquet]"], 1, "is not a manifest|no column"),
        (["audit.against=[hashes.parquet]", "audit.dump=other.npz"], 1, "no image in common with the test images"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    folder: Path, words: list[str], code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pq.write_table(pa.table({"x": [1]}), folder / "d.parquet")
    write_predictions(folder / "other.npz", draw(images=6))
    columns: dict[str, Any] = {
        "id": ["a"],
        "label": [0],
        "generator": [""],
        "split": [""],
        "digest": ["0"],
        "dhash": [0],
    }
    pq.write_table(
        pa.table({key: pa.array(columns[key], kind) for key, kind in HASHES.items()}), folder / "hashes.parquet"
    )
    assert main([*WORDS, *words]) == code
    assert re.search(told, capsys.readouterr().err)
