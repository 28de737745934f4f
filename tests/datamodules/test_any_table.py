"""Tables nobody foresaw: each is read with all its rows, carried through HDF5 unchanged, or refused by name."""

import datetime
import decimal
import io
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import event, given, settings
from hypothesis import strategies as st
from synthetic import encoded, picture

from contracts.errors import PixelProofError
from datamodules.hdf5 import Hdf5DataModule
from datamodules.parquet import ParquetDataModule
from datamodules.preparing.hdf5_writer import Hdf5Writer
from datamodules.tables.manifest import Manifest

IMAGES = [encoded(picture(np.random.default_rng(k), 8, bool(k % 2))) for k in range(2)]
NAMES = (
    "id", "image", "label", "split", "where", "row", "generator", "group", "source", "width", "height", "format",
    "target", "bytes", "offset", "length", "arrow", "origin", "", ".", "a.b", "a", "a/b", "größe", "日本",
    " ", "-", *"bcdefgh",
)  # fmt: skip
texts = st.text(max_size=6)
numbers = st.integers(-(2**31), 2**31 - 1)
moments = st.datetimes(datetime.datetime(1970, 1, 1), datetime.datetime(2100, 1, 1))

SIMPLE = [
    (pa.null(), st.none()),
    (pa.bool_(), st.booleans()),
    (pa.int8(), st.integers(-128, 127)),
    (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    (pa.uint64(), st.integers(0, 2**64 - 1)),
    (pa.float16(), st.floats(width=16, allow_nan=False)),
    (pa.float64(), st.floats(allow_nan=False)),
    (pa.string(), texts),
    (pa.large_string(), texts),
    (pa.string_view(), texts),
    (pa.binary(), st.binary(max_size=6)),
    (pa.binary_view(), st.binary(max_size=6)),
    (pa.large_binary(), st.sampled_from(IMAGES)),
    (pa.binary(4), st.binary(min_size=4, max_size=4)),
    (pa.uuid(), st.uuids().map(lambda value: value.bytes)),
    (pa.dictionary(pa.int16(), pa.string()), texts),
    (pa.dictionary(pa.int16(), pa.binary()), st.binary(max_size=6)),
    (pa.date32(), moments.map(datetime.datetime.date)),
    (pa.timestamp("us"), moments),
    (pa.timestamp("ns", "Europe/Berlin"), st.integers(0, 2**62)),
    (pa.time64("ns"), st.integers(0, 86_399_999_999_999)),
    (pa.duration("us"), st.integers(-(2**60), 2**60)),
    (pa.decimal128(12, 3), st.integers(-(10**9), 10**9).map(lambda value: decimal.Decimal(value) / 1000)),
]  # fmt: skip


def nested(kind: pa.DataType, values: st.SearchStrategy) -> list[tuple[pa.DataType, st.SearchStrategy]]:
    optional = st.none() | values
    return [
        (pa.list_(kind), st.lists(optional, max_size=3)),
        (pa.large_list(kind), st.lists(optional, max_size=3)),
        (pa.list_(kind, 2), st.lists(optional, min_size=2, max_size=2)),
        (pa.map_(pa.string(), kind), st.lists(st.tuples(texts, optional), max_size=2)),
        (
            pa.struct({"bytes": pa.binary(), "path": kind}),
            st.fixed_dictionaries({"bytes": st.none(), "path": optional}),
        ),
        (pa.struct({"x": kind}), st.fixed_dictionaries({"x": optional})),
    ]


ARROW_ALONE = [
    (pa.list_view(pa.int8()), st.lists(st.integers(0, 9), max_size=2)),
    (pa.month_day_nano_interval(), st.tuples(*3 * [st.integers(0, 999)])),
]
"""Types that Parquet does not have, or not everywhere."""

TYPES = ARROW_ALONE + SIMPLE + [pair for simple in SIMPLE if simple[0] != pa.uuid() for pair in nested(*simple)]
IMAGE_TYPES = [
    pa.binary(), pa.large_binary(), pa.binary_view(), pa.dictionary(pa.int32(), pa.binary()), pa.list_(pa.binary()),
    pa.struct({"bytes": pa.binary(), "path": pa.string()}), pa.struct({"path": pa.null(), "bytes": pa.binary_view()}),
]  # fmt: skip


@st.composite
def columns(draw: st.DrawFn, rows: int) -> tuple[str, pa.Array]:
    kind, values = draw(st.sampled_from(TYPES))
    nulls = draw(st.sampled_from([st.none(), st.nothing()]))
    if kind == pa.null():
        return draw(st.sampled_from(NAMES)), pa.nulls(rows)
    found = draw(st.lists(values | nulls, min_size=rows, max_size=rows))
    return draw(st.sampled_from(NAMES)), pa.array(found, kind)


def image_column(kind: pa.DataType, rows: int) -> pa.Array:
    cells: list[object] = [IMAGES[row % 2] for row in range(rows)]
    if pa.types.is_struct(kind):
        cells = [{"bytes": cell, "path": None} for cell in cells]
    if pa.types.is_list(kind):
        cells = [[cell] for cell in cells]
    return pa.array(cells, kind)


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    rows = draw(st.integers(1, 24))
    found = draw(st.lists(columns(rows), max_size=4))
    if draw(st.integers(0, 9)):
        found = [(name, array) for name, array in found if name != "image"]
        found.append(("image", image_column(draw(st.sampled_from(IMAGE_TYPES)), rows)))
    for column, values in (("split", ["train", "val", "test"]), ("label", [0, 1, None]), ("id", None)):
        if draw(st.integers(0, 9)):
            found = [(name, array) for name, array in found if name != column]
            good = range(rows) if values is None else [values[row % len(values)] for row in range(rows)]
            found.append((column, pa.array(good)))
    names, arrays = [name for name, _ in found], [array for _, array in found]
    table = pa.Table.from_arrays(arrays, names) if arrays else pa.table({"image": pa.nulls(rows)})
    return table.replace_schema_metadata(
        draw(st.sampled_from([None, {"huggingface": '{"info": null}'}, {"huggingface": "["}]))
    )


def wanted(table: pa.Table, dropped: frozenset[str]) -> dict[str, str]:
    """Every column under a name of ours, or its own with one that is free."""
    own = {"where", "row", "format", "target", "bytes", "offset", "length", "arrow", "origin", ""}
    mapped = {(f"my {name}" if name in own else name): name for name in table.column_names if name not in dropped}
    return {"image": "image"} | mapped


def write(folder: Path, table: pa.Table, stream: bool) -> Path:
    if not stream:
        pq.write_table(table, folder / "a.parquet", row_group_size=7)
        return folder / "a.parquet"
    with pa.OSFile(str(folder / "a.arrow"), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=7)
    return folder / "a.arrow"


def read(path: Path, columns: dict[str, str]) -> tuple[ParquetDataModule, Manifest | None, str]:
    module = ParquetDataModule(path, columns)
    try:
        return module, module.manifest(), ""
    except PixelProofError as error:
        return module, None, str(error)


@settings(max_examples=60, derandomize=True)
@given(
    tables(),
    st.booleans(),
    st.frozensets(st.sampled_from(("id", "label", "split", "width", "height", "generator", "group"))),
)
def test_any_table_is_carried_whole_or_refused_by_name(table, stream, dropped):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            file = write(folder, table, stream)
        except pa.ArrowNotImplementedError:
            return  # Parquet itself does not know the type
        columns = wanted(table, dropped)
        module, manifest, refused = read(file, columns)
        if manifest is None:
            event("refused")
            assert any(
                text in refused for text in (*map(repr, table.column_names), "folds", "more than once", *columns)
            )
            return
        assert manifest.column("row").tolist() == list(range(table.num_rows))
        for name in manifest.table.column_names:
            manifest.column(name)
        manifest.fingerprint()
        for ours, theirs in columns.items():
            if ours not in ("id", "label", "split", "generator", "group", "source", "width", "height", "image"):
                assert same(manifest.table[ours], table[theirs]), ours
        prepared(folder, module, manifest)


def prepared(folder: Path, module: ParquetDataModule, manifest: Manifest) -> None:
    """What a prepared file says of its images is what the table said of them."""
    writer = Hdf5Writer(folder / "d.h5", workers=1)
    try:
        writer.write(manifest, module.store())
    except PixelProofError as error:
        event(f"not prepared: {error.what[:20]}")
        assert not (folder / "d.h5").exists()
        return
    event("prepared")
    stored = Hdf5DataModule(folder / "d.h5").manifest()
    rows = np.concatenate([manifest.rows(split) for split in ("train", "valid", "test")])
    assert stored.column("id").tolist() == manifest.column("id")[rows].tolist()
    before = manifest.table.take(pa.array(rows))
    for name in set(before.column_names) - {"where", "row", "width", "height", "format"}:
        assert same(stored.table[name], before[name]), name
    assert stored.column("origin_row").tolist() == manifest.column("row")[rows].tolist()
    assert writer.write(manifest, module.store()).already


def same(one: pa.ChunkedArray, other: pa.ChunkedArray) -> bool:
    """Whether two columns hold the same, dictionaries and views aside, to the last nanosecond."""
    return text(one) == text(other)


def text(column: pa.ChunkedArray) -> str:
    out = io.StringIO()
    for chunk in column.chunks:
        for value in chunk:
            out.write(repr(_exact(value)))
    return out.getvalue()


def _exact(value: pa.Scalar) -> object:
    if not value.is_valid:
        return None
    if pa.types.is_temporal(value.type):
        return value.value
    if isinstance(value, pa.StructScalar):
        return {name: _exact(value[name]) for name in value}
    if isinstance(value, pa.ListScalar):  # maps among them
        return [_exact(inner) for inner in value.values]
    return value.as_py()
