from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from contracts.errors import DataError
from contracts.view import View
from datamodules.folder import FolderDataModule


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "photos [old]"
    for name in ("b.png", "a.JPG", "deep/c.WebP", "deep/deeper/d.tiff"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 5, 3), len(name), np.uint8)).save(path)
    (root / "notes.md").write_text("none")
    (root / "deep/._c.WebP").write_bytes(b"another system's leftovers")
    return root


def ids(path: Path | str) -> list[str]:
    found: list[str] = FolderDataModule(path).manifest().column("id").tolist()
    return found


def test_a_folder_is_searched_to_the_bottom(folder: Path) -> None:
    module = FolderDataModule(folder)
    manifest = module.manifest()
    assert manifest.column("id").tolist() == ["a.JPG", "b.png", "deep/c.WebP", "deep/deeper/d.tiff"]
    assert manifest.column("where").tolist() == [str(folder / name) for name in manifest.column("id")]
    assert set(manifest.labels) == {-1}
    assert manifest.rows("test").tolist() == [0, 1, 2, 3]
    assert [path.name for path in module.ignored] == ["._c.WebP", "notes.md"]


def test_links_are_followed_and_loops_are_not(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "all").mkdir()
    (tmp_path / "all/linked").symlink_to(folder)
    (folder / "deep/up").symlink_to(tmp_path / "all")
    assert len(ids(tmp_path / "all")) == 4


def test_one_image(folder: Path) -> None:
    assert ids(folder / "b.png") == ["b.png"]
    assert ids(str(folder / "notes.md")) == ["notes.md"]  # named outright: to be tried, and to fail on record


def test_globs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = folder.rename(folder.parent / "photos")
    assert ids(plain / "*.[jJ][pP][gG]") == ["a.JPG"]
    assert ids(plain / "**/*") == ["a.JPG", "b.png", "deep/c.WebP", "deep/deeper/d.tiff"]
    assert ids(plain / "**") == ["a.JPG", "b.png", "deep/c.WebP", "deep/deeper/d.tiff"]
    assert ids(plain.parent / "*/deep/*") == ["photos/deep/c.WebP"]
    monkeypatch.chdir(plain)
    assert ids("*") == ["a.JPG", "b.png"]
    assert ids("deep/*") == ["c.WebP"]


def test_a_text_list(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listing = folder / "list.TXT"
    listing.write_text(f"# chosen\nb.png\n\n  deep/c.WebP  \n{folder / 'a.JPG'}\n", encoding="utf-8-sig")
    manifest = FolderDataModule(listing).manifest()
    assert manifest.column("id").tolist() == ["b.png", "deep/c.WebP", str(folder / "a.JPG")]
    assert [Path(where).name for where in manifest.column("where")] == ["b.png", "c.WebP", "a.JPG"]
    elsewhere = tmp_path / "list.txt"
    elsewhere.write_text("b.png\n")
    monkeypatch.chdir(folder)  # as written by `find` or `ls` here
    assert ids(elsewhere) == ["b.png"]


def test_a_table(folder: Path) -> None:
    table = folder / "table.csv"
    table.write_text("filename,label,generator,id,other\nb.png,generated,gan,first,x\na.JPG,0,,second,y\n")
    manifest = FolderDataModule(table).manifest()
    assert manifest.column("id").tolist() == ["first", "second"]
    assert manifest.labels.tolist() == [1, 0]
    assert manifest.generator_names == ["", "gan"]
    assert [Path(where).name for where in manifest.column("where")] == ["b.png", "a.JPG"]
    table.write_text("path\nb.png\n")
    manifest = FolderDataModule(table).manifest()
    assert manifest.column("id").tolist() == ["b.png"]
    assert manifest.labels.tolist() == [-1]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("absent", None, ["absent", "no such file or folder"]),
        ("*.bmp", None, ["*.bmp", "no images"]),
        ("n*", None, ["no images", "notes.md"]),
        ("list.txt", "b.png\nx.png\ndeep/y.png\n", ["2 missing files", "x.png", "deep/y.png"]),
        ("list.txt", "# nothing\n", ["list.txt", "lists no image"]),
        ("list.txt", "b.png\nb.png\n", ["'b.png'", "rows 0 and 1"]),
        ("t.csv", "", ["t.csv", "no column of paths", "nothing"]),
        ("t.csv", "where,label\nb.png,0\n", ["no column of paths", "where, label"]),
        ("t.csv", "path,file\nb.png,b.png\n", ["several columns"]),
        ("t.csv", "path,label\nb.png,genrated\n", ["row 2", "'genrated'", "did you mean 'generated'"]),
        ("t.csv", "path,label\nb.png,0\na.JPG\n", ["row 3", "2 cells"]),
        ("t.csv", "path,label\nb.png,0,1\n", ["row 2", "2 cells"]),
        ("t.csv", "path,label,generator\nb.png,,gan\n", ["'gan'", "not 1"]),
        ("t.csv", "path\nz.png\n", ["1 missing file", "z.png"]),
    ],
)
def test_what_cannot_be_scored_is_named(folder: Path, name: str, text: str | None, words: list[str]) -> None:
    plain = folder.rename(folder.parent / "photos")
    if text is not None:
        (plain / name).write_text(text)
    with pytest.raises(DataError) as caught:
        FolderDataModule(plain / name).manifest()
    for word in words:
        assert word in str(caught.value)


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no images"):
        FolderDataModule(tmp_path).manifest()


def test_an_unreadable_image_is_recorded_and_the_rest_are_scored(folder: Path) -> None:
    (folder / "broken.png").write_bytes((folder / "b.png").read_bytes()[:45])
    module = FolderDataModule(folder, batch_size=2)
    module.use(View(), View())
    module.evaluate(module.manifest().rows("test"))
    rows = [row for batch in module.predict_dataloader() for row in batch.row.tolist()]
    names = module.manifest().column("id")
    assert sorted(names[rows]) == ["a.JPG", "b.png", "deep/c.WebP", "deep/deeper/d.tiff"]
    assert [(failure.id, failure.where) for failure in module.failures] == [("broken.png", str(folder / "broken.png"))]
    assert "truncated" in module.failures[0].reason
