"""A real SLURM cluster of a few nodes on this machine, in a folder of its own."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from free_ports import free_ports

ROOT = Path(__file__).parents[2]
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "scancel", "squeue")

PATIENCE = 1200
"""Seconds after which something hangs. SLURM's own limits are as generous: what they guard against is not tested."""
CONF = """\
ClusterName=lab
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock,cred_expire=120
CryptoType=crypto/munge
StateSaveLocation={folder}/ctld
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/ctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/ctld.log
SlurmdLogFile={folder}/%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0,sched_min_interval=0
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
ReturnToService=2
SwitchType=switch/none
MpiDefault=none
KillWait=120
OverTimeLimit=10
BatchStartTimeout=300
MessageTimeout=100
TCPTimeout=60
MinJobAge=7200
SlurmctldPort={port}
SlurmctldTimeout=300
SlurmdTimeout=300
{nodes}
PartitionName=low Nodes=ALL Default=YES MaxTime=60 State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=120
PartitionName=curt Nodes=ALL MaxTime=60 State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=0
PartitionName=high Nodes=ALL MaxTime=60 State=UP PriorityTier=10 PreemptMode=OFF
"""


NODE = "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=8 RealMemory=4000 State=UNKNOWN"
NODES = tuple(f"n{number}" for number in range(1, 9))


ASK_EVERY = 0.3
"""Seconds between two looks at all jobs, whoever asks."""


class UnavailableError(Exception):
    """The cluster cannot run here, and why."""


class Cluster:
    """Started on entering, stopped on leaving; ``environment`` makes SLURM's commands talk to it.

    Args:
        folder: for everything it writes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_", "SUBMITIT_"))
        } | {"SLURM_CONF": str(folder / "slurm.conf"), "MASTER_ADDR": "127.0.0.1", "OMP_NUM_THREADS": "1"}
        self._asking, self._asked = threading.Lock(), 0.0
        self._jobs: list[dict[str, str]] = []
        self._munged: subprocess.Popen[bytes] | None = None
        self._nursery: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
            raise UnavailableError(f"{', '.join(missing)} not installed (apt-get install slurm-wlm munge)")
        if os.geteuid() != 0:
            raise UnavailableError("SLURM's daemons here want root")
        try:
            self._start()
        except UnavailableError:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    @property
    def nursery(self) -> str:
        """Address of the process that forks commands (see `nursery`)."""
        return str(self.folder / "nursery.sock")

    def call(self, *words: str) -> str:
        """What one of SLURM's commands prints; it must succeed."""
        done = subprocess.run(words, capture_output=True, text=True, env=self.environment, check=False)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    def attempt(self, *words: str) -> None:
        """One of SLURM's commands, which may fail."""
        subprocess.run(words, env=self.environment, check=False, capture_output=True)

    def job(self, number: int) -> dict[str, str]:
        """What SLURM knows of a job, or of the first of an array; not older than it takes to ask for all jobs."""
        with self._asking:
            if time.monotonic() - self._asked > ASK_EVERY or not self._known(number):
                told = self.call("scontrol", "show", "job").split("\n\n")
                self._jobs = [dict(re.findall(r"(\w+)=(\S*)", one)) for one in told if one.strip()]
                self._asked = time.monotonic()
            return self._known(number)[0]

    def of_array(self, number: int) -> list[dict[str, str]]:
        """What SLURM knows of all jobs of an array."""
        self.job(number)
        return self._known(number)

    def _known(self, number: int) -> list[dict[str, str]]:
        return [job for job in self._jobs if str(number) in (job["JobId"], job.get("ArrayJobId"))]

    def requeued_again(self, number: int) -> dict[str, str]:
        """What SLURM knows of a job now."""
        with self._asking:
            self._asked = 0.0
        return self.job(number)

    def wait(self, number: int, states: str, seconds: float = PATIENCE) -> dict[str, str]:
        """Waits until a job is in one of the states (separated by |); one that was requeued is started at once."""

        put_back = 0.0

        def there() -> dict[str, str] | None:
            nonlocal put_back
            job = self.job(number)
            if job["JobState"] in states.split("|") and not (
                job["JobState"] in ("CANCELLED", "FAILED") and job["EndTime"] == "Unknown"
            ):
                return job
            if job["JobState"] == "PENDING" and job.get("Reason") == "launch_failed_requeued_held":
                # a lost node came back before the job's old life had ended there, and was drained for it
                if not self.steps(number):
                    for node in NODES:
                        self.bring_back(node)
                    self.attempt("scontrol", "release", str(number))
            elif job["JobState"] == "PENDING" and job.get("Reason") == "BeginTime":
                # not within the second of its end, or the node would take its new life for the old one
                put_back = put_back or time.monotonic()
                if time.monotonic() - put_back > 2:
                    self.attempt("scontrol", "update", f"JobId={number}", "StartTime=now")
            else:
                put_back = 0.0
            return None

        return until(there, seconds, lambda: f"job {number} is {self.job(number)}")

    def steps(self, number: int) -> list[str]:
        """Processes that look after a job's steps."""
        found = []
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                words = file.read_text(errors="replace")
                if words.startswith(f"slurmstepd: [{number}."):
                    found.append(words)
        return found

    def bring_back(self, node: str) -> None:
        """Lets a node work again, if it has not come back by itself."""
        self.attempt("scontrol", "update", f"nodename={node}", "state=resume")

    def preempt(self, node: str) -> int:
        """Has the partition of higher priority take a whole node for a moment."""
        words = ["sbatch", "-p", "high", "-w", node, "--exclusive", "-o", "/dev/null", "--wrap", "sleep 0.2"]
        return int(self.call(*words).split()[-1])

    def _start(self) -> None:
        folder, host = self.folder, socket.gethostname()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "ctld").mkdir()
        with (folder / "nursery.out").open("wb") as out:
            words = [sys.executable, str(Path(__file__).with_name("nursery.py")), self.nursery]
            env = self.environment | {"PYTHONPATH": str(ROOT)}
            self._nursery = subprocess.Popen(words, stdout=out, stderr=out, env=env)
        port, *ports = free_ports(1 + len(NODES))
        nodes = "\n".join(NODE.format(name=name, host=host, port=p) for name, p in zip(NODES, ports, strict=True))
        (folder / "slurm.conf").write_text(CONF.format(folder=folder, host=host, port=port, nodes=nodes))
        key = folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        words = ["munged", "--foreground", "--force", f"--key-file={key}", f"--socket={folder}/munge.sock"]
        words += [
            f"--pid-file={folder}/munge.pid",
            f"--log-file={folder}/munge.log",
            f"--seed-file={folder}/munge.seed",
        ]
        with (folder / "munge.out").open("wb") as out:
            self._munged = subprocess.Popen(words, stdout=out, stderr=out)
        self._until((folder / "munge.sock").exists, "munged did not start", "munge.out")
        for words in (["slurmctld"], *(["slurmd", "-N", name] for name in NODES)):
            done = subprocess.run(words, capture_output=True, text=True, env=self.environment, check=False)
            if done.returncode:
                raise UnavailableError(f"{words[0]} did not start: {done.stderr.strip()}")
        self._until(self._idle, "the nodes did not come up", "ctld.log")
        self._until(Path(self.nursery).exists, "the process that forks commands did not start", "nursery.out")

    def _idle(self) -> bool:
        words = ["sinfo", "-h", "-N", "-p", "low", "-o", "%T"]
        done = subprocess.run(words, capture_output=True, text=True, env=self.environment, check=False)
        return done.stdout.split() == ["idle"] * len(NODES)

    def _until(self, there: Callable[[], bool], otherwise: str, log: str) -> None:
        try:
            until(there, 180)
        except TimeoutError as error:
            text = (self.folder / log).read_text(errors="replace") if (self.folder / log).is_file() else ""
            raise UnavailableError(f"{otherwise}: {text[-500:]}") from error

    def _stop(self) -> None:
        if (self.folder / "slurm.conf").is_file() and (self.folder / "ctld.pid").is_file():
            for words in (["scancel", "--user=root"], ["scontrol", "shutdown"]):
                subprocess.run(words, env=self.environment, capture_output=True, check=False, timeout=300)
        for name in (*NODES, "ctld"):
            _end(self.folder / f"{name}.pid")
        _end_all(f"SLURM_CONF={self.folder / 'slurm.conf'}")
        for process in (self._nursery, self._munged):
            if process is not None:
                process.kill()
                process.wait()


def until(there: Callable[[], Any], seconds: float, told: Callable[[], str] = lambda: "") -> Any:
    """Waits for something true."""
    limit = time.monotonic() + seconds
    while not (found := there()):
        if time.monotonic() > limit:
            raise TimeoutError(told())
        time.sleep(0.1)
    return found


def _end(pid_file: Path) -> None:
    """Waits for the end of a daemon that was told to stop; kills it after that."""
    with suppress(FileNotFoundError, ValueError, ProcessLookupError):  # it takes its file away as it ends
        pid = int(pid_file.read_text())
        for _ in range(100):
            os.kill(pid, 0)
            time.sleep(0.05)
        os.kill(pid, signal.SIGKILL)


def _end_all(variable: str) -> None:
    """Kills what is left of the daemons, their steps and the jobs: all that has this variable in its environment."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if int(folder.name) != os.getpid() and variable.encode() in (folder / "environ").read_bytes().split(b"\0"):
                os.kill(int(folder.name), signal.SIGKILL)
