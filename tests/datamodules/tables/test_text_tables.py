"""Lists and tables in any usual encoding and delimiter; names of any bytes."""

import csv
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from contracts.errors import DataError
from contracts.names import as_path, as_text
from contracts.view import View
from datamodules.folder import FolderDataModule
from datamodules.photographs import PhotographsDataModule
from datamodules.tables.text_tables import read_table, read_text
from datamodules.tracer import TracerDataModule

ENCODINGS = {
    "utf-8": "UTF-8",
    "utf-8-sig": "UTF-8 with a byte order mark",
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16",
    "utf-32": "UTF-32",
    "cp1252": "cp1252",
}
NAMES = ("a.png", "café.png", "b, c;d.png")


def save(path: bytes | Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(buffer, "PNG")
    with open(path, "wb") as file:  # noqa: PTH123 - a name of bytes is no Path
        file.write(buffer.getvalue())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in NAMES:
        save(tmp_path / name)
    return tmp_path


def table_text(header: tuple[str, ...], rows: list[tuple[Any, ...]], delimiter: str, end: str = "\r\n") -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator=end).writerows([header, *rows])
    return text.getvalue()


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lists_in_any_encoding(folder: Path, encoding: str, end: str) -> None:
    (folder / "list.txt").write_bytes((end.join(["# chosen", *NAMES]) + end).encode(encoding))
    assert FolderDataModule(folder / "list.txt").manifest().column("id").tolist() == list(NAMES)
    assert read_text(folder / "list.txt").encoding == ENCODINGS[encoding]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_tables_in_any_encoding_and_delimiter(
    folder: Path, encoding: str, delimiter: str, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [(NAMES[0], "fake", "gan", "train"), (NAMES[1], "real", "camera", "Val"), (NAMES[2], 1, "", "test")]
    text = table_text(("File_Name", "Label", "generator", "split"), rows, delimiter)
    (folder / "t.csv").write_bytes(text.encode(encoding))
    manifest = FolderDataModule(folder / "t.csv").manifest()
    assert manifest.column("id").tolist() == list(NAMES)
    assert manifest.labels.tolist() == [1, 0, 1]
    assert manifest.column("generator").tolist() == ["gan", "", ""]  # a real image has none
    assert manifest.column("split").tolist() == ["train", "valid", "test"]
    plain = delimiter == "," and encoding == "utf-8"
    assert (f"read as {ENCODINGS[encoding]}, cells separated by" in caplog.text) != plain


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252", "utf-8-sig"])
def test_the_tracers_table_is_read_alike(folder: Path, encoding: str) -> None:
    rows = [(NAMES[0], "var16", 7), (NAMES[1], "outlier", "")]
    (folder / "t.csv").write_bytes(table_text(("path", "label", "class"), rows, ";").encode(encoding))
    manifest = TracerDataModule(folder / "t.csv").manifest()
    assert manifest.column("id").tolist() == list(NAMES[:2])
    assert manifest.column("class_label").tolist() == [7, -1]


def test_photographs_take_lists_alike_and_no_generated_images(folder: Path) -> None:
    (folder / "list.txt").write_bytes("\n".join(NAMES).encode("utf-16"))
    assert len(PhotographsDataModule(folder / "list.txt").manifest()) == 3
    (folder / "t.csv").write_text("path,label\na.png,1\n")
    with pytest.raises(DataError, match="labels images as generated"):
        PhotographsDataModule(folder / "t.csv").manifest()


@pytest.mark.parametrize("name", ["t.tsv", "t.txt", "t.csv"])
def test_a_table_may_have_another_ending(folder: Path, name: str) -> None:
    (folder / name).write_text("label\tpath\nnature\ta.png\nai\tcafé.png\n")
    assert FolderDataModule(folder / name).manifest().labels.tolist() == [0, 1]


def test_excels_own_oddities(folder: Path) -> None:
    (folder / "t.csv").write_text("sep=;\r\npath;label;;\r\na.png;1;;\r\n;;;\r\ncafé.png;0;;\r\n", encoding="utf-8-sig")
    manifest = FolderDataModule(folder / "t.csv").manifest()
    assert manifest.column("id").tolist() == ["a.png", "café.png"]
    assert manifest.labels.tolist() == [1, 0]


def test_columns_labels_and_splits_are_named_as_for_parquet(folder: Path) -> None:
    text = "where,kind,fold,maker,licence\na.png,cat,a,,CC0\ncafé.png,robot,b,gan,CC-BY\n"
    (folder / "t.csv").write_text(text)
    columns = {"path": "where", "label": "kind", "split": "fold", "generator": "maker", "licence": "licence"}
    module = FolderDataModule(
        folder / "t.csv", columns=columns, labels={"cat": 0, "robot": 1}, splits={"a": "train", "b": "test"}
    )
    manifest = module.manifest()
    assert manifest.labels.tolist() == [0, 1]
    assert manifest.column("split").tolist() == ["train", "test"]
    assert manifest.column("licence").tolist() == ["CC0", "CC-BY"]
    assert manifest.generator_names == ["", "gan"]


def test_numbers_may_be_mapped_and_columns_left_out(folder: Path) -> None:
    (folder / "t.csv").write_text("path,label,split\na.png,1,elsewhere\ncafé.png,0,elsewhere\n")
    module = FolderDataModule(folder / "t.csv", columns={"split": ""}, labels={0: 1, 1: 0})
    assert module.manifest().labels.tolist() == [0, 1]
    assert set(module.manifest().column("split")) == {"test"}


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("path,label\na.png,cat\n", {}, ["label 'cat'", "row 2", "datamodule.labels={cat: ?"]),
        ("path,label\na.png,cat\n", {"labels": {"dog": 1}}, ["'cat'", "datamodule.labels does not list"]),
        ("path,split\na.png,trian\n", {}, ["'trian'", "not a split", "'train'"]),
        ("path,kind\na.png,1\n", {"columns": {"label": "kinds"}}, ["no column 'kinds'", "did you mean 'kind'"]),
        ("path,label,label\na.png,1,0\n", {}, ["column 'label' occurs twice"]),
        ('path,label\n"a.png,1\n', {}, ["line 2", "quotes"]),
        ("path;label\na.png;1;2\n", {}, ["row 2", "2 cells", "semicolons"]),
        ("a.png,1\n", {}, ["no column of paths", "header line"]),
    ],
)
def test_what_a_table_does_not_say_is_named(folder: Path, text: str, options: dict[str, Any], words: list[str]) -> None:
    (folder / "t.csv").write_text(text)
    with pytest.raises(DataError) as caught:
        FolderDataModule(folder / "t.csv", **options).manifest()
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("spelling", ["  a.png ", '"a.png"', "'a.png'", ".\\a.png"])
def test_names_in_lists_are_found_as_people_write_them(folder: Path, spelling: str) -> None:
    (folder / "list.txt").write_text(f"{spelling}\n")
    assert len(FolderDataModule(folder / "list.txt").manifest()) == 1


def test_odd_names_in_lists_are_taken_as_written(folder: Path) -> None:
    names = [" a.png", "#1.png", '"q".png', "x\u2028y.png", "x\x0by.png"]
    for name in names:
        save(folder / name)
    (folder / "list.txt").write_text("\n".join(names) + "\n# a remark\n", encoding="utf-8")
    assert FolderDataModule(folder / "list.txt").manifest().column("id").tolist() == names


def test_missing_files_say_how_the_list_was_read(folder: Path) -> None:
    (folder / "list.txt").write_bytes("Мир.png\n".encode("cp1251"))
    with pytest.raises(DataError, match=r"1 missing file:\n.*\n.*read as cp1252; save it as UTF-8"):
        FolderDataModule(folder / "list.txt").manifest()
    (folder / "list.txt").write_text("a.png\t0\n")
    with pytest.raises(DataError, match="a table needs a header line"):
        FolderDataModule(folder / "list.txt").manifest()


RAW = (
    b"caf\xe9.png",
    b"\xff\xfe.png",
    b"caf\xc3\xa9.png",
    b"lit\\xe9.png",
    b"lit\\x5cxe9.png",
    b"both\xe9\\xe9.png",
    b"a\\b.png",
)


@pytest.mark.parametrize("raw", RAW)
def test_text_of_names_is_reversible_and_of_utf_8(raw: bytes) -> None:
    text = as_text(os.fsdecode(raw))
    text.encode()
    assert os.fsencode(as_path(text)) == raw


def test_texts_of_names_are_as_documented() -> None:
    assert as_text(os.fsdecode(b"d/caf\xe9.png")) == "d/caf\\xe9.png"
    assert as_text("café.png") == "café.png"
    assert as_text("caf\\xe9.png") == "caf\\x5cxe9.png"
    assert as_text("a\\b.png") == "a\\b.png"
    assert len({as_text(os.fsdecode(raw)) for raw in RAW}) == len(RAW)


def test_files_are_opened_by_their_bytes(tmp_path: Path) -> None:
    root = os.fsencode(tmp_path) + b"/r\xe9"
    os.mkdir(root)  # noqa: PTH102
    for raw in RAW:
        save(root + b"/" + raw)
    module = FolderDataModule(os.fsdecode(root), batch_size=2)
    module.use(View(), View())
    module.evaluate(module.manifest().rows("test"))
    assert sum(len(batch.row) for batch in module.predict_dataloader()) == len(RAW)
    assert not module.failures
    (tmp_path / "list.txt").write_bytes(b"\n".join(b"r\xe9/" + raw for raw in RAW))  # as `find` writes it
    listed = FolderDataModule(tmp_path / "list.txt").manifest()
    assert len(set(listed.column("where"))) == len(RAW)
    (tmp_path / "ids.txt").write_text("\n".join(module.manifest().column("where")))  # as our own tables do
    again = FolderDataModule(tmp_path / "ids.txt").manifest()
    assert again.column("where").tolist() == module.manifest().column("where").tolist()


def test_a_mark_of_another_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"\xff\xfea\x00b")
    with pytest.raises(DataError, match="not UTF-16 text"):
        read_text(tmp_path / "list.txt")


def test_long_cells_are_read(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f'path,prompt\na.png,"{"x" * 200_000}"\n')
    assert len(read_table(tmp_path / "t.csv").column("prompt")[0]) == 200_000
