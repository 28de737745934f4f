"""Jobs on a Ray cluster of two workers, started for the test."""

from pathlib import Path

import h5py
import pytest
import synthetic

import lightning_main
from contracts.errors import ConfigError
from launchers.job import Job
from launchers.ray import RayLauncher

pytest.importorskip("ray", reason="Ray is not installed: pip install 'pixelproof[ray]'")

ROOT = Path(lightning_main.__file__).resolve().parent
PATIENCE = {
    "RAY_raylet_start_wait_time_s": "240",
    "RAY_worker_register_timeout_seconds": "240",
    "RAY_health_check_failure_threshold": "100",
    "RAY_memory_monitor_refresh_ms": "0",
}
"""On a busy machine Ray's own processes take longer than it waits by default, and others may have all the memory."""

PREPARE = (
    "task=prepare datamodule=hdf5 datamodule.path=drawn.h5 prepare.storage=pixels prepare.size=16 prepare.workers=1"
)

PLAYED = """
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

SHARD = f"""
import os, signal, sys
from pathlib import Path
begun = Path("begun" + next(word for word in sys.argv if word.startswith("prepare.shard=")).partition("=")[2])
with begun.open("a") as file:
    file.write("begun\\n")
if begun.name == "begun1" and len(begun.read_text().splitlines()) == 1:
    os.kill(os.getppid(), signal.SIGKILL)
    os._exit(0)
sys.path.insert(0, {str(ROOT)!r})
import lightning_main
sys.exit(lightning_main.main())
"""


@pytest.fixture(autouse=True)
def _patient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in PATIENCE.items():
        monkeypatch.setenv(name, value)


@pytest.mark.slow
def test_jobs_and_shards_run_and_lost_workers_are_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    synthetic.hdf5(tmp_path / "drawn.h5", {"train": 12, "valid": 5})
    played, shard = tmp_path / "played.py", tmp_path / "shard.py"
    played.write_text(PLAYED)
    shard.write_text(SHARD)
    words = [*PREPARE.split(), "prepare.out=d.h5", "prepare.shards=2"]
    jobs = [Job((*words, f"prepare.shard={number}"), shard) for number in range(2)]
    names = ["well", "killed", "broken"]
    jobs += [Job((f"job={tmp_path / name},{name}",), played) for name in names]
    assert RayLauncher(address="local", retries=1).launch(jobs) == 1
    told = capsys.readouterr()
    assert f"well in {tmp_path}" in told.out
    assert f"killed in {tmp_path}" in told.out
    assert "exit code 3" in told.err
    assert [len((tmp_path / name).read_text().splitlines()) for name in names] == [1, 2, 2]
    # the real command, one of whose workers was lost: both parts are there, put together once
    assert "shard.py" not in told.err
    assert [len((tmp_path / f"begun{number}").read_text().splitlines()) for number in range(2)] == [1, 2]
    assert lightning_main.main([*PREPARE.split(), "prepare.out=whole.h5"]) == 0
    with h5py.File("whole.h5") as whole, h5py.File("d.h5") as united:
        for split in ("train", "valid"):
            assert (whole[split]["image"][:] == united[split]["image"][:]).all()
            assert whole[split]["id"].asstr()[:].tolist() == united[split]["id"].asstr()[:].tolist()


def test_values_out_of_range() -> None:
    with pytest.raises(ConfigError, match=r"launcher.cpus=0"):
        RayLauncher(cpus=0)
