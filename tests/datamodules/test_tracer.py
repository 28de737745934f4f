"""The tracer's layouts: folders per label, a flat folder, a table; classes and tokens."""

import numpy as np
import pytest
from PIL import Image

from contracts.errors import DataError
from datamodules.tracer import TracerDataModule


def save(path, level=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), level, np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path):
    for name in ("train/var16/a.png", "train/rarb/a.png", "val/outlier/a.png", "val/var16/b.png", "test/0.png"):
        save(tmp_path / name)
    return tmp_path


def test_folders_per_label_and_a_flat_test_folder(folder):
    manifest = TracerDataModule(folder).manifest()
    rows = zip(*(manifest.column(name) for name in ("id", "split", "label", "generator")), strict=True)
    assert sorted(rows) == [
        ("test/0.png", "test", -1, ""),
        ("train/rarb/a.png", "train", 1, "rarb"),
        ("train/var16/a.png", "train", 1, "var16"),
        ("val/outlier/a.png", "valid", 0, ""),
        ("val/var16/b.png", "valid", 1, "var16"),
    ]
    assert set(TracerDataModule(folder / "test").manifest().column("split")) == {"test"}


def test_an_unknown_label_is_reported_with_the_nearest(folder):
    save(folder / "train/Var16/x.png")
    with pytest.raises(DataError, match=r"label 'Var16' is unknown\n.*did you mean 'var16'"):
        TracerDataModule(folder, classes=["var16", "rarb"]).manifest()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: save(f / "train/var16/deep/x.png"), "is nested too deeply"),
        (lambda f: save(f / "valid/var16/x.png"), "several folders of split 'valid'"),
    ],
)
def test_odd_folders_are_reported(folder, change, message):
    change(folder)
    with pytest.raises(DataError, match=message):
        TracerDataModule(folder).manifest()


def test_nothing_there(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no images"):
        TracerDataModule(tmp_path / "empty").manifest()
    with pytest.raises(DataError, match="no such folder"):
        TracerDataModule(tmp_path / "absent").manifest()


def table(folder, text):
    (folder / "images.csv").write_text(text)
    return TracerDataModule(folder / "images.csv")


def test_a_table_with_classes(folder):
    text = "path,label,split,class\ntrain/var16/a.png,var16,train,7\nval/outlier/a.png,outlier,val,\ntest/0.png,,,3\n"
    manifest = table(folder, text).manifest()
    assert manifest.column("class_label").tolist() == [7, -1, 3]
    assert manifest.column("split").tolist() == ["train", "valid", "test"]
    assert manifest.labels.tolist() == [1, 0, -1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,labl\ntrain/var16/a.png,x\n", "column 'labl' is unknown\n.*'label'"),
        ("label\nvar16\n", "no column 'path'"),
        ("path\nnowhere.png\n", "line 2: .*nowhere.png does not exist"),
        ("path,class\ntest/0.png,-1\n", "class '-1' is not a number"),
        ("path,split\ntest/0.png,trian\n", "split 'trian' is unknown"),
        ("path,label\ntest/0.png\n", "line 2 does not have 2 cells"),
    ],
)
def test_a_bad_table_is_reported(folder, text, message):
    with pytest.raises(DataError, match=message):
        table(folder, text).manifest()


def test_tokens_by_image(folder):
    module = TracerDataModule(folder)
    ids = module.manifest().column("id").tolist()
    with pytest.raises(DataError, match=r"tokens_var\.npz does not exist"):
        module.tokens(np.array([0]), "var")
    known = [i for i in ids if "var16" in i]
    tokens = np.arange(10, dtype=np.uint16).reshape(2, 5)
    np.savez(folder / "tokens_var.npz", id=np.array(known), tokens=tokens)
    rows = np.array([ids.index(known[1]), ids.index(known[0])])
    np.testing.assert_array_equal(module.tokens(rows, "var"), tokens[::-1])
    assert module.tokens(rows, "var").dtype == np.int64
    with pytest.raises(DataError, match="lacks 1 image,"):
        module.tokens(np.array([ids.index("test/0.png")]), "var")
