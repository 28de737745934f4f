"""One rule says which files no data module reads, and each module tells how many it passed over."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from synthetic import encoded

from contracts.errors import DataError
from datamodules.ai_genbench import AiGenBenchDataModule
from datamodules.folder import FolderDataModule
from datamodules.folders.walk import PassedOver, is_hidden, walk
from datamodules.image_datamodule import ImageDataModule
from datamodules.parquet import ParquetDataModule
from datamodules.photographs import PhotographsDataModule
from datamodules.tracer import TracerDataModule
from datamodules.trees import TreeDataModule

HIDDEN = (
    ".ipynb_checkpoints/x", ".thumbnails/x", "__MACOSX/._x", "__macosx/x", "@eaDir/x", "#recycle/x", "$RECYCLE.BIN/x",
    "lost+found/x", "._x", ".x", ".cache/huggingface/download/x",
)  # fmt: skip


def save(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        cells = [encoded(np.zeros((4, 4, 3), np.uint8))]
        labels = {"label": [0], "generator": [""], "file_id": [path.as_posix()]}
        pq.write_table(pa.table({"image": cells, **labels}), path)
    else:
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(path)


MODULES: dict[str, tuple[str, Callable[[Path], ImageDataModule]]] = {
    "folder": ("a.png", FolderDataModule),
    "photographs": ("a.png", PhotographsDataModule),
    "trees": ("0_real/a.png", TreeDataModule),
    "siblings": ("real/a.png", lambda path: TreeDataModule(path, layout="siblings")),
    "tracer": ("test/var16/a.png", TracerDataModule),
    "flat tracer": ("a.png", TracerDataModule),
    "parquet": ("a.parquet", lambda path: ParquetDataModule(path, {"image": "image"})),
    "ai_genbench": ("test/test.parquet", AiGenBenchDataModule),
}


@pytest.mark.parametrize("kind", MODULES)
@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("deep", [False, True])
def test_no_module_reads_hidden_files(tmp_path: Path, kind: str, hidden: str, deep: bool) -> None:
    name, build = MODULES[kind]
    place = tmp_path / ".set"  # named by the user, and so read
    save(place / name)
    only = build(place).manifest()
    within = (place / name).parent if deep else place
    save(within / f"{hidden}{Path(name).suffix}")
    for leftover in ("Thumbs.db", "desktop.ini", ".DS_Store"):
        (within / leftover).write_bytes(b"")
    module = build(place)
    assert module.manifest().column("where").tolist() == only.column("where").tolist() == [str(place / name)]
    folder = "/" in hidden
    told = "3 hidden files, 1 hidden folder" if folder else "4 hidden files"
    assert str(module.ignored) == told


@pytest.mark.parametrize("kind", ["folder", "photographs", "parquet"])
def test_globs_read_hidden_files_where_they_name_them(tmp_path: Path, kind: str) -> None:
    name, build = MODULES[kind]
    for place in (name, f".kept/{name}", f"__MACOSX/{name}", f"@eaDir/.{name}"):
        save(tmp_path / place)

    def found(pattern: str) -> list[str]:
        return [
            str(Path(where).relative_to(tmp_path)) for where in build(tmp_path / pattern).manifest().column("where")
        ]

    assert found("**/*") == [name]
    assert found("__MACOSX/*") == [f"__MACOSX/{name}"]
    assert found(".k*/*") == [f".kept/{name}"]
    assert found("@eaDir/.*") == [f"@eaDir/.{name}"]


@pytest.mark.parametrize("kind", ["folder", "tracer", "flat tracer", "trees"])
def test_what_is_passed_over_is_counted_by_kind(tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    name, build = MODULES[kind]
    save(tmp_path / name)
    within = (tmp_path / name).parent
    for other in ("a.psd", "b.PSD", "c.psd", "readme", ".x.png"):
        (within / other).write_bytes(b"")
    os.mkfifo(within / "pipe.png")
    (within / "up").symlink_to(tmp_path)
    module = build(tmp_path)
    assert len(module.manifest()) == 1
    told = "1 circular link, 1 file without a suffix, 1 hidden file, 1 special file, 3 .psd files"
    assert sorted(str(module.ignored).split(", ")) == told.split(", ")
    assert f"{tmp_path}: {module.ignored} skipped" in caplog.text


def test_both_places_of_photographs_are_counted(tmp_path: Path) -> None:
    for place in ("train", "valid"):
        save(tmp_path / place / "a.png")
        (tmp_path / place / "notes.md").write_text("")
    module = PhotographsDataModule(tmp_path / "train", tmp_path / "valid")
    assert len(module.manifest()) == 2
    assert str(module.ignored) == "2 .md files"


def test_folders_beside_the_splits_of_a_tracer_are_counted(tmp_path: Path) -> None:
    for place in ("test/a.png", "extra/b.png", "c.png"):
        save(tmp_path / place)
    module = TracerDataModule(tmp_path)
    assert module.manifest().column("id").tolist() == ["test/a.png"]
    assert str(module.ignored) == "1 .png file, 1 folder"


def test_folders_that_a_glob_matches_and_does_not_enter_are_counted(tmp_path: Path) -> None:
    for place in ("photos [old]/a.png", "photos [old]/deep/b.png"):
        save(tmp_path / place)
    module = FolderDataModule(tmp_path / "photos [old]/*")
    assert module.manifest().column("id").tolist() == ["a.png"]
    assert str(module.ignored) == "1 folder"
    assert len(FolderDataModule(tmp_path / "photos [old]/**").manifest()) == 2


def test_images_none_of_which_can_be_read_are_named_by_kind(tmp_path: Path) -> None:
    (tmp_path / "a.psd").write_bytes(b"")
    (tmp_path / ".b.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"no images found, only 1 \.psd file, 1 hidden file"):
        FolderDataModule(tmp_path).manifest()


def test_links_to_nothing_and_loops_are_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    (folder,) = walk(tmp_path)
    assert folder.files == ("gone.png", "loop.png")
    with pytest.raises(DataError, match="cannot be read"):
        FolderDataModule(tmp_path).store().read(0)


@pytest.mark.parametrize("name", ["Thumbs.db", "THUMBS.DB", "Desktop.ini", "Icon\r", ".DS_Store", "._a.png", "..a"])
def test_hidden_names(name: str) -> None:
    assert is_hidden(name)


@pytest.mark.parametrize("name", ["a.png", "thumbs", "macosx", "desktop.png", "@a", "#1.png", "a.b", "~a.png"])
def test_other_names(name: str) -> None:
    assert not is_hidden(name)


def test_nothing_is_counted_twice(tmp_path: Path) -> None:
    passed = PassedOver()
    passed.add(tmp_path / "a.md")
    passed.add(tmp_path / "a.md")
    assert str(passed) == "1 .md file"
