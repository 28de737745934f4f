"""Blocks written past the page cache are where they belong, in any order, and no fault is lost on the way."""

import errno
import os
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from datamodules.preparing import work as prepare_work
from datamodules.preparing import write_direct
from datamodules.preparing.plan import Plan
from datamodules.preparing.write_back import CachedWriter
from datamodules.preparing.write_direct import DirectWriter

SIZE = 8192


def direct(path: Path, count: int) -> DirectWriter:
    """For ``count`` blocks, three at a time."""
    path.write_bytes(bytes(count * SIZE))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write_direct, "LEAST", SIZE)
        patch.setattr(write_direct, "TOGETHER", 3 * SIZE)
        try:
            return DirectWriter(path, SIZE)
        except OSError as error:
            pytest.skip(f"the file system of {path.parent} has no direct writes: {error}")


def block(number: int) -> NDArray[np.uint8]:
    return np.random.default_rng(number).integers(0, 256, SIZE, np.uint8)


def found(path: Path, number: int) -> NDArray[np.uint8]:
    return np.frombuffer(path.read_bytes()[number * SIZE : (number + 1) * SIZE], np.uint8)


@settings(max_examples=25)
@given(st.permutations(range(10)), st.lists(st.integers(0, 10), max_size=4))
def test_what_was_settled_is_in_its_place(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], settled: list[int]
) -> None:
    path = tmp_path_factory.mktemp("direct") / "data"
    writer = direct(path, 10)
    for count, number in enumerate(order, 1):
        writer.put(block(number), number * SIZE)
        assert writer.count == count
        if count in settled:
            writer.settle(count)
            assert all(np.array_equal(found(path, done), block(done)) for done in order[:count])
    writer.settle(writer.count)
    writer.settle(writer.count)
    assert path.read_bytes() == b"".join(block(number).tobytes() for number in range(10))


def test_neighbours_are_one_write_and_a_few_are_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[tuple[int, int]] = []
    real = os.pwritev

    def noted(descriptor: int, blocks: list[memoryview], offset: int) -> int:
        runs.append((offset // SIZE, len(blocks)))
        return real(descriptor, blocks, offset)

    writer = direct(tmp_path / "data", 9)
    monkeypatch.setattr(os, "pwritev", noted)
    for number in (4, 8, 3):
        writer.put(block(number), number * SIZE)
    writer.put(block(0), 0)
    writer.settle(3)
    assert runs == [(3, 2), (8, 1)]
    writer.settle(4)
    assert runs[2:] == [(0, 1)]


@pytest.mark.parametrize("short", [False, True])
def test_what_cannot_be_written_directly_is_written_anyway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short: bool
) -> None:
    def refused(descriptor: int, blocks: list[memoryview], offset: int) -> int:
        if short:
            return os.pwrite(descriptor, blocks[0][:4096], offset)
        raise OSError(errno.EINVAL, "Invalid argument")

    writer = direct(tmp_path / "data", 4)
    monkeypatch.setattr(os, "pwritev", refused)
    for number in range(4):
        writer.put(block(number), number * SIZE)
    writer.settle(4)
    assert (tmp_path / "data").read_bytes() == b"".join(block(number).tobytes() for number in range(4))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_failing_disk_is_reported_and_not_tried_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def failing(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    writer = direct(tmp_path / "data", 3)
    monkeypatch.setattr(os, "pwritev", failing)
    writer.put(block(0), 0)
    with pytest.raises(OSError, match=os.strerror(code)):
        writer.settle(1)
    assert not found(tmp_path / "data", 0).any()


def test_a_full_disk_is_reported_by_whoever_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> int:
        raise OSError(errno.EINVAL, "Invalid argument")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    writer = direct(tmp_path / "data", 9)
    monkeypatch.setattr(os, "pwritev", refused)
    monkeypatch.setattr(write_direct, "write_all", full)
    for number in range(3):
        writer.put(block(number), number * SIZE)
    with pytest.raises(OSError, match="No space left"):
        writer.settle(3)
    with pytest.raises(OSError, match="No space left"):  # noqa: PT012 - whichever comes to wait for it
        for number in range(3, 9):
            writer.put(block(number), number * SIZE)


@pytest.mark.parametrize("nbytes", [write_direct.LEAST // 2, 224 * 224 * 3])
def test_small_or_odd_blocks_go_through_the_page_cache(tmp_path: Path, nbytes: int) -> None:
    path = tmp_path / "data.part"
    path.write_bytes(bytes(nbytes))
    with pytest.raises(OSError, match=f"blocks of {nbytes} bytes"):
        DirectWriter(path, nbytes)
    task = prepare_work.Task(Plan(tmp_path / "data", "pixels", 224), None, [], np.zeros(0, np.int64))  # type: ignore[arg-type]
    assert isinstance(prepare_work.PreparePixels(task, np.zeros(0, np.int64)).writer(), CachedWriter)


def test_pixels_of_whole_pages_go_past_it(tmp_path: Path) -> None:
    direct(tmp_path / "data.part", 1)  # or the file system has none
    task = prepare_work.Task(Plan(tmp_path / "data", "pixels", 512), None, [], np.zeros(0, np.int64))  # type: ignore[arg-type]
    assert isinstance(prepare_work.PreparePixels(task, np.zeros(0, np.int64)).writer(), DirectWriter)


def test_the_file_is_closed_with_the_writer(tmp_path: Path) -> None:
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("this system does not list open files")
    cached = tmp_path / "cached"
    cached.write_bytes(b"")
    writers = [direct(tmp_path / "data", 1), CachedWriter(cached)]
    assert {tmp_path / "data", cached} <= opened()
    del writers
    assert not {tmp_path / "data", cached} & opened()


def opened() -> set[Path]:
    """Files this process has open."""
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the listing's own
            found.add(link.readlink())
    return found
