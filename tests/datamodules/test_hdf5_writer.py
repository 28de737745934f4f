"""Preparing: what is written, and that no kill, damaged image or full disk leaves anything half done."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from unittest.mock import Mock

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from drawn import encoded, picture
from PIL import Image
from tqdm import tqdm

import datamodules.journal
from contracts.errors import ConfigError, DataError
from datamodules import fed_store, prepare_job, prepare_work
from datamodules.decode import decode
from datamodules.hdf5 import Hdf5DataModule
from datamodules.hdf5_writer import Hdf5Writer
from datamodules.manifest import Manifest
from datamodules.parallel import parallel
from datamodules.parquet import ParquetDataModule
from datamodules.prepare_job import TooManyFailuresError
from datamodules.prepare_work import to_square
from datamodules.stores import FileStore
from datamodules.subset import prepared_rows

SIZES = (48, 64, 96)
COLUMNS = {"id": "id", "image": "image", "label": "label", "group": "photo", "control": "control"}


def source(folder, count=90, damaged=(), group=16):
    """A set with three sizes and formats; damaged rows are cut in the middle."""
    made = []
    for k in range(count):
        data = encoded(
            picture(np.random.default_rng(k), SIZES[k % 3], bool(k % 2)), ("JPEG", "PNG", "WEBP")[k // 3 % 3]
        )
        data = data[: len(data) // 2] if k in damaged else data
        made.append(
            {"id": f"i{k}", "image": {"bytes": data}, "label": k % 2, "photo": "" if k % 5 else f"p{k}", "control": "ä"}
        )
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(made), folder / "a.parquet", row_group_size=group)
    return ParquetDataModule(folder, COLUMNS)


def content(path):
    with h5py.File(path) as file:
        return {
            f"{name}/{column}": values.asstr()[:].tolist() if h5py.check_string_dtype(values.dtype) else values[:]
            for name, group in file.items()
            for column, values in group.items()
        }


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def write(path, module, **settings):
    return Hdf5Writer(path, workers=settings.pop("workers", 2), **settings).write(module.manifest(), module.store())


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
    monkeypatch.setattr(fed_store, "deal", Mock(side_effect=prepare_work.deal))
    write(tmp_path / "2.h5", module, **settings)
    assert isinstance(fed_store.deal.call_args.args[0], fed_store.FedStore)
    assert same(content(tmp_path / "1.h5"), content(tmp_path / "2.h5"))


def test_a_reader_that_dies_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(fed_store, "BUDGET", 0)
    monkeypatch.setattr(fed_store, "_read", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(DataError, match="process that reads the Parquet files ended"):
        write(tmp_path / "d.h5", source(tmp_path))


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
    with pytest.raises(TooManyFailuresError, match="holds pixels, not encoded images"):
        write(tmp_path / "d.h5", pixels)


@pytest.mark.parametrize(("storage", "size"), [("pixels", 16), ("encoded", None)])
def test_unreadable_images_are_listed_and_left_out(tmp_path, storage, size):
    damaged = {0, 3, 17, 40, 88}
    module = source(tmp_path, damaged=damaged)
    result = write(tmp_path / "d.h5", module, storage=storage, size=size, max_failures=0.1)
    assert {(f.id, f.row) for f in result.failures} == {(f"i{k}", k) for k in damaged}
    assert all(f.where == str(tmp_path / "a.parquet") and f.reason for f in result.failures)
    read = Hdf5DataModule(tmp_path / "d.h5")
    rows = {module.manifest().image_id(row): row for row in range(90)}
    assert {rows[name] for name in read.manifest().column("id")} == set(range(90)) - damaged
    for row in range(85):  # every image is still beside its own label
        data = module.store().read(rows[read.manifest().image_id(row)])
        expected = data if size is None else to_square(decode(data), size).permute(1, 2, 0).numpy()
        assert np.array_equal(read.store().read(row), expected) if size else read.store().read(row) == expected


def test_too_many_failures_leave_no_file_but_no_work_is_lost(tmp_path):
    module = source(tmp_path, damaged={1, 2})
    with pytest.raises(TooManyFailuresError, match=r"2 of 90 images cannot be read(?s:.*)'i1'") as caught:
        write(tmp_path / "d.h5", module, storage="pixels", size=8)
    assert [failure.id for failure in caught.value.failures] == ["i1", "i2"]
    assert not (tmp_path / "d.h5").exists()
    result = write(tmp_path / "d.h5", module, storage="pixels", size=8, max_failures=0.1)
    assert result.read == 2  # tried again, the others were done
    assert sum(result.images.values()) == 88
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.parquet", "d.h5"]


def test_all_of_a_split_may_fail(tmp_path):
    module = source(tmp_path, damaged=set(source(tmp_path.with_name("whole")).manifest().rows("valid").tolist()))
    write(tmp_path / "d.h5", module, storage="pixels", size=8, max_failures=0.5)
    write(tmp_path / "e.h5", module, max_failures=0.5)
    for name in ("d.h5", "e.h5"):
        assert set(Hdf5DataModule(tmp_path / name).manifest().column("split")) == {"train", "test"}


def test_a_second_run_starts_from_what_is_there(tmp_path):
    module = source(tmp_path)
    first = write(tmp_path / "d.h5", module, limit=40)
    stamp = (tmp_path / "d.h5").stat().st_mtime_ns
    second = write(tmp_path / "d.h5", module, limit=40, workers=1)
    assert (second.already, second.read, second.images) == (True, 0, first.images)
    assert (tmp_path / "d.h5").stat().st_mtime_ns == stamp
    with pytest.raises(ConfigError, match=r"other settings: the images, limit \(40 there, 50 wanted\)"):
        write(tmp_path / "d.h5", module, limit=50)
    with pytest.raises(ConfigError, match=r"storage \(encoded there, pixels wanted\)"):
        write(tmp_path / "d.h5", module, limit=40, storage="pixels", size=8)
    (tmp_path / "e.h5").write_bytes(b"something else")
    with pytest.raises(ConfigError, match="is no prepared file"):
        write(tmp_path / "e.h5", module)
    with h5py.File(tmp_path / "f.h5", "w"):
        pass
    with pytest.raises(ConfigError, match="not prepared by us"):
        write(tmp_path / "f.h5", module)


def progressed(journal, pid):
    """Waits until a child has noted some work, or has ended."""
    while not (journal.is_file() and journal.read_bytes().count(b"\n") > 2):
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return
        time.sleep(0.005)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a forked child")
@pytest.mark.parametrize(("storage", "size"), [("pixels", 32), ("encoded", None)])
def test_a_kill_at_any_moment_costs_only_time(tmp_path, monkeypatch, storage, size):
    monkeypatch.setattr(datamodules.journal, "INTERVAL", 0.0)
    monkeypatch.setattr(prepare_work, "REPORT", 4)
    module = source(tmp_path, damaged={5})
    module.manifest()
    settings = {"storage": storage, "size": size, "max_failures": 0.1}
    write(tmp_path / "whole.h5", module, **settings)
    expected = content(tmp_path / "whole.h5")

    image = {"pixels": prepare_work.PreparePixels, "encoded": prepare_work.Verify}[storage].image
    rng = np.random.default_rng(0)
    resumed = 0
    for trial in range(6):
        out = tmp_path / f"d{trial}.h5"
        pid = os.fork()
        if pid == 0:

            def slow(*arguments):
                time.sleep(0.004)
                return image(*arguments)

            kind = prepare_work.PreparePixels if storage == "pixels" else prepare_work.Verify
            kind.image = slow
            if trial % 2:  # it gets to the end of its work, but not past it, however late the kill comes
                prepare_job.layout.write_columns = lambda *_: time.sleep(600)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            tqdm.set_lock(threading.RLock())  # its usual one is shared with us, and might be held when the kill comes
            write(out, module, **settings)
            os._exit(0)
        if trial % 2:  # on a busy machine a short sleep alone would always come before the first image
            progressed(tmp_path / f"d{trial}.h5.journal", pid)
        time.sleep(rng.uniform(0, 0.05) if trial % 2 else rng.uniform(0.02, 0.35))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        result = write(out, module, **settings)
        resumed += not result.already and result.read < 90
        assert same(content(out), expected), f"trial {trial}"
        assert not [p.name for p in tmp_path.iterdir() if p.name.startswith(f"d{trial}.h5.")]
    assert resumed  # at least once, work of the killed run was taken over


def test_a_torn_journal_and_other_settings_do_no_harm(tmp_path):
    module = source(tmp_path, damaged={5})
    with pytest.raises(TooManyFailuresError):
        write(tmp_path / "d.h5", module, storage="pixels", size=8, max_failures=0)
    journal = tmp_path / "d.h5.journal"
    journal.write_bytes(journal.read_bytes()[:-7])
    with pytest.raises(TooManyFailuresError):
        write(tmp_path / "d.h5", module, storage="pixels", size=8, max_failures=0)
    result = write(tmp_path / "d.h5", module, storage="pixels", size=8, max_failures=0.5)
    assert result.read == 1  # the damaged one, tried again
    expected = content(tmp_path / "d.h5")
    (tmp_path / "d.h5").unlink()
    with pytest.raises(TooManyFailuresError):
        write(tmp_path / "d.h5", module, storage="pixels", size=16, max_failures=0)
    assert write(tmp_path / "d.h5", module, storage="pixels", size=8, max_failures=0.5).read == 90
    assert same(content(tmp_path / "d.h5"), expected)


@pytest.mark.parametrize(("storage", "size"), [("pixels", 8), ("encoded", None)])
def test_a_lost_part_is_made_anew(tmp_path, storage, size):
    module = source(tmp_path, damaged={5})
    settings = {"storage": storage, "size": size}
    write(tmp_path / "whole.h5", module, **settings, max_failures=0.5)
    with pytest.raises(TooManyFailuresError):
        write(tmp_path / "d.h5", module, **settings, max_failures=0)
    (tmp_path / "d.h5.part").unlink(missing_ok=True)
    write(tmp_path / "d.h5", module, **settings, max_failures=0.5)
    assert same(content(tmp_path / "d.h5"), content(tmp_path / "whole.h5"))


@pytest.mark.parametrize(("storage", "size"), [("pixels", 8), ("encoded", None)])
def test_a_finish_that_was_cut_short_is_done_again(tmp_path, monkeypatch, storage, size):
    module = source(tmp_path, damaged={5, 6})
    settings = {"storage": storage, "size": size, "max_failures": 0.5}
    write(tmp_path / "whole.h5", module, **settings)
    real = prepare_job.layout.write_columns

    def cut(*arguments):
        real(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(prepare_job.layout, "write_columns", cut)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "d.h5", module, **settings)
    monkeypatch.setattr(prepare_job.layout, "write_columns", real)
    write(tmp_path / "d.h5", module, **settings)
    assert same(content(tmp_path / "d.h5"), content(tmp_path / "whole.h5"))


@pytest.mark.parametrize("accepted", [False, True])
def test_an_image_that_was_mended_is_no_failure_any_more(tmp_path, monkeypatch, accepted):
    whole = encoded(picture(np.random.default_rng(0), 16, False))
    files = [tmp_path / f"{k}.png" for k in range(4)]
    for k, file in enumerate(files):
        file.write_bytes(bytes(len(whole)) if k == 2 else whole)
    manifest = Manifest.from_columns(
        {"id": list("abcd"), "label": [0, 1, 0, 1], "split": ["train"] * 4, "where": [str(file) for file in files]}
    )
    if accepted:  # room was made without it, and the run cut short
        real = prepare_job.layout.write_columns
        monkeypatch.setattr(prepare_job.layout, "write_columns", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            Hdf5Writer(tmp_path / "d.h5", max_failures=0.5).write(manifest, FileStore(manifest))
        monkeypatch.setattr(prepare_job.layout, "write_columns", real)
    else:
        with pytest.raises(TooManyFailuresError):
            Hdf5Writer(tmp_path / "d.h5").write(manifest, FileStore(manifest))
    files[2].write_bytes(whole)
    result = Hdf5Writer(tmp_path / "d.h5").write(manifest, FileStore(manifest))
    assert (result.failures, result.images) == ([], {("train", 0): 2, ("train", 1): 2})
    store = Hdf5DataModule(tmp_path / "d.h5").store()
    assert all(store.read(row) == whole for row in range(4))


def test_two_at_once_are_refused(tmp_path):
    module = source(tmp_path)
    code = (
        "import fcntl, sys, time; f = open(sys.argv[1], 'a'); fcntl.lockf(f, fcntl.LOCK_EX); "
        "print('locked', flush=True); time.sleep(3600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "d.h5.journal")], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"locked\n"
        with pytest.raises(DataError, match="another process is preparing"):
            write(tmp_path / "d.h5", module)
        process.kill()


def test_a_disk_too_small_is_found_before_anything_is_read(tmp_path):
    if os.geteuid():
        pytest.skip("mounting needs root")
    module = source(tmp_path / "set")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(disk)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted: {mounted.stderr.strip()}")
    try:
        with pytest.raises(DataError, match=r"is full: \d+ MiB are needed, \d+ free(?s:.*)prepare.out on another disk"):
            write(disk / "d.h5", module, storage="pixels", size=128)
        assert not (disk / "d.h5").exists()
        assert not (disk / "d.h5.part").exists()
        (disk / "d.h5.journal").unlink()
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_fills_up_halfway_leaves_work_to_go_on_from(tmp_path, monkeypatch):
    module = source(tmp_path)
    calls = 0
    real = prepare_work.write_all

    def full(*arguments):
        nonlocal calls
        calls += 1
        if calls > 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(*arguments)

    monkeypatch.setattr(prepare_work, "write_all", full)
    monkeypatch.setattr(prepare_work, "REPORT", 4)
    monkeypatch.setattr(datamodules.journal, "INTERVAL", 0.0)
    for _ in range(2):
        with pytest.raises(DataError, match=r"disk of .* is full(?s:.*)Make room and run again"):
            write(tmp_path / "d.h5", module, storage="pixels", size=16, workers=1)
        assert not (tmp_path / "d.h5").exists()
    monkeypatch.setattr(prepare_work, "write_all", real)
    result = write(tmp_path / "d.h5", module, storage="pixels", size=16)
    assert result.read < 60
    assert len(Hdf5DataModule(tmp_path / "d.h5").manifest()) == 90


def test_a_worker_that_dies_is_reported():
    def work(number):
        yield number
        if number == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    seen = []
    with pytest.raises(DataError, match=r"exit code -9 \(killed; is memory short\?\)"):
        seen.extend(parallel(work, 50, 2))

    def refuse(number):
        raise DataError(f"not {number}", "a step")
        yield

    with pytest.raises(DataError, match="not 0\n  → a step"):
        list(parallel(refuse, 1, 1))
    assert sorted(parallel(lambda number: iter([number, -number]), 5, 3)) == [-4, -3, -2, -1, 0, 0, 1, 2, 3, 4]


def test_sources_that_change_under_way_are_noticed(tmp_path, monkeypatch):
    module = source(tmp_path)
    made = prepare_job.Job._room_for_bytes

    def changed(job):
        offsets = made(job)
        job.facts.length[3] += 1
        return offsets

    monkeypatch.setattr(prepare_job.Job, "_room_for_bytes", changed)
    with pytest.raises(DataError, match="row 3 changed while it was prepared"):
        write(tmp_path / "d.h5", module)
    assert not (tmp_path / "d.h5").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"storage": "pixels"}, r"needs one size(?s:.*)prepare.size=512"),
        ({"size": 256}, r"does not go with prepare.storage=encoded(?s:.*)prepare.storage=pixels"),
        ({"limit": 0}, "prepare.limit=0"),
        ({"workers": 0}, "prepare.workers=0"),
        ({"max_failures": 1.5}, "prepare.max_failures=1.5"),
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


@pytest.mark.slow
def test_memory_does_not_grow_with_the_set(tmp_path):
    """20,000 images in one row group: the whole process tree, of two workers, stays below 1.5 GB."""
    pool = [encoded(picture(np.random.default_rng(k), 256, bool(k % 2)), "JPEG") for k in range(16)]
    table = pa.table(
        {"id": [str(k) for k in range(20_000)], "image": [{"bytes": pool[k % 16]} for k in range(20_000)],
         "label": [k % 2 for k in range(20_000)]}
    )  # fmt: skip
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=20_000, use_dictionary=False)
    del table
    command = [
        sys.executable, "lightning_main.py", "task=prepare", "datamodule=parquet", f"datamodule.path={tmp_path}",
        f"prepare.out={tmp_path / 'd.h5'}", "prepare.storage=pixels", "prepare.size=96",
        "prepare.workers=2",
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        most = 0
        while process.poll() is None:
            most = max(most, tree_memory(process.pid))
            time.sleep(0.1)
    assert process.returncode == 0
    print(f"peak of the process tree: {most / 1e6:.0f} MB")
    assert 0 < most < 1.5e9
    assert len(Hdf5DataModule(tmp_path / "d.h5").manifest()) == 20_000


def tree_memory(pid):
    """Bytes of a process and its children, shared pages counted once."""
    total = 0
    for process in [pid, *children(pid)]:
        try:
            text = Path(f"/proc/{process}/smaps_rollup").read_text()
            total += 1024 * int(re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE)[1])
        except (OSError, TypeError):
            continue  # it has just ended
    return total


def children(pid):
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
