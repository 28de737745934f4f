"""What is started, and what is refused."""

import subprocess
import sys
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

import launchers.slurm
from contracts.errors import ConfigError
from launchers.job import Job
from launchers.local import LocalLauncher
from launchers.slurm import REQUEUE_IF_PREEMPTED, SlurmLauncher, submission_message

NOTE = """
import sys, time
from pathlib import Path
name, code = sys.argv[1].split("=")[1].split(",")
journal, number = Path(name).with_name("journal"), int(Path(name).name)
def note(word):
    with journal.open("a") as file:
        file.write(f"{word} {number}\\n")
note("begun")
limit = time.monotonic() + 300
while f"begun {number ^ 1}" not in journal.read_text().splitlines():  # however slowly 0 and 1, or 2 and 3, start
    if time.monotonic() > limit:
        sys.exit(99)
    time.sleep(0.01)
time.sleep(0.4)
note("ended")
sys.exit(int(code))
"""


def jobs(folder: Path, *codes: int) -> list[Job]:
    program = folder / "program.py"
    program.write_text(NOTE)
    return [Job((f"job={folder / str(number)},{code}",), program) for number, code in enumerate(codes)]


def test_a_few_at_once_and_all_of_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = LocalLauncher(at_once=2, logs=str(tmp_path / "logs")).launch(jobs(tmp_path, 0, 3, 0, 4))
    assert code == 3
    noted = [line.split() for line in (tmp_path / "journal").read_text().splitlines()]
    at_once = list(accumulate(1 if word == "begun" else -1 for word, _ in noted))
    assert max(at_once) == 2
    assert sorted(number for word, number in noted if word == "ended") == ["0", "1", "2", "3"]
    assert len(list((tmp_path / "logs").iterdir())) == 4
    assert "failed jobs (of 4): 2, 4" in capsys.readouterr().err


def test_a_job_launches_nothing_further() -> None:
    command = Job(("seed=1",), Path("program.py")).command("trainer.devices=2")
    assert command[0] == sys.executable
    assert command[-3:] == ["seed=1", "trainer.devices=2", "launcher=null"]


@pytest.mark.parametrize(
    ("given", "job", "shape"),
    [
        ({}, {"devices": 4, "nodes": 2}, (2, 4)),
        ({"gpus_per_node": 8}, {}, (1, 8)),
        ({}, {}, (1, 1)),
        ({"tasks_per_node": 3, "nodes": 2}, {"trains": False, "devices": 1}, (2, 3)),
    ],
)
def test_tasks_are_devices(given: dict[str, Any], job: dict[str, Any], shape: tuple[int, int]) -> None:
    assert SlurmLauncher(**given).shape(Job((), Path("p.py"), **job)) == shape


@pytest.mark.parametrize(
    ("given", "job", "said"),
    [
        ({"tasks_per_node": 2}, {"devices": 4}, "trainer.devices=4"),
        ({"nodes": 1}, {"devices": 1, "nodes": 2}, "trainer.num_nodes=2"),
    ],
)
def test_other_numbers_are_refused(given: dict[str, Any], job: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        SlurmLauncher(**given).shape(Job((), Path("p.py"), **job))


@pytest.mark.parametrize(
    "wrong", [{"minutes": 0}, {"signal_s": 600, "minutes": 5}, {"cpus_per_task": 0}, {"at_once": 0}, {"nodes": 0}]
)
def test_values_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        SlurmLauncher(**wrong)


def test_without_slurm_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launchers.slurm.shutil, "which", lambda _: None)
    with pytest.raises(ConfigError, match="launcher=local"):
        SlurmLauncher().launch([Job((), Path("p.py"))])


def test_message_about_a_submitted_job() -> None:
    text = submission_message(Job(("seed=1", "experiment_id=mine"), Path("p.py")), "40_2", Path("log.out"))
    for part in ("tail -F log.out", "scancel 40_2", "squeue -j 40_2", "python p.py seed=1 experiment_id=mine"):
        assert part in text
    assert "waits" not in text
    assert "waits:  until job 7, 9 succeeds; SLURM cancels it if" in submission_message(
        Job((), Path("p")), "1", Path(), ["7", "9"]
    )
    assert any("scontrol requeue" in line for line in REQUEUE_IF_PREEMPTED)


INTERRUPTED = """
import os, signal, sys, threading
from pathlib import Path
told = threading.Event()
signal.signal(signal.SIGINT, lambda *_: told.set())
os.kill(os.getppid(), signal.SIGINT)
while not told.wait(0.1):
    if os.getppid() == 1:
        sys.exit(9)
Path(sys.argv[1].partition("=")[2]).write_text("saved")
sys.exit(130)
"""

PARENT = """
import subprocess
import sys
sys.path.insert(0, {house!r})
from pathlib import Path
from contracts.process.stop import STOP, Stopped
from launchers.job import Job
from launchers.local import LocalLauncher
jobs = [Job((f"file={{name}}",), Path({program!r})) for name in {names!r}]
try:
    with STOP.handled(deferred=False):
        LocalLauncher(at_once=2).launch(jobs)
except Stopped as stopped:
    sys.exit(128 + stopped.signum)
except KeyboardInterrupt:
    sys.exit(130)
"""


def test_ctrl_c_reaches_the_jobs_which_save(tmp_path: Path) -> None:
    program, names = tmp_path / "program.py", [str(tmp_path / "first"), str(tmp_path / "second")]
    program.write_text(INTERRUPTED)
    code = PARENT.format(house=str(Path(launchers.slurm.__file__).parents[1]), program=str(program), names=names[:1])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 130
    assert Path(names[0]).read_text() == "saved"
    assert "waiting for 1 running job to save" in done.stderr
