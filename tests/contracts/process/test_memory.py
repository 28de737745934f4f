"""Freed memory is used again without being returned to the system in between."""

import ctypes
import platform
import resource
import subprocess
import sys

import pytest
import torch

from contracts.process.memory import keep_freed_memory, limit_freed_memory, one_heap


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator")
def test_tensors_reuse_the_memory_of_freed_ones() -> None:
    assert keep_freed_memory()
    faults = []
    for _ in range(24):
        torch.ones(60 << 18)  # 60 MiB
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
    assert faults[-1] - faults[15] < 60 << 8  # the pages of one of eight tensors; the first ones grow the heap


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator")
def test_threads_reuse_it_too() -> None:
    code = """
import resource, threading
from contracts.process.memory import keep_freed_memory, one_heap
assert one_heap() and keep_freed_memory()
faults = []
def work():
    for _ in range(24):
        [b"x" * (30 << 20) for _ in range(3)]  # bytes, more than the heap of another thread holds
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
thread = threading.Thread(target=work)
thread.start()
thread.join()
print(faults[-1] - faults[15])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 90 << 8  # the pages of one of eight rounds


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="glibc's allocator, 2.33 or later")
def test_memory_that_is_free_between_tensors_is_limited() -> None:
    code = """
from pathlib import Path
from contracts.process.memory import keep_freed_memory, limit_freed_memory
assert keep_freed_memory()
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) >> 8  # MiB
blocks = [b"x" * 2**20 for _ in range(800)]
before = resident()
del blocks[::2]
print(limit_freed_memory(2**30), limit_freed_memory(2**28), before - resident() > 300)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "True"]


def test_other_allocators_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert not keep_freed_memory()
    assert not one_heap()
    assert not limit_freed_memory(0)
