"""Checkpoints are written whole or not at all, and read without running code."""

import errno
import os
import pickle
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from callbacks.checkpoint_io import AtomicCheckpointIO
from contracts.errors import CheckpointError
from contracts.files import write_atomically

SMALL = {"state_dict": {"w": torch.arange(10.0)}, "epoch": 1}
LARGE = {"state_dict": {"w": torch.zeros(2_000_000)}}


class _Hostile:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


@pytest.fixture
def limited() -> Iterator[None]:
    """No file may grow beyond 1 MB: writing more fails as on a full disk, for everybody and not only for root."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, check=False)
    if made.returncode:
        pytest.skip(f"no small disk can be made here: {made.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def assert_untouched(file: Path) -> None:
    assert torch.equal(AtomicCheckpointIO().load_checkpoint(file)["state_dict"]["w"], SMALL["state_dict"]["w"])  # type: ignore[index]
    assert os.listdir(file.parent) == [file.name]  # noqa: PTH208 - hidden files too, no temporary one is left


def test_what_is_written_can_be_read_and_overwritten(tmp_path: Path) -> None:
    plugin, file = AtomicCheckpointIO(), tmp_path / "deep/er/a.ckpt"
    plugin.save_checkpoint(LARGE, file)
    plugin.save_checkpoint(SMALL, file)
    assert_untouched(file)
    with pytest.raises(TypeError, match="storage options"):
        plugin.save_checkpoint(SMALL, file, storage_options={})


@pytest.mark.usefixtures("limited")
def test_a_failed_write_leaves_the_older_checkpoint(tmp_path: Path) -> None:
    plugin, file = AtomicCheckpointIO(), tmp_path / "a.ckpt"
    plugin.save_checkpoint(SMALL, file)
    with pytest.raises(CheckpointError, match="run the same command again"):
        plugin.save_checkpoint(LARGE, file)
    assert_untouched(file)


def test_a_full_disk_leaves_the_older_checkpoint(small_disk: Path) -> None:
    plugin, file = AtomicCheckpointIO(), small_disk / "a.ckpt"
    plugin.save_checkpoint(SMALL, file)
    with pytest.raises(CheckpointError, match="Free some space"):
        plugin.save_checkpoint(LARGE, file)
    assert_untouched(file)


@pytest.mark.parametrize("moment", ["write", "fsync", "replace"])
def test_an_interrupted_write_leaves_the_older_checkpoint(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise OSError(errno.EIO, "the cable was pulled")

    plugin, file = AtomicCheckpointIO(), tmp_path / "a.ckpt"
    plugin.save_checkpoint(SMALL, file)
    place, name = {"write": (torch, "save"), "fsync": (os, "fsync"), "replace": (Path, "replace")}[moment]
    monkeypatch.setattr(place, name, interrupt)
    with pytest.raises(CheckpointError, match="the cable was pulled"):
        plugin.save_checkpoint(LARGE, file)
    monkeypatch.undo()
    assert_untouched(file)


@pytest.mark.usefixtures("limited")
def test_small_files_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "metrics.json"
    write_atomically(file, b"{}")
    with pytest.raises(OSError, match="too large"):
        write_atomically(file, b" " * 2_000_000)
    assert file.read_bytes() == b"{}"
    assert os.listdir(tmp_path) == [file.name]  # noqa: PTH208


@pytest.mark.parametrize("protocol", ["zip", "legacy"])
@pytest.mark.parametrize("weights_only", [None, False])
def test_a_hostile_pickle_is_refused_and_runs_nothing(tmp_path: Path, protocol: str, weights_only: bool | None) -> None:
    file, proof = tmp_path / "evil.ckpt", tmp_path / "ran"
    evil = {"state_dict": {"w": torch.zeros(1)}, "hparams": _Hostile(f"touch {proof}")}
    torch.save(evil, file, _use_new_zipfile_serialization=protocol == "zip")
    with pytest.raises(CheckpointError, match="Python objects"):
        AtomicCheckpointIO().load_checkpoint(file, weights_only=weights_only)
    assert not proof.exists()
    pickle.loads(pickle.dumps(_Hostile(f"touch {proof}")))  # noqa: S301 - so the file would have run something
    assert proof.exists()


@pytest.mark.parametrize("length", [0, 10, 500, -10])
def test_a_truncated_checkpoint_is_named(tmp_path: Path, length: int) -> None:
    file = tmp_path / "a.ckpt"
    AtomicCheckpointIO().save_checkpoint(SMALL, file)
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(CheckpointError, match=r"a\.ckpt"):
        AtomicCheckpointIO().load_checkpoint(file)
