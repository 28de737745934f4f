"""A look at data sets of every kind."""

import csv

import numpy as np
import pytest
from browser import CHROMIUM, barriers, opened
from PIL import Image
from synthetic import hdf5, parquet, picture

from benchmarks.drawing.svg import round_ticks
from benchmarks.exploring.explore import explore
from benchmarks.exploring.files import write_files
from benchmarks.exploring.groups import UNNAMED, group_names, groups_of, kinds_of
from benchmarks.exploring.page import render
from datamodules.auditing.metadata import read_metadata
from datamodules.folder import FolderDataModule
from datamodules.hdf5 import Hdf5DataModule
from datamodules.loading.pixels import pixels_of
from datamodules.loading.stores import FileStore
from datamodules.parquet import ParquetDataModule
from datamodules.tables.manifest import Manifest
from datamodules.tables.turns import in_turns
from datamodules.trees import TreeDataModule
from tasks.explore import mean_residual

EVIL = '<script>alert(1)</script>"&\u202e'
COLUMNS = {"id": "id", "image": "image", "label": "label", "generator": "generator", "split": "split"}


def looked(module, images=2000, workers=1, seed=0):
    return explore(module.manifest(), module.store(), mean_residual, images, seed, module.max_pixels, workers)


def page_of(look, module):
    return render(look, lambda row: pixels_of(module.store().read(row)), module.path, "Data")


def rows_of(path):
    return list(csv.DictReader(path.open(newline="")))


class Files:
    """Files with their columns, as a data module has them."""

    max_pixels = 10**7

    def __init__(self, folder, **columns):
        self.path = folder
        self._manifest = Manifest.from_columns(columns)

    def manifest(self):
        return self._manifest

    def store(self):
        return FileStore(self._manifest)


def tree(folder):
    rng = np.random.default_rng(0)
    for k in range(24):
        file = folder / ("train", "test")[k % 3 == 0] / ("0_real", "1_fake")[k % 2] / f"{k}.{('jpg', 'png')[k % 4 > 1]}"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(rng, 40, bool(k % 2))).save(file)
    return folder


MODULES = {
    "parquet": lambda folder: ParquetDataModule(parquet(folder, {"train": 20, "test": 12}), COLUMNS),
    "hdf5": lambda folder: Hdf5DataModule(hdf5(folder / "a.h5", {"train": 12, "valid": 6})),
    "tree": lambda folder: TreeDataModule(tree(folder)),
    "folder": lambda folder: FolderDataModule(tree(folder)),
}


@pytest.mark.parametrize("kind", MODULES)
def test_every_data_module_has_a_page_and_files_that_agree_with_its_manifest(kind, tmp_path):
    module = MODULES[kind](tmp_path)
    manifest, look = module.manifest(), looked(module)
    page = page_of(look, module)
    assert "<script" not in page
    assert "default-src 'none'" in page
    assert look.failed == {}
    for file in write_files(look, tmp_path):
        assert file.read_text().count("\n") >= 1
    counts = rows_of(tmp_path / "counts.csv")
    assert sum(int(row["images"]) for row in counts) == len(manifest)
    for row in counts:
        same = (manifest.column("split") == row["split"]) & (manifest.labels == int(row["label"]))
        assert int(row["images"]) == (same & (manifest.column("generator") == row["generator"])).sum()
    images = {row["id"]: row for row in rows_of(tmp_path / "images.csv")}
    assert len(images) == len(manifest)
    for k in range(0, len(manifest), 5):
        content = module.store().read(k)
        row, pixels = images[manifest.image_id(k)], pixels_of(content)
        assert (int(row["height"]), int(row["width"])) == pixels.shape[:2]
        assert row["bytes"] == ("" if kind == "hdf5" else str(len(content)))
    sample = rows_of(tmp_path / "sample.csv")
    assert len(sample) == len(manifest)
    residual = {label: [float(r["npr_residual"]) for r in sample if r["label"] == label] for label in "01"}
    if kind in ("parquet", "hdf5"):  # PNG or pixels: a generated image repeats every pixel twice in both directions
        assert set(residual["1"]) == {0.0}
        assert min(residual["0"]) > 10
    assert "no file" not in page


def test_the_notebooks_four_pictures_are_there(tmp_path):
    module = MODULES["parquet"](tmp_path)
    look = looked(module)
    page, labels = page_of(look, module), module.manifest().labels
    grid, generated = look.grids
    assert (len(set(grid)), len(generated)) == (16, 9)
    assert (labels[generated] == 1).all()
    assert set(labels[grid]) == {0, 1}
    for title in ("<h3>Labels</h3>", "<h3>Labels by split</h3>", "16 of all images", "9 generated images"):
        assert title in page
    assert 'title="generated: 10"' in page  # of the 20 training images
    other = looked(module, seed=1).grids
    assert other != look.grids == looked(module).grids


def test_the_result_depends_neither_on_workers_nor_on_the_order_of_rows(tmp_path):
    module = MODULES["tree"](tmp_path)
    one, two = looked(module, 18, 1), looked(module, 18, 2)
    assert page_of(one, module).partition("Written")[0] == page_of(two, module).partition("Written")[0]
    assert np.array_equal(one.measured.spectra, two.measured.spectra)
    assert one.sampled == 18


def test_identical_images_as_real_and_generated_differ_in_nothing(tmp_path):
    rng = np.random.default_rng(0)
    files = []
    for k in range(24):
        Image.fromarray(picture(rng, 32, False)).save(tmp_path / f"{k}.png")
        files += [str(tmp_path / f"{k}.png")] * 2
    module = Files(
        tmp_path,
        id=[f"i{k}" for k in range(48)],
        label=[0, 1] * 24,
        where=files,
        group=[f"g{k // 2}" for k in range(48)],
    )
    look = looked(module)
    assert np.array_equal(look.measured.spectra[0], look.measured.spectra[1])
    write_files(look, tmp_path)
    curves = rows_of(tmp_path / "spectrum.csv")
    assert [r["mean_log10_power"] for r in curves if r["label"] == "0"] == [
        r["mean_log10_power"] for r in curves if r["label"] == "1"
    ]
    assert [r["bits"] for r in rows_of(tmp_path / "near.csv")] == ["0"] * 24
    assert all(rule.auroc == 0.5 for rule in look.rules)
    assert page_of(look, module).count("0 bits apart, of two labels") == 24


def test_unreadable_images_are_listed_and_names_are_text(tmp_path):
    rng = np.random.default_rng(0)
    files = []
    for k in range(12):
        file = tmp_path / f"{k}.png"
        Image.fromarray(picture(rng, 32, bool(k % 2))).save(file)
        files.append(file)
    files[3].write_bytes(b"no image")
    files[4].write_bytes(files[4].read_bytes()[:700])  # the header is whole
    files[5].unlink()
    module = Files(
        tmp_path, id=[f"{EVIL}{k}" for k in range(12)], label=[0, 1] * 6, where=[str(file) for file in files],
        generator=["", EVIL * 20] * 6, split=["train", ""] * 6,
    )  # fmt: skip
    look = looked(module)
    page = page_of(look, module)
    assert list(look.failed) == [3, 4, 5]
    unreadable = page[page.index('<section id="unreadable">') :]
    for row, reason in look.failed.items():
        assert str(files[row]) in unreadable
        assert reason
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;") > 10
    write_files(look, tmp_path)
    assert {r["split"]: (r["images"], r["unreadable"]) for r in rows_of(tmp_path / "counts.csv")} == {
        "train": ("6", "1"), "": ("6", "2"),
    }  # fmt: skip
    few = looked(module, 1)  # the damaged image is found when it is to be shown
    page_of(few, module)
    assert sorted(few.failed) == [3, 4, 5]


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here to look at the page with")
def test_the_page_has_no_barrier(tmp_path):
    module = TreeDataModule(tree(tmp_path))
    (tmp_path / "index.html").write_text(page_of(looked(module), module))
    with opened((tmp_path / "index.html").as_uri()) as page:
        assert barriers(page) == []


def test_one_image_of_unknown_label_that_is_smaller_than_anything(tmp_path):
    Image.new("L", (1, 1), 7).save(tmp_path / "a.png")
    module = Files(tmp_path, id=["a"], label=[-1], where=[str(tmp_path / "a.png")])
    look = looked(module)
    assert (look.groups, look.rules, len(look.pairs)) == (["unknown"], [], 0)
    page = page_of(look, module)
    for text in ("There is no rule", "There are none in the sample", "No image of the sample has a 2 × 2 block"):
        assert text in page


def test_a_header_says_what_decoding_says(tmp_path):
    rng = np.random.default_rng(0)
    names = {"4:4:4": "4:4:4", "4:2:2": "4:2:2", "4:2:0": "4:2:0"}
    for sampling, name in names.items():
        Image.fromarray(picture(rng, 48, False)).save(tmp_path / "a.jpg", subsampling=sampling, quality=83)
        whole, header = (read_metadata((tmp_path / "a.jpg").read_bytes(), hashes=hashes) for hashes in (True, False))
        assert (header.chroma, header.tables, header.digest) == (name, "IJG q83", "")
        fields = ("format", "width", "height", "nbytes", "quality", "tables", "nearest", "distance", "notes", "chroma")
        assert [getattr(whole, f) for f in fields] == [getattr(header, f) for f in fields]
    Image.new("L", (9, 9)).save(tmp_path / "b.jpg")
    assert read_metadata((tmp_path / "b.jpg").read_bytes(), hashes=False).chroma == "gray"


def test_the_residual_is_that_of_the_detector_on_whole_blocks():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    blocks = pixels[:4, :6].astype(float)
    first = blocks[::2, ::2].repeat(2, 0).repeat(2, 1)
    assert mean_residual(pixels) == pytest.approx(np.abs(blocks - first).mean(), abs=1e-5)
    assert np.isnan(mean_residual(pixels[:1]))
    large = rng.integers(0, 256, (301, 271, 3), dtype=np.uint8).repeat(2, 0).repeat(2, 1)
    assert mean_residual(large) == 0  # whatever part of it is measured


@pytest.mark.parametrize("labels", [(0, 1, -1), (1, -1), (0, -1), (0, 1), (1,)])
def test_each_image_belongs_to_its_group(labels):
    wanted = [(label, name) for label in labels for name in (("b", "", "a") if label == 1 else ("",)) for _ in range(2)]
    order = np.random.default_rng(0).permutation(len(wanted))
    wanted = [wanted[k] for k in order]
    manifest = Manifest.from_columns(
        {"id": [str(k) for k in order], "label": [y for y, _ in wanted], "generator": [g for _, g in wanted]}
    )
    names, kinds = group_names(manifest), kinds_of(manifest)
    found = [(kinds[g], names[g]) for g in groups_of(manifest)]
    title = {(0, ""): "real", (-1, ""): "unknown", (1, ""): UNNAMED}
    assert found == [(label, title.get((label, name), name)) for label, name in wanted]


def test_groups_take_turns_in_an_order_of_their_ids():
    labels, makers = [0] * 50 + [1] * 7 + [-1] * 2, [""] * 50 + ["a"] * 4 + ["b"] * 3 + [""] * 2
    manifest = Manifest.from_columns({"id": [f"i{k}" for k in range(59)], "label": labels, "generator": makers})
    order = in_turns(manifest, np.arange(59), "x", 1)
    assert sorted(order) == list(range(59))
    assert {(labels[row], makers[row]) for row in order[:4]} == {(0, ""), (1, "a"), (1, "b"), (-1, "")}
    assert order != in_turns(manifest, np.arange(59), "x", 2)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3.2, 7), (0.001, 0.0012), (5, 5), (1, 20_000)])
def test_ticks_are_round_and_within_the_range(low, high):
    ticks = round_ticks(low, high)
    assert 1 <= len(ticks) <= 7
    assert all(low - 1e-9 <= t <= high + 1e-9 for t in ticks)
