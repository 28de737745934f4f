"""The disk is told of what was written, once, in as few pieces as can be."""

import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamodules.preparing import write_back
from datamodules.preparing.write_back import WriteBack, merged


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9)).map(lambda span: (span[0], sum(span)))))
def test_merged_spans_cover_the_same_bytes_and_do_not_touch(spans: list[tuple[int, int]]) -> None:
    found = merged(spans)
    covered = [place for start, end in found for place in range(start, end)]
    assert covered == sorted({place for start, end in spans for place in range(start, end)})
    assert all(end < start for (_, end), (start, _) in pairwise(found))


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="this system has no posix_fadvise")
def test_the_system_is_notified_when_enough_has_gathered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int]] = []
    real = os.posix_fadvise

    def noted(descriptor: int, start: int, length: int, advice: int) -> None:
        told.append((start, length))
        real(descriptor, start, length, advice)

    monkeypatch.setattr(write_back, "PENDING", 3000)
    monkeypatch.setattr(os, "posix_fadvise", noted)
    data = np.random.default_rng(0).bytes(6000)
    path = tmp_path / "data"
    path.write_bytes(bytes(6000))
    descriptor = os.open(path, os.O_WRONLY)
    back = WriteBack(descriptor)
    for start in (0, 1000, 4000, 2000):
        os.pwrite(descriptor, data[start : start + 1000], start)
        back.note(start, 1000)
    assert told == [(0, 2000), (4000, 1000)]
    back.begin()
    assert told[2:] == [(2000, 1000)]
    os.close(descriptor)
    assert path.read_bytes() == data[:3000] + bytes(1000) + data[4000:5000] + bytes(1000)
