"""Preparing: no kill, damaged image or full disk leaves anything half done."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from unittest.mock import Mock

import numpy as np
import pytest
from synthetic import encoded, picture
from tqdm import tqdm

import datamodules.preparing.journal
from contracts.errors import DataError
from datamodules.arrow import fed_store
from datamodules.hdf5 import Hdf5DataModule
from datamodules.loading.decode import decode
from datamodules.loading.parallel import parallel
from datamodules.loading.stores import FileStore
from datamodules.preparing import job as prepare_job
from datamodules.preparing import work as prepare_work
from datamodules.preparing import write_back, write_direct
from datamodules.preparing.hdf5_writer import Hdf5Writer
from datamodules.preparing.job import TooManyFailuresError
from datamodules.preparing.work import to_square
from datamodules.tables.manifest import Manifest
from tests.datamodules.preparing.prepared import content, same, source, write


def test_a_reader_that_dies_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(fed_store, "BUDGET", 0)
    monkeypatch.setattr(fed_store, "_read", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(DataError, match="process that reads the Parquet files ended"):
        write(tmp_path / "d.h5", source(tmp_path))


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


def progressed(journal, pid):
    """Waits until a child has noted some work, or has ended."""
    while not (journal.is_file() and journal.read_bytes().count(b"\n") > 2):
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return
        time.sleep(0.005)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a forked child")
@pytest.mark.parametrize(("storage", "size"), [("pixels", 32), ("pixels", 64), ("encoded", None)])
def test_a_kill_at_any_moment_costs_only_time(tmp_path, monkeypatch, storage, size):
    monkeypatch.setattr(write_direct, "LEAST", 64 * 64 * 3)  # past the page cache, where there are whole pages
    monkeypatch.setattr(datamodules.preparing.journal, "INTERVAL", 0.0)
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
def test_a_lost_part_is_made_again(tmp_path, storage, size):
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
def test_an_image_that_was_fixed_is_no_failure_any_more(tmp_path, monkeypatch, accepted):
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
        with pytest.raises(DataError, match=r"is full: \d+ MiB needed, \d+ MiB free(?s:.*)prepare.out on another disk"):
            write(disk / "d.h5", module, storage="pixels", size=128)
        assert not (disk / "d.h5").exists()
        assert not (disk / "d.h5.part").exists()
        (disk / "d.h5.journal").unlink()
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_fills_up_halfway_leaves_work_to_go_on_from(tmp_path, monkeypatch):
    module = source(tmp_path)
    calls = 0
    real = write_back.write_all

    def full(*arguments):
        nonlocal calls
        calls += 1
        if calls > 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(*arguments)

    monkeypatch.setattr(write_back, "write_all", full)
    monkeypatch.setattr(prepare_work, "REPORT", 4)
    monkeypatch.setattr(datamodules.preparing.journal, "INTERVAL", 0.0)
    for _ in range(2):
        with pytest.raises(DataError, match=r"disk of .* is full(?s:.*)Free some space and run again"):
            write(tmp_path / "d.h5", module, storage="pixels", size=16, workers=1)
        assert not (tmp_path / "d.h5").exists()
    monkeypatch.setattr(write_back, "write_all", real)
    result = write(tmp_path / "d.h5", module, storage="pixels", size=16)
    assert result.read < 60
    assert len(Hdf5DataModule(tmp_path / "d.h5").manifest()) == 90


def test_a_worker_that_dies_is_reported():
    def work(number):
        yield number
        if number == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    seen = []
    with pytest.raises(DataError, match=r"exit code -9 \(killed; possibly out of memory\)"):
        seen.extend(parallel(work, 50, 2))

    def refuse(number):
        raise DataError(f"not {number}", "a step")
        yield

    with pytest.raises(DataError, match="not 0\n  → a step"):
        list(parallel(refuse, 1, 1))
    assert sorted(parallel(lambda number: iter([number, -number]), 5, 3)) == [-4, -3, -2, -1, 0, 0, 1, 2, 3, 4]


def test_sources_that_change_under_way_are_noticed(tmp_path, monkeypatch):
    module = source(tmp_path)
    made = prepare_job.Job._allocate_bytes

    def changed(job):
        offsets = made(job)
        job.facts.length[3] += 1
        return offsets

    monkeypatch.setattr(prepare_job.Job, "_allocate_bytes", changed)
    with pytest.raises(DataError, match="row 3 changed during preparation"):
        write(tmp_path / "d.h5", module)
    assert not (tmp_path / "d.h5").exists()
