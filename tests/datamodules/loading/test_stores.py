import multiprocessing
import os
import pickle
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.errors import DataError
from datamodules.loading.stores import FileStore, Hdf5Store, ImageStore, ParquetStore
from datamodules.tables.manifest import Manifest

COUNT = 11


def manifest(where: list[str], rows: list[int] | None = None) -> Manifest:
    columns: dict[str, Any] = {"id": [str(k) for k in range(len(where))], "label": [0] * len(where), "where": where}
    return Manifest.from_columns(columns | ({} if rows is None else {"row": rows}))


def payload(row: int) -> bytes:
    return np.random.default_rng(row).bytes(50 + row)


def images(count: int = COUNT, height: int = 6, width: int = 8) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def same(one: Any, other: Any) -> bool:
    return one == other if isinstance(one, bytes) else bool(np.array_equal(one, other))


def test_files(tmp_path: Path) -> None:
    for row in range(3):
        (tmp_path / f"{row}.png").write_bytes(payload(row))
    store = FileStore(manifest([str(tmp_path / f"{row}.png") for row in (2, 0, 1, 0)] + [str(tmp_path / "absent")]))
    assert [store.read(row) for row in range(4)] == [payload(row) for row in (2, 0, 1, 0)]
    with pytest.raises(DataError, match="absent cannot be read: No such file"):
        store.read(4)


@pytest.fixture
def shards(tmp_path: Path) -> list[str]:
    names = []
    for shard in range(2):
        cells = [{"bytes": payload(100 * shard + row), "path": f"{row}.png"} for row in range(COUNT)]
        names.append(str(tmp_path / f"shard-{shard}.parquet"))
        pq.write_table(pa.table({"x": range(COUNT), "image": cells}), names[-1], row_group_size=4)
    return names


def test_parquet_in_any_order_over_shards(shards: list[str]) -> None:
    places = [(shard, row) for row in range(COUNT) for shard in (1, 0)][::-1]
    store = ParquetStore(manifest([shards[shard] for shard, _ in places], [row for _, row in places]))
    for position, (shard, row) in enumerate(places):
        assert store.read(position) == payload(100 * shard + row)


def test_parquet_keeps_row_groups_within_its_budget(shards: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[int] = []
    whole = pq.ParquetFile.read_row_group

    def counted(self: Any, group: int, **options: Any) -> Any:
        reads.append(group)
        return whole(self, group, **options)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", counted)
    rows = list(range(COUNT))
    roomy = ParquetStore(manifest([shards[0]] * COUNT, rows))
    narrow = ParquetStore(manifest([shards[0]] * COUNT, rows), cache_bytes=1)
    for store, expected in ((roomy, [0, 1, 2]), (narrow, [0, 1, 2, 0, 1, 2])):
        reads.clear()
        for row in rows * 2:
            assert store.read(row) == payload(row)
        assert reads == expected


def test_parquet_of_plain_binary(tmp_path: Path) -> None:
    pq.write_table(pa.table({"jpg": [payload(0), None]}), tmp_path / "a.parquet")
    store = ParquetStore(manifest([str(tmp_path / "a.parquet")] * 2, [0, 1]), column="jpg")
    assert store.read(0) == payload(0)
    with pytest.raises(DataError, match="neither bytes nor a path"):
        store.read(1)


def test_parquet_paths_are_resolved_below_the_root_only(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "deep").mkdir(parents=True)
    (root / "deep/a.png").write_bytes(b"inside")
    (tmp_path / "b.png").write_bytes(b"outside")
    (root / "link.png").symlink_to(tmp_path / "b.png")
    names = ["deep/a.png", "../b.png", str(tmp_path / "b.png"), "link.png", "deep/../../b.png", "absent.png", None, ""]
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    cells = pa.array([{"bytes": None, "path": name} for name in names] + [None], kind)
    pq.write_table(pa.table({"image": cells}), tmp_path / "a.parquet")
    table = manifest([str(tmp_path / "a.parquet")] * 9, list(range(9)))
    store = ParquetStore(table, root=root)
    assert store.read(0) == b"inside"
    for row in (1, 2, 3, 4):
        with pytest.raises(DataError, match=" leaves "):
            store.read(row)
    with pytest.raises(DataError, match=r"absent\.png cannot be read"):
        store.read(5)
    for row in (6, 7, 8):
        with pytest.raises(DataError, match="neither bytes nor a path"):
            store.read(row)
    with pytest.raises(DataError, match=r"datamodule\.root"):
        ParquetStore(table).read(0)


def test_parquet_names_what_is_wrong(shards: list[str], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="did you mean 'image'"):
        ParquetStore(manifest(shards[:1], [0]), column="imgae").read(0)
    with pytest.raises(DataError, match="has no row 11"):
        ParquetStore(manifest(shards[:1], [COUNT])).read(0)
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 not")
    for name in ("bad.parquet", "absent.parquet"):
        with pytest.raises(DataError, match=f"{name} cannot be opened"):
            ParquetStore(manifest([str(tmp_path / name)], [0])).read(0)


def flat(group: h5py.Group, chunked: bool = False) -> list[bytes]:
    order = np.random.default_rng(0).permutation(COUNT)
    offset, data = np.zeros(COUNT, np.int64), b""
    for row in order:
        offset[row] = len(data)
        data += payload(row)
    group.create_dataset("bytes", data=np.frombuffer(data, np.uint8), compression="gzip" if chunked else None)
    group["offset"] = offset
    group["length"] = np.array([len(payload(row)) for row in range(COUNT)])
    return [payload(row) for row in range(COUNT)]


def rows_of_bytes(group: h5py.Group) -> list[bytes]:
    data = group.create_dataset("bytes", (COUNT,), dtype=h5py.vlen_dtype(np.uint8))
    for row in range(COUNT):
        data[row] = np.frombuffer(payload(row), np.uint8)
    return [payload(row) for row in range(COUNT)]


def pixels(group: h5py.Group, **options: Any) -> list[np.ndarray[Any, Any]]:
    group.create_dataset("image", data=images(), **options)
    return list(images())


LAYOUTS = {
    "flat": flat,
    "flat compressed": lambda group: flat(group, chunked=True),
    "variable length": rows_of_bytes,
    "pixels contiguous": pixels,
    "pixels a chunk each": lambda group: pixels(group, chunks=(1, 6, 8, 3)),
    "pixels compressed": lambda group: pixels(group, chunks=(1, 6, 8, 3), compression="lzf"),
    "pixels in odd chunks": lambda group: pixels(group, chunks=(4, 5, 5, 2)),
}


@pytest.mark.parametrize("userblock", [0, 512])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_hdf5_layout(tmp_path: Path, layout: str, userblock: int) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", userblock_size=userblock) as file:
        expected = LAYOUTS[layout](file.create_group("train"))
    order = np.random.default_rng(1).permutation(COUNT)
    store = Hdf5Store(manifest([f"{path}::train"] * COUNT, order.tolist()))
    for _ in range(2):
        for position, row in enumerate(order):
            assert same(store.read(position), expected[row])


def test_hdf5_groups_of_one_file(tmp_path: Path) -> None:
    path = tmp_path / "a::b.h5"
    with h5py.File(path, "w") as file:
        for value, name in enumerate(("train", "valid")):
            file[f"{name}/image"] = np.full((2, 3, 3, 3), value, np.uint8)
    store = Hdf5Store(manifest([f"{path}::{name}" for name in ("valid", "train", "valid")], [0, 1, 1]))
    assert [int(np.asarray(store.read(row)).max()) for row in range(3)] == [1, 0, 1]


def test_hdf5_names_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        flat(file.create_group("train"))
        file["train/offset"][0] = 10**6
        file["train/length"][1] = -1
        file.create_group("empty")
        file["float/image"] = np.zeros((2, 3, 3, 3), np.float32)
    for row, words in ((0, "are outside"), (1, "are outside"), (COUNT, f"has no row {COUNT}")):
        with pytest.raises(DataError, match=words):
            Hdf5Store(manifest([f"{path}::train"], [row])).read(0)
    for group, words in (("trian", "did you mean 'train'"), ("empty", "neither"), ("float", "float32")):
        with pytest.raises(DataError, match=words):
            Hdf5Store(manifest([f"{path}::{group}"], [0])).read(0)
    with pytest.raises(DataError, match="cannot be opened"):
        Hdf5Store(manifest([f"{tmp_path / 'absent.h5'}::train"], [0])).read(0)


def test_a_truncated_hdf5_file_is_no_image_of_zeros(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        flat(file.create_group("train"))
    store = Hdf5Store(manifest([f"{path}::train"] * COUNT, list(range(COUNT))))
    store.read(0)
    os.truncate(path, 2100)
    reasons = []
    for row in range(COUNT):
        try:
            assert store.read(row) == payload(row)
        except DataError as error:
            reasons.append(str(error))
    assert reasons
    assert all("truncated" in reason for reason in reasons)


def every_kind(tmp_path: Path, shard: str) -> list[tuple[ImageStore, list[Any]]]:
    (tmp_path / "one.png").write_bytes(payload(0))
    path = tmp_path / "all.h5"
    with h5py.File(path, "w") as file:
        expected = flat(file.create_group("train"))
        stacked = pixels(file.create_group("valid"), chunks=(1, 6, 8, 3))
        packed = pixels(file.create_group("test"), chunks=(1, 6, 8, 3), compression="gzip")
    rows = list(range(COUNT))
    return [
        (FileStore(manifest([str(tmp_path / "one.png")] * COUNT)), [payload(0)] * COUNT),
        (ParquetStore(manifest([shard] * COUNT, rows)), [payload(row) for row in rows]),
        (Hdf5Store(manifest([f"{path}::train"] * COUNT, rows)), expected),
        (Hdf5Store(manifest([f"{path}::valid"] * COUNT, rows)), stacked),
        (Hdf5Store(manifest([f"{path}::test"] * COUNT, rows)), packed),
    ]


def test_stores_are_pickled_without_their_handles(tmp_path: Path, shards: list[str]) -> None:
    for store, expected in every_kind(tmp_path, shards[0]):
        store.read(0)
        copy = pickle.loads(pickle.dumps(store))  # noqa: S301 - our own bytes
        assert all(same(copy.read(row), expected[row]) for row in range(COUNT))
        assert not pickle.loads(pickle.dumps(store)).__dict__.get("_opened")  # noqa: S301


def _read_all(store: ImageStore, expected: list[Any]) -> None:
    for _ in range(50):
        for row in range(COUNT):
            assert same(store.read(row), expected[row])


def test_forked_readers_do_not_disturb_each_other(tmp_path: Path, shards: list[str]) -> None:
    context = multiprocessing.get_context("fork")
    for store, expected in every_kind(tmp_path, shards[0]):
        store.read(0)
        opened = dict(store.__dict__.get("_opened", {}))
        children = [context.Process(target=_read_all, args=(store, expected)) for _ in range(3)]
        for child in children:
            child.start()
        _read_all(store, expected)
        for child in children:
            child.join()
            assert child.exitcode == 0
        assert store.__dict__.get("_opened", {}) == opened


def test_a_fork_opens_handles_of_its_own(shards: list[str]) -> None:
    store = ParquetStore(manifest([shards[0]], [0]))
    store.read(0)
    mine = store._opened[shards[0]]
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        store.read(0)
        os.write(writer, b"own" if store._opened[shards[0]] is not mine else b"shared")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 10) == b"own"
