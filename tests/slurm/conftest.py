"""The cluster, started once for all tests that ask for it."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from cluster import Cluster, UnavailableError


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A running cluster of eight nodes; skips with the reason where there can be none."""
    pytest.importorskip("submitit", reason="submitit is not installed: pip install 'pixelproof[cluster]'")
    started = Cluster(tmp_path_factory.mktemp("slurm"))
    try:
        started.__enter__()
    except UnavailableError as error:
        pytest.skip(f"no SLURM cluster here: {error}")
    try:
        yield started
    finally:
        started.__exit__()
