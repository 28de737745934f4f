import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contracts.errors import DataError
from datamodules.tables import encoding
from datamodules.tables.carried import plain_type
from datamodules.tables.encoding import all_differ
from datamodules.tables.manifest import SCHEMA, Manifest


def columns(count: int = 6) -> dict[str, Any]:
    return {
        "id": [f"img-{k}" for k in range(count)],
        "label": [k % 2 for k in range(count)],
        "generator": ["" if k % 2 == 0 else f"gan-{9 - k}" for k in range(count)],
        "split": [("train", "valid", "test")[k % 3] for k in range(count)],
        "where": [f"folder/{k}.png" for k in range(count)],
    }


def test_from_columns_fills_what_a_layout_does_not_say() -> None:
    manifest = Manifest.from_columns({"id": ["a", "b"], "label": [1, -1]})
    assert {field.name: plain_type(field.type) for field in manifest.table.schema} == dict(
        zip(SCHEMA.names, SCHEMA.types, strict=True)
    )
    assert manifest.table.to_pylist()[0] == {
        "id": "a", "label": 1, "generator": "", "split": "", "source": "", "group": "", "where": "", "row": -1,
        "width": 0, "height": 0, "format": "",
    }  # fmt: skip


def test_accessors() -> None:
    manifest = Manifest.from_columns(columns())
    assert len(manifest) == 6
    assert manifest.rows("train").tolist() == [0, 3]
    assert manifest.rows("train", "test").tolist() == [0, 2, 3, 5]
    assert manifest.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert manifest.labels.dtype == np.int8
    assert manifest.generator_names == ["", "gan-4", "gan-6", "gan-8"]
    assert manifest.generator_index.tolist() == [0, 3, 0, 2, 0, 1]
    assert manifest.image_id(2) == "img-2"
    assert manifest.place(2) == "folder/2.png"
    assert Manifest.from_columns(columns() | {"row": range(6)}).place(2) == "folder/2.png[2]"


def test_generator_names_start_with_the_empty_one_even_where_all_are_named() -> None:
    assert Manifest.from_columns({"id": ["a"], "label": [1], "generator": ["gan"]}).generator_names == ["", "gan"]


def test_take_keeps_the_order_given_and_further_columns() -> None:
    manifest = Manifest.from_columns(columns() | {"photo": list("uvwxyz")})
    taken = manifest.take(np.array([4, 1]))
    assert taken.column("id").tolist() == ["img-4", "img-1"]
    assert taken.column("photo").tolist() == ["y", "v"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"id": ["a", "b", "a", "c", "d", "a"]}, ["'a'", "rows 0 and 2", "1 more"]),
        ({"id": ["a", "", "b", "c", "d", "e"]}, ["row 1", "id ''", "is empty"]),
        ({"id": [1, 2, 3, 4, 5, 6]}, ["'id'", "int64", "not text"]),
        ({"label": [0, 1, 2, 1, 0, 1]}, ["row 2", "'img-2'", "label 2"]),
        ({"label": [0, 1, None, 1, 0, 1]}, ["row 2", "no 'label'"]),
        ({"label": [0.5] * 6}, ["'label'", "int8"]),
        ({"label": ["real"] * 6}, ["'label'", "int8"]),
        ({"split": ["train"] * 5 + ["val"]}, ["row 5", "split 'val'"]),
        ({"generator": ["gan", "gan", "", "", "gan", ""]}, ["row 0", "generator 'gan'", "2 such rows"]),
        ({"width": [0, 5, -1, 0, 0, 0]}, ["row 2", "width -1"]),
        ({"row": [0, 1, 2, 3, 4, -2]}, ["row 5", "row -2"]),
        ({"source": ["a"]}, ["'source'", "1 rows", "6"]),
    ],
)
def test_a_wrong_table_is_refused_by_row_and_value(change: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        Manifest.from_columns(columns() | change)
    for word in words:
        assert word in str(caught.value)


def test_a_table_with_a_missing_or_mistyped_column_is_refused() -> None:
    table = Manifest.from_columns(columns()).table
    with pytest.raises(DataError, match="no column 'group'"):
        Manifest(table.drop(["group"]))
    wide = table.set_column(1, "label", table["label"].cast(pa.int64()))
    with pytest.raises(DataError, match="'label' is int64, not int8"):
        Manifest(wide)
    with pytest.raises(DataError, match="occurs twice"):
        Manifest(table.append_column("id", table["id"]))
    with pytest.raises(DataError, match="no column 'label'"):
        Manifest.from_columns({"id": ["a"]})


def test_names_are_suggested() -> None:
    manifest = Manifest.from_columns(columns())
    with pytest.raises(DataError, match="did you mean 'valid'"):
        manifest.rows("valdi")
    with pytest.raises(DataError, match="did you mean 'width'"):
        manifest.column("widht")


@pytest.mark.parametrize("name", ["m.parquet", "m.arrow"])
def test_save_and_load(tmp_path: Path, name: str) -> None:
    manifest = Manifest.from_columns(columns() | {"photo": list("uvwxyz")})
    manifest.save(tmp_path / name)
    assert Manifest.load(tmp_path / name).table.equals(manifest.table)
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_load_names_what_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "m.arrow").write_bytes(b"nothing of the kind")
    for name in ("m.arrow", "absent.parquet"):
        with pytest.raises(DataError, match=name):
            Manifest.load(tmp_path / name)


def test_fingerprint_is_of_the_images_not_of_their_place_or_chunking() -> None:
    manifest = Manifest.from_columns(columns())
    moved = Manifest.from_columns(columns() | {"where": ["elsewhere"] * 6, "row": range(6)})
    chunked = Manifest(pa.concat_tables([manifest.table.slice(0, 2), manifest.table.slice(2)]))
    assert manifest.fingerprint() == moved.fingerprint() == chunked.fingerprint()


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1), min_size=2, unique=True))
def test_fingerprint_distinguishes_ids(ids: list[str]) -> None:
    def fingerprint(names: list[str]) -> str:
        return Manifest.from_columns({"id": names, "label": [0] * len(names)}).fingerprint()

    assert fingerprint(ids) != fingerprint(ids[::-1])
    moved = [ids[0] + ids[1][:1], ids[1][1:]]
    if moved[1] and len({*moved, *ids[2:]}) == len(ids):
        assert fingerprint(ids) != fingerprint(moved + ids[2:])


def test_repeated_texts_take_a_byte_and_are_found_in_any_number_of_dictionaries() -> None:
    manifest = Manifest.from_columns(columns())
    assert manifest.table.schema.field("generator").type == pa.dictionary(pa.int8(), pa.string())
    other = manifest.replaced(id=[f"other-{k}" for k in range(6)], where=[f"{k}" for k in range(6)])
    both = Manifest(pa.concat_tables([manifest.table, other.table]))
    assert both.column("where").tolist() == [f"folder/{k}.png" for k in range(6)] + [f"{k}" for k in range(6)]
    many = Manifest.from_columns({"id": [f"{k}" for k in range(200)], "label": [0] * 200, "where": map_of(200)})
    assert many.table.schema.field("where").type == pa.dictionary(pa.int16(), pa.string())
    assert many.column("where").tolist() == map_of(200)


def map_of(count: int) -> list[str]:
    return [f"folder {k}" for k in range(count)]


@given(st.lists(st.text(max_size=40), max_size=40), st.integers(0, 40))
@example(["a", "a", "a longer text beside only one of both"], 1)
def test_equal_texts_are_found_in_any_chunks(texts: list[str], cut: int) -> None:
    column = pa.chunked_array([pa.array(texts[:cut], pa.string()), pa.array(texts, pa.string()).slice(cut)])
    for many in (0, encoding.MANY):  # by hashes, and by Arrow
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(encoding, "MANY", many)
            assert all_differ(column) == (len(set(texts)) == len(texts))


@pytest.mark.parametrize("many", [0, encoding.MANY])
def test_texts_before_a_slice_do_not_count(many: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "MANY", many)
    assert not all_differ(pa.chunked_array([pa.array(["x", "a", "a"]).slice(1)]))
    assert all_differ(pa.chunked_array([pa.array(["a", "a", "x"]).slice(1)]))


def test_texts_with_equal_hashes_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "MANY", 0)
    monkeypatch.setattr("datamodules.tables.hashes_numba.hash_texts", lambda _, __, out: out.fill(0))
    assert all_differ(pa.chunked_array([["a", "b"]]))
    assert not all_differ(pa.chunked_array([["a", "b", "a"]]))


def test_a_pickled_manifest_is_the_same_and_shares_its_memory() -> None:
    manifest = Manifest.from_columns(columns())
    tensor = manifest.__reduce__()[1][0]
    opened = manifest.__reduce__()[0](tensor)
    ids = opened.table["id"].chunk(0).buffers()[2]
    assert tensor.data_ptr() <= ids.address < tensor.data_ptr() + tensor.numel()
    copy = pickle.loads(pickle.dumps(manifest))  # noqa: S301 - our own
    assert copy.table.equals(manifest.table)
    assert copy.fingerprint() == manifest.fingerprint()
