"""Any Parquet set: columns by name, labels by an explicit map, images by bytes or by path."""

import json
import uuid

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from synthetic import encoded, picture

from contracts.errors import ConfigError, DataError
from datamodules.arrow import stream as parquet_stream
from datamodules.parquet import ParquetDataModule

PICTURES = [encoded(picture(np.random.default_rng(k), 16, bool(k % 2))) for k in range(4)]


def write(path, rows, names=None, group=7, types=None):
    table = pa.Table.from_pylist(rows) if types is None else pa.Table.from_pylist(rows, schema=types)
    if names:
        features = {column: {"_type": "ClassLabel", "names": values} for column, values in names.items()}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, path, row_group_size=group)
    return path


def rows(count=20, label=lambda k: k % 2, **extra):
    return [
        {"id": f"i{k}", "image": {"bytes": PICTURES[k % 4], "path": None}, "label": label(k)}
        | {name: value(k) for name, value in extra.items()}
        for k in range(count)
    ]


def test_aiornots_columns_need_no_setting(tmp_path):
    write(tmp_path / "b.parquet", rows(20))
    write(tmp_path / "a.parquet", [row | {"id": f"a{row['id']}"} for row in rows(10)])
    module = ParquetDataModule(tmp_path)
    manifest = module.manifest()
    assert len(manifest) == 30
    assert manifest.image_id(0) == "ai0"  # files in order of their names
    assert manifest.labels[:4].tolist() == [0, 1, 0, 1]
    assert (len(manifest.rows("train")), len(manifest.rows("valid")), len(manifest.rows("test"))) == (21, 3, 6)
    store = module.store()
    assert all(store.read(row) == PICTURES[(row if row < 10 else row - 10) % 4] for row in range(30))


def test_a_split_column_that_is_not_used_is_reported(tmp_path, caplog):
    path = write(tmp_path / "a.parquet", rows(20, split=lambda k: ("train", "test")[k % 2]))
    ParquetDataModule(path).manifest()
    assert "unused columns, so the rows are divided into folds: split" in caplog.text
    assert "datamodule.columns.split=split" in caplog.text
    caplog.clear()
    ParquetDataModule(path, {"id": "id", "image": "image", "label": "label", "split": "split"}).manifest()
    assert not caplog.text


def test_streaming_reads_what_random_access_reads(tmp_path):
    write(tmp_path / "a.parquet", rows(40))
    module = ParquetDataModule(tmp_path / "a.parquet")
    module.manifest()
    store = module.store()
    wanted = np.array([1, 2, 8, 13, 14, 39, 20])
    runs = store.runs(wanted)
    assert [run.tolist() for run in runs] == [[1, 2], [8, 13], [14, 20], [39]]
    read = dict(pair for run in runs for pair in store.stream(run))
    assert read == {row: store.read(row) for row in wanted.tolist()}


@pytest.mark.parametrize("batch_bytes", [1, 2**21])
@pytest.mark.parametrize("fields", [("bytes", "path"), ("path", "bytes"), ()])
def test_streaming_reads_every_kind_of_cell(tmp_path, monkeypatch, fields, batch_bytes):
    monkeypatch.setattr(parquet_stream, "BATCH_BYTES", batch_bytes)
    (tmp_path / "there.png").write_bytes(PICTURES[0])
    places = (
        {"bytes": PICTURES[1], "path": "x"},
        {"path": "there.png"},
        {"path": "gone.png"},
        {"bytes": b""},
        {},
        None,
    )
    cells = (
        [place and {name: place.get(name) for name in fields} for place in places] if fields else [PICTURES[0], None]
    )
    kind = pa.struct([(name, {"bytes": pa.binary(), "path": pa.string()}[name]) for name in fields])
    types = pa.schema({"id": pa.string(), "image": kind if fields else pa.binary(), "label": pa.int64()})
    made = [{"id": f"i{k}", "image": cells[k % len(cells)], "label": k % 2} for k in range(30)]
    module = ParquetDataModule(write(tmp_path / "a.parquet", made, group=12, types=types), root=tmp_path)
    module.manifest()
    store = module.store()

    def alone(row):
        try:
            return store.read(row)
        except DataError as error:
            return str(error)

    wanted = np.array([*range(3, 12), 13, *range(20, 30)])
    read = {row: found for run in store.runs(wanted) for row, found in store.stream(run)}
    told = {row: str(found) if isinstance(found, DataError) else found for row, found in read.items()}
    assert told == {row: alone(row) for row in wanted.tolist()}
    assert sum(isinstance(found, bytes) for found in read.values()) >= 8


def test_repeated_images_that_are_stored_once_are_not_all_cut_at_once(tmp_path, monkeypatch):
    write(tmp_path / "a.parquet", rows(200), group=200)
    module = ParquetDataModule(tmp_path / "a.parquet")
    module.manifest()
    taken = []
    real = parquet_stream.cells
    monkeypatch.setattr(parquet_stream, "cells", lambda column: taken.append(len(column)) or real(column))
    (run,) = module.store().runs(np.arange(200))
    assert len(list(module.store().stream(run))) == 200
    assert max(taken) == parquet_stream.BATCH_ROWS


def test_columns_are_mapped_and_further_ones_carried_along(tmp_path):
    made = rows(12, generator=lambda k: "G" if k % 2 else "camera", part=lambda k: ("dev", "train")[k > 5])
    made = [row | {"score": k / 2, "width": 16, "height": 17} for k, row in enumerate(made)]
    write(tmp_path / "a.parquet", made)
    columns = {
        "id": "id",
        "image": "image",
        "label": "label",
        "generator": "generator",
        "split": "part",
        "score": "score",
    }
    manifest = ParquetDataModule(tmp_path, columns).manifest()
    assert manifest.column("generator")[:2].tolist() == ["", "G"]  # a real image has no generator
    assert manifest.column("split").tolist() == ["valid"] * 6 + ["train"] * 6
    assert manifest.column("score").tolist() == [k / 2 for k in range(12)]
    assert (manifest.column("width")[0], manifest.column("height")[0]) == (16, 17)


def test_groups_keep_to_one_split(tmp_path):
    write(tmp_path / "a.parquet", rows(80, photo=lambda k: f"p{k // 4}"))
    columns = {"id": "id", "image": "image", "label": "label", "group": "photo"}
    manifest = ParquetDataModule(tmp_path, columns).manifest()
    by_group = {}
    for group, split in zip(manifest.column("group"), manifest.column("split"), strict=True):
        by_group.setdefault(group, set()).add(split)
    assert len(by_group) == 20
    assert all(len(found) == 1 for found in by_group.values())


@pytest.mark.parametrize(
    ("values", "labels", "names", "expected"),
    [
        ([True, False], None, None, [1, 0]),
        ([1, 0], None, None, [1, 0]),
        ([1.0, None], None, None, [1, -1]),
        ([1, 0], None, ["0", "1"], [1, 0]),
        (["FAKE", "REAL"], {"FAKE": 1, "REAL": 0}, None, [1, 0]),
        ([0, 1], {"FAKE": 1, "REAL": 0}, ["FAKE", "REAL"], [1, 0]),
        ([-1, 1], {"FAKE": 1, "REAL": 0}, ["FAKE", "REAL"], [-1, 0]),
        ([3, 0], {0: 0, 3: 1}, None, [1, 0]),
        ([True, False], {True: 0, False: 1}, None, [0, 1]),
    ],
)
def test_labels(tmp_path, values, labels, names, expected):
    columns = {"id": "id", "image": "image", "label": "label", "split": "split"}
    made = [row | {"split": "test"} for row in rows(2, label=lambda k: values[k])]
    write(tmp_path / "a.parquet", made, names={"label": names} if names else None)
    assert ParquetDataModule(tmp_path, columns, labels).manifest().labels.tolist() == expected


@pytest.mark.parametrize(
    ("values", "labels", "names", "message"),
    [
        (
            ["FAKE", "REAL"],
            None,
            None,
            r"contains the names 'FAKE', 'REAL'(?s:.*)datamodule.labels=\{FAKE: \?, REAL: \?\}",
        ),
        ([0, 1], None, ["FAKE", "REAL"], "contains the names 'FAKE', 'REAL'"),
        ([0, 2], None, None, "contains 2, which is not 0"),
        (["real", "fake"], {"real": 0, "fke": 1}, None, "'fake', which datamodule.labels does not list(?s:.*)'fke'"),
        ([0.5, 1.0], None, None, "fractions"),
    ],
)
def test_labels_without_meaning_are_refused(tmp_path, values, labels, names, message):
    write(tmp_path / "a.parquet", rows(2, label=lambda k: values[k]), names={"label": names} if names else None)
    with pytest.raises(DataError, match=message):
        ParquetDataModule(tmp_path, labels=labels).manifest()


def test_generator_numbers_become_their_names(tmp_path):
    write(tmp_path / "a.parquet", rows(20, generator=lambda k: k % 2), names={"generator": ["none", "SD 1.4"]})
    columns = {"id": "id", "image": "image", "label": "label", "generator": "generator"}
    assert ParquetDataModule(tmp_path, columns).manifest().generator_names == ["", "SD 1.4"]


def test_a_missing_column_is_answered_with_the_nearest(tmp_path):
    write(tmp_path / "a.parquet", [{"idx": 1, "img": b"", "labels": 0}])
    with pytest.raises(DataError, match=r"no column 'image' \(datamodule.columns.image\)(?s:.*)'img'"):
        ParquetDataModule(tmp_path, {"image": "image"}).manifest()
    with pytest.raises(DataError, match=r"no column 'label'(?s:.*)'labels'(?s:.*)columns.label=null"):
        ParquetDataModule(tmp_path, {"image": "img", "label": "label"}).manifest()


def test_repeated_ids_are_named_with_their_places(tmp_path):
    write(tmp_path / "a.parquet", rows(20))
    write(tmp_path / "b.parquet", rows(20)[:1])
    with pytest.raises(DataError, match=r"1 id occurs more than once(?s:.*)'i0': .*a.parquet\[0\], .*b.parquet\[0\]"):
        ParquetDataModule(tmp_path).manifest()
    columns = {"id": None, "image": "image", "label": "label"}
    assert ParquetDataModule(tmp_path, columns).manifest().image_id(20) == "b.parquet:0"


def test_unknown_splits_are_refused_and_renamed(tmp_path):
    write(tmp_path / "a.parquet", rows(4, split=lambda k: "holdout" if k else "train"))
    columns = {"id": "id", "image": "image", "label": "label", "split": "split"}
    with pytest.raises(DataError, match="'holdout', which is not a split"):
        ParquetDataModule(tmp_path, columns).manifest()
    manifest = ParquetDataModule(tmp_path, columns, splits={"holdout": "test"}).manifest()
    assert manifest.column("split").tolist() == ["train", "test", "test", "test"]


def test_paths_are_read_below_the_root_and_nowhere_else(tmp_path):
    (tmp_path / "set" / "images").mkdir(parents=True)
    (tmp_path / "set" / "images" / "0.png").write_bytes(PICTURES[0])
    (tmp_path / "secret.png").write_bytes(PICTURES[1])
    paths = ["images/0.png", "../secret.png", str(tmp_path / "secret.png"), "images/none.png", None]
    kind = pa.schema([("id", pa.string()), ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))])
    made = [{"id": str(k), "image": {"bytes": None, "path": path}} for k, path in enumerate(paths)]
    write(tmp_path / "set" / "a.parquet", made, types=kind)
    module = ParquetDataModule(tmp_path / "set", {"id": "id", "image": "image"})
    manifest, store = module.manifest(), module.store()
    assert manifest.labels.tolist() == [-1] * 5
    assert store.read(0) == PICTURES[0]
    read = dict(store.stream(np.arange(5)))
    assert read[0] == PICTURES[0]
    for row, message in ((1, " leaves "), (2, " leaves "), (3, "cannot be read"), (4, "neither bytes nor")):
        with pytest.raises(DataError, match=message):
            store.read(row)
        assert isinstance(read[row], DataError)
        assert message in str(read[row])


def test_plain_binary_columns_and_globs(tmp_path):
    write(tmp_path / "x1.parquet", [{"id": str(k), "image": PICTURES[k % 4], "label": k % 2} for k in range(20)])
    (tmp_path / "y.parquet").write_bytes(b"no parquet")
    module = ParquetDataModule(tmp_path / "x*.parquet")
    assert len(module.manifest()) == 20
    assert module.store().read(3) == PICTURES[3]
    with pytest.raises(DataError, match=r"y.parquet cannot be read"):
        ParquetDataModule(tmp_path / "y.parquet").manifest()
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"contains no \*.parquet"):
        ParquetDataModule(tmp_path / "empty").manifest()
    with pytest.raises(DataError, match="matches no file or folder"):
        ParquetDataModule(tmp_path / "z*.parquet").manifest()


def test_an_image_column_of_another_kind_is_refused(tmp_path):
    write(tmp_path / "a.parquet", [{"id": "a", "image": 1, "label": 0}])
    with pytest.raises(DataError, match="column 'image' is int64"):
        ParquetDataModule(tmp_path).manifest()


def test_settings_that_lead_nowhere_are_refused():
    with pytest.raises(ConfigError, match=r"labels.FAKE=2"):
        ParquetDataModule("x", labels={"FAKE": 2})
    with pytest.raises(ConfigError, match=r"splits.dev='vaild'(?s:.*)'valid'"):
        ParquetDataModule("x", splits={"dev": "vaild"})
    with pytest.raises(ConfigError, match="no image column"):
        ParquetDataModule("x", {"id": "id", "image": None})
    with pytest.raises(ConfigError, match=r"columns.where is reserved"):
        ParquetDataModule("x", {"image": "image", "where": "file"})


def test_a_set_too_small_for_folds_can_still_be_scored(tmp_path, caplog):
    manifest = ParquetDataModule(write(tmp_path / "a.parquet", rows(6))).manifest()
    assert manifest.column("split").tolist() == [""] * 6
    assert "no image has a split: 3 images of label 0 are too few for 10" in caplog.text
    assert "datamodule.columns.split=NAME" in caplog.text


@pytest.mark.parametrize("kind", [pa.binary(16), pa.binary(), pa.uuid()], ids=str)
def test_ids_and_groups_of_bytes(tmp_path, kind):
    ids = [uuid.UUID(int=(250 << 120) + k) for k in range(20)]
    made = pa.table(
        {
            "id": pa.array([one.bytes for one in ids], kind),
            "image": pa.array([PICTURES[k % 4] for k in range(20)]),
            "label": pa.array([0, 1] * 10),
            "photo": pa.array([b"p\xff"] * 10 + [b"plain", None] * 5),
        }
    )
    pq.write_table(made.slice(0, 10), tmp_path / "a.parquet")
    pq.write_table(made.slice(10), tmp_path / "b.parquet")  # whose groups alone would be texts
    columns = {"id": "id", "image": "image", "label": "label", "group": "photo"}
    manifest = ParquetDataModule(tmp_path, columns).manifest()
    expected = [str(one) if kind == pa.uuid() else one.hex for one in ids]
    assert manifest.column("id").tolist() == expected
    assert manifest.column("group").tolist() == ["70ff"] * 10 + [b"plain".hex(), ""] * 5


def test_bytes_that_are_texts_stay_texts(tmp_path):
    made = {"id": pa.array([b"ab", "é".encode()]), "image": pa.array(PICTURES[:2]), "label": [0, 1]}
    pq.write_table(pa.table(made), tmp_path / "a.parquet")
    assert ParquetDataModule(tmp_path).manifest().column("id").tolist() == ["ab", "é"]


@pytest.mark.parametrize(
    ("ours", "values", "message"),
    [
        ("id", pa.array([[1], [2]]), r"column 'x' is list<item: int64>, not text|'id' is list"),
        ("id", pa.array(["a", "b\x00"]), r"id 'b\\x00' contains a NUL"),
        ("group", pa.array([{"a": 1}, None]), "not text"),
        ("generator", pa.array(["a\x00", "b"]), r"generator 'a\\x00' contains a NUL"),
        ("label", pa.array([[1], [0]]), "column 'x' is list"),
        ("width", pa.array([-3, 4]), "column 'x' contains -3, which is not a size"),
        ("width", pa.array([2**40, 4]), "which is not a size"),
        ("height", pa.array(["big", "4"]), "column 'x' is not a column of whole numbers"),
        (
            "note",
            pa.array([b"\xff", b"a"]).view(pa.string()),
            r"column 'x' \(string\) cannot be read(?s:.*)columns.note",
        ),
    ],
)
def test_columns_that_cannot_be_what_they_are_named_are_refused(tmp_path, ours, values, message):
    pq.write_table(pa.table({"image": pa.array(PICTURES[:2]), "x": values}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=message):
        ParquetDataModule(tmp_path, {"image": "image", ours: "x"}).manifest()


def test_a_column_that_is_there_twice_is_refused(tmp_path):
    image = pa.array(PICTURES[:2])
    for names, columns in ((["image", "x", "x"], {"note": "x"}), (["image", "image", "x"], {})):
        made = pa.Table.from_arrays([image, image, image], names)
        pq.write_table(made, tmp_path / "a.parquet")
        with pytest.raises(DataError, match="twice"):
            ParquetDataModule(tmp_path, {"image": "image"} | columns).manifest()
    sizes = pa.array([4, 5])
    pq.write_table(pa.Table.from_arrays([image, sizes, sizes], ["image", "width", "width"]), tmp_path / "a.parquet")
    manifest = ParquetDataModule(tmp_path, {"image": "image"}).manifest()  # nobody asked for either
    assert manifest.column("width").tolist() == [0, 0]


def test_files_whose_columns_do_not_go_together_are_named(tmp_path):
    for name, values in (("a", [1, None]), ("b", [None, None]), ("c", ["x", "y"])):
        pq.write_table(pa.table({"image": pa.array(PICTURES[:2]), "n": values}), tmp_path / f"{name}.parquet")
    columns = {"image": "image", "n": "n"}
    manifest = ParquetDataModule(tmp_path / "[ab].parquet", columns).manifest()
    assert manifest.table["n"].to_pylist() == [1, None, None, None]
    with pytest.raises(DataError, match=r"'n' has incompatible types: int64 \(.*a.parquet\), (?s:.*)c.parquet"):
        ParquetDataModule(tmp_path, columns).manifest()


@pytest.mark.parametrize(
    "text",
    ['{"info": null}', '{"info": {"features": null}}', "[]", "null", "{", '{"info": {"features": {"label": 3}}}'],
)
def test_metadata_that_say_nothing(tmp_path, text):
    made = pa.Table.from_pylist(rows(20)).replace_schema_metadata({"huggingface": text})
    pq.write_table(made, tmp_path / "a.parquet")
    assert ParquetDataModule(tmp_path).manifest().labels.tolist() == [0, 1] * 10
