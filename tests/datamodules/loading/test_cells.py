"""Image cells of every type that tables of images come in."""

import base64
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from synthetic import encoded, picture

from contracts.errors import DataError
from datamodules.loading.cells import cells, image_bytes
from datamodules.parquet import ParquetDataModule

KINDS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
IMAGES = [encoded(picture(np.random.default_rng(1), 12, False), kind) for kind in KINDS]
PATHS = [f"sub/{kind}.x" for kind in KINDS]
TEXTS = (pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string()))
BINARY = (pa.binary(), pa.large_binary(), pa.binary_view(), pa.dictionary(pa.int8(), pa.binary()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    for path, data in zip(PATHS, IMAGES, strict=True):
        (tmp_path / path).write_bytes(data)
    return tmp_path


def read(folder: Path, column: pa.Array) -> list[bytes | str]:
    """What random access gives; streaming must give the same."""
    pq.write_table(pa.table({"image": column}), folder / "a.parquet", row_group_size=len(column))
    module = ParquetDataModule(folder, {"image": "image"})
    manifest, store, found = module.manifest(), module.store(), []
    for row in range(len(manifest)):
        try:
            found.append(store.read(row))
        except DataError as error:
            found.append(str(error))
    rows = np.arange(len(manifest))
    streamed = dict(each for run in store.runs(rows) for each in store.stream(run))
    assert [cell if isinstance(cell, bytes) else str(cell) for _, cell in sorted(streamed.items())] == found
    return found


@pytest.mark.parametrize("kind", BINARY, ids=str)
def test_bytes_of_any_type(folder, kind):
    assert read(folder, pa.array(IMAGES, kind)) == IMAGES


def test_bytes_of_one_size(folder):
    assert read(folder, pa.array(IMAGES[:1] * 2, pa.binary(len(IMAGES[0])))) == IMAGES[:1] * 2


@pytest.mark.parametrize("kind", TEXTS, ids=str)
def test_paths_and_base64(folder, kind):
    assert read(folder, pa.array(PATHS, kind)) == IMAGES
    assert read(folder, pa.array([base64.b64encode(data).decode() for data in IMAGES], kind)) == IMAGES


def test_other_ways_to_write_a_text(folder):
    assert read(folder, pa.array([str(folder / path) for path in PATHS])) == IMAGES
    assert read(folder, pa.array([(folder / path).as_uri() for path in PATHS])) == IMAGES
    assert read(folder, pa.array([base64.encodebytes(data).decode() for data in IMAGES])) == IMAGES  # in lines
    bare = [base64.urlsafe_b64encode(data).decode().rstrip("=") for data in IMAGES]
    assert read(folder, pa.array(bare)) == IMAGES
    uris = [f"data:image/png;base64,{base64.b64encode(data).decode()}" for data in IMAGES]
    assert read(folder, pa.array(uris)) == IMAGES
    assert read(folder, pa.array([f"data:;charset=x,{quote(data)}" for data in IMAGES])) == IMAGES


@pytest.mark.parametrize(
    "kind",
    [
        pa.struct({"bytes": pa.binary(), "path": pa.string()}),
        pa.struct({"path": pa.null(), "bytes": pa.binary_view()}),
        pa.struct({"bytes": pa.dictionary(pa.int8(), pa.binary()), "x": pa.int8()}),
    ],
    ids=str,
)
def test_structs(folder, kind):
    assert read(folder, pa.array([{"bytes": data} for data in IMAGES], kind)) == IMAGES


def test_structs_of_texts(folder):
    assert read(folder, pa.array([{"path": path} for path in PATHS])) == IMAGES
    assert read(folder, pa.array([{"bytes": base64.b64encode(data).decode()} for data in IMAGES])) == IMAGES


@pytest.mark.parametrize("wrap", [pa.list_, pa.large_list, lambda kind: pa.list_(kind, 1), pa.list_view])
@pytest.mark.parametrize("inner", [pa.binary(), pa.struct({"bytes": pa.binary(), "path": pa.string()}), pa.string()])
def test_a_list_of_one_image_is_that_image(folder, wrap, inner):
    if pa.types.is_struct(inner):
        made = [[{"bytes": data, "path": None}] for data in IMAGES]
    else:
        made = [[path] for path in PATHS] if inner == pa.string() else [[data] for data in IMAGES]
    assert read(folder, pa.array(made, wrap(inner))) == IMAGES


def test_a_dictionary_of_structs():
    structs = pa.array([{"bytes": data, "path": None} for data in IMAGES])
    column = pa.DictionaryArray.from_arrays(pa.array([3, None, 0, 3], pa.int8()), structs)
    assert cells(column) == [IMAGES[3], None, IMAGES[0], IMAGES[3]]
    assert cells(column.slice(2, 1)) == [IMAGES[0]]


def test_rows_of_several_images_are_refused_by_place(folder):
    found = read(folder, pa.array([IMAGES[:1], IMAGES[:2], [], None]))
    assert found[0] == IMAGES[0]
    for row, words in ((1, "a.parquet[1] holds 2 images"), (2, "[2] holds 0 images"), (3, "[3] holds neither")):
        assert words in str(found[row])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("https://host/y.png", "'https://host/y.png', which is not a file"),
        ("../a.png", " leaves "),
        ("/etc/passwd", " leaves "),
        ("file:///etc/passwd", " leaves "),
        ("a\0b.png", "cannot be read: embedded null byte"),
        ("", "neither bytes nor a path"),
        ("data:image/png;base64,%%%", "is neither a path nor valid base64"),
        (base64.b64encode(IMAGES[0]).decode()[:-9] + "*", "'iVBORw0KGgo"),
        ("?" * 5000, "of 5000 bytes is neither a path nor valid base64"),
    ],
)
def test_texts_that_lead_nowhere(tmp_path, text, words):
    (cell,) = cells(pa.array([text]))
    with pytest.raises(DataError) as caught:
        image_bytes(cell, tmp_path, "a.parquet[0]")
    assert words in str(caught.value)
    assert "a.parquet[0]" in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_path_that_is_not_utf8_is_a_path(tmp_path):
    name = b"caf\xe9.png"
    (tmp_path / name.decode(errors="surrogateescape")).write_bytes(IMAGES[0])
    column = pa.array([name]).view(pa.string())
    assert image_bytes(cells(column)[0], tmp_path, "x") == IMAGES[0]


@pytest.mark.parametrize(
    "kind", [pa.int64(), pa.null(), pa.list_(pa.uint8()), pa.struct({"url": pa.string()})], ids=str
)
def test_columns_that_hold_no_images_are_refused(tmp_path, kind):
    pq.write_table(pa.table({"image": pa.nulls(2, kind)}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a.parquet: column 'image' is (?s:.*)datamodule.columns.image"):
        ParquetDataModule(tmp_path, {"image": "image"}).manifest()
