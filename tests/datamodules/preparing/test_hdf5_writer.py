"""Preparing: what is written."""

import json
from unittest.mock import Mock

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from synthetic import encoded, picture

from contracts.errors import ConfigError, DataError
from datamodules.arrow import fed_store, pieces
from datamodules.hdf5 import Hdf5DataModule
from datamodules.loading.decode import decode
from datamodules.loading.stores import FileStore
from datamodules.parquet import ParquetDataModule
from datamodules.preparing.hdf5_writer import Hdf5Writer
from datamodules.preparing.job import TooManyFailuresError
from datamodules.preparing.subset import prepared_rows
from datamodules.tables.manifest import Manifest
from tests.datamodules.preparing.prepared import SIZES, content, same, source, write


def test_encoded_bytes_come_back_as_they_were(tmp_path):
    module = source(tmp_path)
    result = write(tmp_path / "d.h5", module)
    assert (result.read, sum(result.images.values()), result.failures) == (90, 90, [])
    read = Hdf5DataModule(tmp_path / "d.h5")
    ours, theirs = module.manifest(), read.manifest()
    rows = {ours.image_id(row): row for row in range(90)}
    assert sorted(theirs.column("id")) == sorted(rows)
    for row in range(90):
        before = rows[theirs.image_id(row)]
        assert read.store().read(row) == module.store().read(before)
        for name in ("label", "split", "group", "control", "generator"):
            assert theirs.column(name)[row] == ours.column(name)[before]
        assert theirs.column("width")[row] == theirs.column("height")[row] == SIZES[before % 3]
        assert theirs.column("format")[row] == ("JPEG", "PNG", "WEBP")[before // 3 % 3]
        assert (theirs.column("origin")[row], theirs.column("origin_row")[row]) == (str(tmp_path / "a.parquet"), before)
    with h5py.File(tmp_path / "d.h5") as file:
        assert dict(file.attrs) | {"storage": "encoded", "size": 0, "pixelproof_format": 1} == dict(file.attrs)
        assert {"torchvision", "pillow", "torch"} <= json.loads(file.attrs["versions"]).keys()
        data = file["train/bytes"]
        assert (data.dtype, data.chunks, data.compression) == (np.uint8, None, None)
        assert file["train/target"].dtype == file["train/offset"].dtype == np.int64
        # one image right behind the other, in the order of the rows
        lengths = file["train/length"][:]
        assert np.array_equal(file["train/offset"][:], np.cumsum(lengths) - lengths)
        assert len(data) == lengths.sum()


def test_pixels_are_those_of_pillow_but_for_rounding(tmp_path):
    module = source(tmp_path)
    write(tmp_path / "d.h5", module, storage="pixels", size=40)
    read = Hdf5DataModule(tmp_path / "d.h5")
    rows = {module.manifest().image_id(row): row for row in range(90)}
    with h5py.File(tmp_path / "d.h5") as file:
        assert file["train/image"].chunks == (1, 40, 40, 3)
        assert file["train/image"].compression is None
        assert file["train/image"].dtype == np.uint8
        assert file["train/width"][0] == SIZES[rows[file["train/id"].asstr()[0]] % 3]  # of the source
    for row in range(90):
        data = module.store().read(rows[read.manifest().image_id(row)])
        pillow = Image.fromarray(decode(data).permute(1, 2, 0).numpy()).resize((40, 40), Image.Resampling.BICUBIC)
        difference = np.abs(read.store().read(row).astype(int) - np.asarray(pillow))
        assert difference.max() <= 2  # pure noise, with the strongest over- and undershoots there are
        assert (difference > 1).mean() < 2e-3


def test_workers_and_row_groups_do_not_change_the_file(tmp_path):
    one, other = source(tmp_path / "a", 150, group=150), source(tmp_path / "b", 150, group=9)
    write(tmp_path / "1.h5", one, storage="pixels", size=8, workers=1)
    write(tmp_path / "3.h5", one, storage="pixels", size=8, workers=3)
    write(tmp_path / "g.h5", other, storage="pixels", size=8, workers=2)
    first = content(tmp_path / "1.h5")
    assert same(first, content(tmp_path / "3.h5"))
    other = content(tmp_path / "g.h5")
    assert same(
        {k: v for k, v in first.items() if "where" not in k}, {k: v for k, v in other.items() if "where" not in k}
    )


@pytest.mark.parametrize(("storage", "size"), [("pixels", 8), ("encoded", None)])
def test_one_reader_for_all_gives_the_same_file(tmp_path, monkeypatch, storage, size):
    module = source(tmp_path, 150, damaged={7, 80})
    settings = {"storage": storage, "size": size, "max_failures": 0.5}
    write(tmp_path / "1.h5", module, **settings)
    monkeypatch.setattr(fed_store, "BUDGET", 0)
    monkeypatch.setattr(fed_store, "deal", Mock(side_effect=pieces.deal))
    write(tmp_path / "2.h5", module, **settings)
    assert isinstance(fed_store.deal.call_args.args[0], fed_store.FedStore)
    assert same(content(tmp_path / "1.h5"), content(tmp_path / "2.h5"))


def test_pages_are_estimated_from_what_the_file_says(tmp_path):
    rows = [{"id": str(k), "image": {"bytes": bytes(range(256)) * 4}, "label": k % 2} for k in range(2048)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet", use_dictionary=False)
    store = ParquetDataModule(tmp_path).store()
    assert 2**20 < store.page_bytes() < 1.02 * 2**20


def test_any_store_will_do(tmp_path):
    for k in range(30):
        (tmp_path / f"{k}.png").write_bytes(encoded(picture(np.random.default_rng(k), 16, False)))
    manifest = Manifest.from_columns(
        {"id": [str(k) for k in range(30)], "label": [k % 2 for k in range(30)], "split": ["train", "test"] * 15,
         "where": [str(tmp_path / f"{k}.png") for k in range(30)]}
    )  # fmt: skip
    Hdf5Writer(tmp_path / "a.h5", workers=2).write(manifest, FileStore(manifest))
    again = Hdf5DataModule(tmp_path / "a.h5")  # from one prepared file to another
    write(tmp_path / "b.h5", again, storage="pixels", size=8)
    with h5py.File(tmp_path / "b.h5") as file:
        assert set(file) == {"train", "test"}
        assert sorted(file["test/id"].asstr()) == sorted(str(k) for k in range(1, 30, 2))
    pixels = Hdf5DataModule(tmp_path / "b.h5")
    write(tmp_path / "c.h5", pixels, storage="pixels", size=4)
    with pytest.raises(TooManyFailuresError, match="contains pixels, not encoded images"):
        write(tmp_path / "d.h5", pixels)


def test_a_second_run_starts_from_what_is_there(tmp_path):
    module = source(tmp_path)
    first = write(tmp_path / "d.h5", module, limit=40)
    stamp = (tmp_path / "d.h5").stat().st_mtime_ns
    second = write(tmp_path / "d.h5", module, limit=40, workers=1)
    assert (second.already, second.read, second.images) == (True, 0, first.images)
    assert (tmp_path / "d.h5").stat().st_mtime_ns == stamp
    with pytest.raises(ConfigError, match=r"other settings: the images, limit \(40 in the file, 50 now\)"):
        write(tmp_path / "d.h5", module, limit=50)
    with pytest.raises(ConfigError, match=r"storage \(encoded in the file, pixels now\)"):
        write(tmp_path / "d.h5", module, limit=40, storage="pixels", size=8)
    (tmp_path / "e.h5").write_bytes(b"something else")
    with pytest.raises(ConfigError, match="is not a prepared file"):
        write(tmp_path / "e.h5", module)
    with h5py.File(tmp_path / "f.h5", "w"):
        pass
    with pytest.raises(ConfigError, match="not from task=prepare"):
        write(tmp_path / "f.h5", module)


def test_a_header_is_enough_on_request(tmp_path):
    sound, cut = source(tmp_path / "sound"), source(tmp_path / "cut", damaged={5})
    write(tmp_path / "pixels.h5", sound)
    write(tmp_path / "header.h5", sound, verify="header")
    assert same(content(tmp_path / "header.h5"), content(tmp_path / "pixels.h5"))
    with pytest.raises(ConfigError, match=r"other settings: verify \(header in the file, pixels now\)"):
        write(tmp_path / "header.h5", sound)
    with pytest.raises(ConfigError, match=r"other settings: verify \(pixels in the file, header now\)"):
        write(tmp_path / "pixels.h5", sound, verify="header")
    assert len(write(tmp_path / "a.h5", cut, max_failures=0.1).failures) == 1
    assert write(tmp_path / "b.h5", cut, verify="header").failures == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"storage": "pixels"}, r"needs a size(?s:.*)prepare.size=512"),
        ({"size": 256}, r"conflicts with prepare.storage=encoded(?s:.*)prepare.storage=pixels"),
        ({"limit": 0}, "prepare.limit=0"),
        ({"workers": 0}, "prepare.workers=0"),
        ({"max_failures": 1.5}, "prepare.max_failures=1.5"),
        ({"storage": "pixels", "size": 8, "verify": "header"}, r"verify=header conflicts with prepare.storage=pixels"),
    ],
)
def test_settings_that_do_not_fit_are_refused(tmp_path, settings, message):
    with pytest.raises(ConfigError, match=message):
        Hdf5Writer(tmp_path / "d.h5", **settings)


def test_what_cannot_be_prepared_is_refused(tmp_path):
    manifest = Manifest.from_columns({"id": ["a"], "label": [-1], "where": ["a.png"]})
    with pytest.raises(DataError, match="none of the 1 rows has a split"):
        Hdf5Writer(tmp_path / "d.h5").write(manifest, FileStore(manifest))
    manifest = Manifest.from_columns({"id": ["a"], "label": [1], "split": ["train"], "target": [3]})
    with pytest.raises(ConfigError, match="'target' has the name of a dataset"):
        Hdf5Writer(tmp_path / "d.h5").write(manifest, FileStore(manifest))


def test_a_limit_keeps_the_make_up_and_larger_ones_hold_smaller_ones():
    count = 1000
    rng = np.random.default_rng(0)
    labels, splits = (
        rng.integers(0, 2, count),
        rng.choice(["train", "valid", "test", ""], count, p=[0.6, 0.1, 0.2, 0.1]),
    )
    manifest = Manifest.from_columns({"id": [str(k) for k in range(count)], "label": labels, "split": splits})
    everything = prepared_rows(manifest)
    assert np.array_equal(everything, np.flatnonzero(splits != ""))
    for limit in (1, 7, 100, 501):
        kept = prepared_rows(manifest, limit)
        assert len(kept) == limit
        assert np.all(np.diff(kept) > 0)
        for split in ("train", "valid", "test"):
            for label in (0, 1):
                inside = (splits == split) & (labels == label)
                assert abs(inside[kept].sum() - inside.sum() * limit / len(everything)) < 1
    assert set(prepared_rows(manifest, 200)) <= set(prepared_rows(manifest, 400))
    assert np.array_equal(prepared_rows(manifest, 5000), everything)


def test_a_limit_goes_to_the_largest_remainders():
    splits = ["train"] * 90 + ["valid"] * 6 + ["test"] * 4
    manifest = Manifest.from_columns({"id": [str(k) for k in range(100)], "label": [0] * 100, "split": splits})
    for limit, expected in ((1, [1, 0, 0]), (11, [10, 1, 0]), (10, [9, 1, 0]), (50, [45, 3, 2])):
        kept = np.array(splits)[prepared_rows(manifest, limit)]
        assert [(kept == name).sum() for name in ("train", "valid", "test")] == expected
