"""``task=export_tree`` by the command line, and back."""

import io
from pathlib import Path

import numpy as np
import pytest
import synthetic
from PIL import Image

from contracts.errors import DataError
from datamodules.parquet import ParquetDataModule
from datamodules.sample import COLUMNS
from datamodules.tables.manifest import Manifest
from datamodules.trees import TreeDataModule
from lightning_main import main
from tasks.export_tree import encoded, file_stem, folders


def test_a_tree_holds_the_same_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    synthetic.parquet(tmp_path / "set", {"train": 8, "valid": 4, "test": 6})
    columns = "{id: id, image: image, label: label, generator: generator, split: split}"
    words = ["task=export_tree", "datamodule=parquet", "datamodule.path=set", f"datamodule.columns={columns}"]
    words += ["experiment_id=e", "logger=null"]
    assert main(words) == 0
    root = tmp_path / "experiments_data/e/tree"
    (lost,) = [file for file in root.rglob("*") if file.stem.startswith("valid_1-")]
    lost.unlink()
    before_kill = {file: file.stat().st_ino for file in root.rglob("*.png")}
    assert main(words) == 0  # goes on
    assert all(file.stat().st_ino == number for file, number in before_kill.items())
    before = ParquetDataModule(
        tmp_path / "set", {name: name for name in COLUMNS if name not in ("licence", "author", "group")}
    )
    after = TreeDataModule(root)
    known = {file_stem(before.manifest().image_id(row)): row for row in range(len(before.manifest()))}
    found = after.manifest()
    assert len(found) == 18
    for row in range(18):
        other = known[Path(found.image_id(row)).stem]
        assert after.store().read(row) == before.store().read(other)
        for name in ("label", "generator", "split"):
            assert found.column(name)[row] == before.manifest().column(name)[other]
    assert {name.split("/")[0] for name in found.column("source")} == {"photographs", "repeat-a", "repeat-b"}
    synthetic.parquet(tmp_path / "set", {"train": 8})
    assert main(words) == 1
    assert "the tree of another data set" in capsys.readouterr().err


def test_names_and_bytes() -> None:
    assert file_stem("a_1") == "a_1"
    assert len({file_stem(name) for name in ("a/b", "a_b", "a:b", "a.b", "a b")}) == 5
    pixels = np.zeros((2, 3, 3), np.uint8)
    suffix, content = encoded(pixels)
    assert (suffix, encoded(synthetic.encoded(pixels, "JPEG"))[0]) == ("png", "jpg")
    assert Image.open(io.BytesIO(content)).size == (3, 2)
    with pytest.raises(DataError, match="no image of a known format"):
        encoded(b"text")


@pytest.mark.parametrize(
    ("label", "generator", "message"),
    [(-1, "", "no label"), (1, "photos", "a set called 'photos'"), (1, "Fake", "a class folder")],
)
def test_what_has_no_place(label: int, generator: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        folders(Manifest.from_columns({"id": ["a"], "label": [label], "generator": [generator]}), "photos")
