"""The room for images: its place in the file, and on the disk."""

import errno
import shutil
import subprocess

import pytest

from datamodules.preparing import hdf5_layout as layout


def room(path):
    layout.allocate_pixels(path, {"train": 40, "test": 8}, 40)
    return path


def test_every_image_starts_on_a_page_of_its_own(tmp_path):
    path = room(tmp_path / "d.h5")
    offsets = [*layout.pixel_offsets(path, "train"), *layout.pixel_offsets(path, "test")]
    assert len(set(offsets)) == 48
    assert all(offset % layout.PAGE == 0 for offset in offsets)
    assert max(offsets) + 40 * 40 * 3 <= path.stat().st_size


def test_the_space_is_reserved_on_the_disk_and_nothing_else_changes(tmp_path):
    tool = shutil.which("fallocate")
    if not tool or subprocess.run([tool, "-l", "4096", tmp_path / "probe"], check=False).returncode:
        pytest.skip("this system cannot set room aside")
    path = room(tmp_path / "d.h5")
    before, size = layout.pixel_offsets(path, "train"), path.stat().st_size
    layout.reserve(path)
    assert path.stat().st_size == size
    assert (layout.pixel_offsets(path, "train") == before).all()
    assert path.stat().st_blocks * 512 >= size


@pytest.mark.parametrize(("number", "raises"), [(errno.ENOSPC, True), (errno.EOPNOTSUPP, False)])
def test_a_full_disk_is_reported_and_an_unable_file_system_is_not(tmp_path, monkeypatch, number, raises):
    class Library:
        def __init__(self, *_, **__):
            self.fallocate = lambda *_: -1

    monkeypatch.setattr(layout.ctypes, "CDLL", Library)
    monkeypatch.setattr(layout.ctypes, "get_errno", lambda: number)
    monkeypatch.setattr(layout.sys, "platform", "linux")
    path = room(tmp_path / "d.h5")
    if raises:
        with pytest.raises(OSError, match="No space left"):
            layout.reserve(path)
    else:
        layout.reserve(path)
