"""Preparing: memory does not grow with the set."""

import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from synthetic import encoded, picture

from datamodules.hdf5 import Hdf5DataModule


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
