"""Jobs on a Ray cluster of two workers, started for the test."""

from pathlib import Path

import pytest

from contracts.errors import ConfigError
from launchers.job import Job
from launchers.ray import RayLauncher

pytest.importorskip("ray", reason="Ray is not installed: pip install 'pixelproof[ray]'")

PROGRAM = """
import os, signal, sys
from pathlib import Path
name, what = sys.argv[1].split("=")[1].split(",")
with open(name, "a") as file:
    file.write("begun\\n")
if what == "killed" and len(Path(name).read_text().splitlines()) == 1:
    os.kill(os.getppid(), signal.SIGKILL)  # the worker, as a lost node would
    os._exit(0)
print(f"{what} in {Path.cwd()}")
sys.exit(3 if what == "broken" else 0)
"""


@pytest.mark.slow
def test_jobs_run_and_lost_workers_are_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    words = ["well", "killed", "broken"]
    jobs = [Job((f"job={tmp_path / word},{word}",), program) for word in words]
    assert RayLauncher(address="local", retries=1).launch(jobs) == 1
    told = capsys.readouterr()
    assert f"well in {tmp_path}" in told.out
    assert f"killed in {tmp_path}" in told.out
    assert "exit code 3" in told.err
    assert [len((tmp_path / word).read_text().splitlines()) for word in words] == [1, 2, 2]


def test_values_out_of_range() -> None:
    with pytest.raises(ConfigError, match=r"launcher.cpus=0"):
        RayLauncher(cpus=0)
