"""Prepared in parts, anywhere and in any order: the file that one run writes, made once."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from synthetic import encoded, picture

import datamodules.preparing.hdf5_writer
from contracts.errors import ConfigError, DataError
from datamodules.parquet import ParquetDataModule
from datamodules.preparing.hdf5_writer import Hdf5Writer
from datamodules.preparing.job import TooManyFailuresError
from datamodules.preparing.journal import InUseError
from datamodules.preparing.parts import Parts

COUNT, SHARDS = 50, 4
DAMAGED = (7, 20, 21, 49)
SETTINGS = [{}, {"storage": "pixels", "size": 16}, {"storage": "pixels", "size": 16, "limit": 30}]


@pytest.fixture
def module(tmp_path: Path) -> ParquetDataModule:
    rows = []
    for k in range(COUNT):
        data = encoded(picture(np.random.default_rng(k), (24, 32)[k % 2], bool(k % 3)), ("JPEG", "PNG", "WEBP")[k % 3])
        data = data[: len(data) // 2] if k in DAMAGED else data
        rows.append({"id": f"i{k}", "image": {"bytes": data}, "label": k % 2, "note": f"n{k}"})
    (tmp_path / "set").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "set/a.parquet", row_group_size=8)
    return ParquetDataModule(tmp_path / "set", {"id": "id", "image": "image", "label": "label", "note": "note"})


def content(path: Path) -> dict[str, list[object]]:
    with h5py.File(path) as file:
        found = {
            f"{name}/{column}": values.asstr()[:].tolist()
            if h5py.check_string_dtype(values.dtype)
            else values[:].tolist()
            for name, group in file.items()
            for column, values in group.items()
        }
        return found | {name: [value] for name, value in file.attrs.items()}


def writer(path: Path, **settings: object) -> Hdf5Writer:
    return Hdf5Writer(path, workers=1, **({"max_failures": 0.2} | settings))  # type: ignore[arg-type]


def in_parts(folder: Path, module: ParquetDataModule, writer: Hdf5Writer, count: int = SHARDS) -> Parts:
    manifest = module.manifest()
    return Parts(folder / "parts", count, writer.settings(manifest, writer.rows(manifest)))


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_union_is_what_one_run_writes(
    settings: dict[str, object], module: ParquetDataModule, tmp_path: Path
) -> None:
    manifest, store = module.manifest(), module.store()
    whole = writer(tmp_path / "whole.h5", **settings).write(manifest, store)
    own = writer(tmp_path / "d.h5", **settings)
    parts = in_parts(tmp_path, module, own)
    for number in (2, 0, 3, 1):
        assert not parts.done(number)
        own.write_part(manifest, store, parts, number)
    assert parts.missing() == []
    united = own.merge(manifest, parts)
    assert content(tmp_path / "d.h5") == content(tmp_path / "whole.h5")
    assert (united.images, united.failures) == (whole.images, whole.failures)
    assert united.failures
    again = own.merge(manifest, parts)
    assert again.already
    assert again.images == whole.images
    assert not list(tmp_path.glob("*.journal"))


def test_a_part_of_nothing_but_damaged_images_is_a_part(module: ParquetDataModule, tmp_path: Path) -> None:
    own = writer(tmp_path / "d.h5")
    parts = in_parts(tmp_path, module, own, COUNT // 2)  # 20 and 21 alone
    for number in range(COUNT // 2):
        own.write_part(module.manifest(), module.store(), parts, number)
    united = own.merge(module.manifest(), parts)
    writer(tmp_path / "whole.h5").write(module.manifest(), module.store())
    assert content(tmp_path / "d.h5") == content(tmp_path / "whole.h5")
    assert [failure.id for failure in united.failures] == [f"i{k}" for k in DAMAGED]
    with pytest.raises(DataError, match=f"prepare.shards={COUNT + 1} for {COUNT} images"):
        own.write_part(module.manifest(), module.store(), in_parts(tmp_path, module, own, COUNT + 1), 0)


def test_failures_are_judged_on_the_whole(module: ParquetDataModule, tmp_path: Path) -> None:
    own = writer(tmp_path / "d.h5", max_failures=0.05)
    parts = in_parts(tmp_path, module, own)
    for number in range(SHARDS):
        own.write_part(module.manifest(), module.store(), parts, number)
    with pytest.raises(TooManyFailuresError, match="4 of 50 images"):
        own.merge(module.manifest(), parts)
    assert not (tmp_path / "d.h5").exists()
    assert len(writer(tmp_path / "d.h5", max_failures=0.1).merge(module.manifest(), parts).failures) == 4


@pytest.mark.parametrize("settings", SETTINGS[:2])
def test_a_union_that_was_killed_continues(
    settings: dict[str, object], module: ParquetDataModule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, store = module.manifest(), module.store()
    writer(tmp_path / "whole.h5", **settings).write(manifest, store)
    own = writer(tmp_path / "d.h5", **settings)
    parts = in_parts(tmp_path, module, own)
    for number in range(SHARDS):
        own.write_part(manifest, store, parts, number)

    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Hdf5Writer, "_publish", cut)  # everything is copied, nothing has its columns
        with pytest.raises(KeyboardInterrupt):
            own.merge(manifest, parts)
    journal = (tmp_path / "d.h5.journal").read_text()
    assert '"copied":true' in journal
    copies = []
    passed = datamodules.preparing.hdf5_writer.Union._pass
    monkeypatch.setattr(
        datamodules.preparing.hdf5_writer.Union,
        "_pass",
        lambda self, name, kind, rows, offsets: (copies.append(len(rows)), passed(self, name, kind, rows, offsets)),
    )
    own.merge(manifest, parts)
    assert copies == [0]
    assert content(tmp_path / "d.h5") == content(tmp_path / "whole.h5")


def test_what_does_not_fit_is_refused(module: ParquetDataModule, tmp_path: Path) -> None:
    own = writer(tmp_path / "d.h5", storage="pixels", size=16)
    parts = in_parts(tmp_path, module, own, 2)
    own.write_part(module.manifest(), module.store(), parts, 0)
    other = in_parts(tmp_path, module, writer(tmp_path / "d.h5", storage="pixels", size=24), 2)
    with pytest.raises(DataError, match="prepared with other size"):
        other.done(0)
    own.write_part(module.manifest(), module.store(), parts, 1)
    parts.file(1).write_bytes(parts.file(0).read_bytes())
    with pytest.raises(DataError, match="twice or unexpectedly"):
        own.merge(module.manifest(), parts)
    note = parts.file(0).with_suffix(".json")
    note.write_text(json.dumps(json.loads(note.read_text()) | {"failures": []}))
    with pytest.raises(DataError, match="lacks 'i7'"):
        own.merge(module.manifest(), parts)


def test_only_one_puts_them_together(module: ParquetDataModule, tmp_path: Path) -> None:
    own = writer(tmp_path / "d.h5")
    parts = in_parts(tmp_path, module, own, 1)
    own.write_part(module.manifest(), module.store(), parts, 0)
    code = (
        "import sys, time; from pathlib import Path; from datamodules.preparing.journal import Journal\n"
        "journal = Journal(Path(sys.argv[1]), {}); print('locked', flush=True); time.sleep(3600)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "d.h5.journal")], stdout=subprocess.PIPE, env=dict(os.environ)
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"locked\n"
    with pytest.raises(InUseError):
        own.merge(module.manifest(), parts)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    own.merge(module.manifest(), parts)
    with pytest.raises(ConfigError, match="storage"):
        writer(tmp_path / "d.h5", storage="pixels", size=8).write(module.manifest(), module.store())
