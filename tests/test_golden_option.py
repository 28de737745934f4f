"""``pytest --golden DIR`` with a folder outside the repository, where pytest would look for its configuration."""

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import golden_option


@pytest.mark.skipif(
    golden_option.NAME not in entry_points(group="pytest11").names,
    reason="this repository is not installed as it is now: pip install -e .",
)
def test_the_configuration_is_found_wherever_the_vectors_lie(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-m", "golden", "--golden", str(tmp_path), "--markers"]
    done = subprocess.run(command, cwd=golden_option.HERE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "golden: parity with numbers" in done.stdout
