"""Jobs handed to SLURM as they stand on the command line; submitit writes and submits the batch files."""

import os
import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from contracts.errors import ConfigError, PixelProofError
from launchers.job import Job

NET = """\
code=$?
# tasks that end by themselves while the job is pre-empted would make SLURM believe that it is over
shown=$(scontrol show job "$SLURM_JOB_ID")
field() { sed -n "s/.*\\b$1=\\([^ ]*\\).*/\\1/p" <<<"$shown" | head -n 1; }
told=$(field PreemptTime)
if [[ $code != 0 && $(field JobState) == RUNNING && $told == 2* && ! $told < $(field StartTime) ]]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
""".splitlines()
"""End of every batch file: the net under a task that is killed before it can ask for its requeue."""

BLOCK_SIGNALS = (
    "import os, signal as s, sys; s.pthread_sigmask(s.SIG_BLOCK, [s.SIGUSR1, s.SIGUSR2, s.SIGTERM]); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)
"""Python's words: signals wait until the command's handlers stand (`contracts.stop`), and do not kill it before."""


class SlurmLauncher:
    """Submits one job, or several as one array, and does not wait for them.

    Every task of a job is the real command; signals, checkpoints and requeues are its own affair.

    Args:
        partition: where to; null for the cluster's default.
        account: to whom it is charged.
        qos: quality of service.
        minutes: time limit; the job comes back after it as often as needed.
        nodes: machines of a job; null takes ``trainer.num_nodes``.
        tasks_per_node: processes on each; null takes ``trainer.devices``, from which they may not differ.
        gpus_per_node: GPUs on each machine.
        cpus_per_task: cores of each process, its loaders included.
        memory_gb: memory of each machine.
        signal_s: seconds before the time limit at which tasks are told to save.
        at_once: jobs of an array that may run at the same time; null for all.
        after: SLURM job ids, also ``ARRAY_TASK``, that must have ended well before.
        chain: let each job of a ``-m`` wait for the one before, in place of an array.
        folder: batch files and logs, which the nodes must see.
        setup: shell lines before the command (modules, environment variables).
        srun: further options of srun.
        options: further options of sbatch by name; true for those without a value.

    Raises:
        ConfigError: for a value out of range.
    """

    def __init__(
        self,
        partition: str | None = None,
        account: str | None = None,
        qos: str | None = None,
        minutes: int = 240,
        nodes: int | None = None,
        tasks_per_node: int | None = None,
        gpus_per_node: int | None = None,
        cpus_per_task: int = 1,
        memory_gb: float | None = None,
        signal_s: int = 120,
        at_once: int | None = None,
        after: Sequence[str] = (),
        chain: bool = False,
        folder: str = "experiments_logs/slurm",
        setup: Sequence[str] = (),
        srun: Sequence[str] = (),
        options: dict[str, Any] | None = None,
    ) -> None:
        for name, value in (
            ("minutes", minutes), ("nodes", nodes), ("tasks_per_node", tasks_per_node),
            ("cpus_per_task", cpus_per_task), ("at_once", at_once),
        ):  # fmt: skip
            if value is not None and value < 1:
                raise ConfigError(f"launcher.{name}={value}", "Give 1 or more.")
        for job in map(str, after):
            if not re.fullmatch(r"\d+([_+](\d+|\*))?", job):
                raise ConfigError(f"launcher.after holds {job!r}, which is no id of a SLURM job", "Write 123 or 123_4.")
        if not 0 < signal_s < 60 * minutes:
            raise ConfigError(
                f"launcher.signal_s={signal_s} of {minutes} minutes", "Give seconds within the time limit."
            )
        self.nodes = nodes
        self.tasks_per_node = tasks_per_node
        self.gpus_per_node = gpus_per_node
        self.at_once = at_once
        self.after = tuple(map(str, after))
        self.chain = chain
        self.folder = Path(folder).absolute()
        self.options = dict(options or {})
        given = {
            "partition": partition, "account": account, "qos": qos, "time": minutes, "gpus_per_node": gpus_per_node,
            "cpus_per_task": cpus_per_task, "signal_delay_s": signal_s, "array_parallelism": at_once,
            "mem_gb": memory_gb, "setup": list(setup) or None,
        }  # fmt: skip
        self.given = {name: value for name, value in given.items() if value is not None}
        self.srun = ["--kill-on-bad-exit=1", *srun]  # a lost rank ends the others

    def launch(self, jobs: list[Job]) -> int:
        """Submits, and says how to watch, cancel and resume.

        Raises:
            ConfigError: submitit or SLURM is missing, or tasks and devices differ.
            PixelProofError: SLURM refuses.
        """
        shapes = {self.shape(job) for job in jobs}
        if len(shapes) > 1:
            raise ConfigError(
                f"the jobs want {len(shapes)} different shapes of nodes and devices: {sorted(shapes)}",
                "Submit those of one shape at a time.",
            )
        nodes, tasks = shapes.pop()
        before: list[str] = list(self.after)
        batches = [[job] for job in jobs] if self.chain else [jobs]
        for batch in batches:
            ids = self._submit(batch, nodes, tasks, before)
            before = [ids[-1]]
        return 0

    def shape(self, job: Job) -> tuple[int, int]:
        """Nodes, and tasks on each.

        Raises:
            ConfigError: the launcher and the trainer were told different numbers.
        """
        nodes, tasks = self.nodes or job.nodes, self.tasks_per_node or job.devices or self.gpus_per_node or 1
        if not job.trains:
            return self.nodes or 1, self.tasks_per_node or 1
        for name, mine, key, theirs in (
            ("nodes", nodes, "num_nodes", job.nodes if job.nodes > 1 else None),
            ("tasks_per_node", tasks, "devices", job.devices),
        ):
            if theirs is not None and mine != theirs:
                raise ConfigError(
                    f"launcher.{name}={mine} and trainer.{key}={theirs}: SLURM starts one task for each device",
                    f"Give trainer.{key} alone.",
                )
        return nodes, tasks

    def _submit(self, jobs: list[Job], nodes: int, tasks: int, before: list[str]) -> list[str]:
        submitit = _submitit()
        executor = submitit.SlurmExecutor(self.folder)
        dependency = {"dependency": f"afterok:{':'.join(before)}", "kill-on-invalid-dep": "yes"} if before else {}
        executor.update_parameters(
            **self.given, job_name="pixelproof", nodes=nodes, ntasks_per_node=tasks, srun_args=self.srun, teardown=NET,
            stderr_to_stdout=True, additional_parameters={"requeue": True, **dependency, **self.options},
        )  # fmt: skip
        # the task turns into the command itself, so that nothing stands between SLURM's signals and it
        commands = [[sys.executable, "-c", BLOCK_SIGNALS, *job.command(*_shaped(job, nodes, tasks))] for job in jobs]
        try:
            with executor.batch():
                submitted = [executor.submit(os.execv, command[0], command) for command in commands]
        except submitit.core.utils.FailedJobError as error:
            raise PixelProofError(f"SLURM refused the job: {error}", "Mend launcher.* as it says.") from error
        for job, handed in zip(jobs, submitted, strict=True):
            print(told(job, str(handed.job_id), Path(handed.paths.stdout), before), flush=True)
        return [str(handed.job_id).partition("_")[0] for handed in submitted]


def told(job: Job, number: str, log: Path, before: Sequence[str] = ()) -> str:
    """What somebody wants to know who has just submitted a job, which may have to wait for others."""
    name = next((word.partition("=")[2] for word in job.words if word.startswith("experiment_id=")), number)
    words = [word for word in job.words if not word.startswith("experiment_id=")]
    again = shlex.join(["python", str(job.program), *words, f"experiment_id={name}"])
    waits = f"  waits:  for a good end of job {', '.join(before)}; SLURM cancels it if that fails\n" if before else ""
    return f"""job {number}: {shlex.join(job.words)}
{waits}  log:    {log}
  watch:  squeue -j {number}; tail -F {log}
  cancel: scancel {number}
  resume: {again}"""


def _shaped(job: Job, nodes: int, tasks: int) -> list[str]:
    return [f"trainer.devices={tasks}", f"trainer.num_nodes={nodes}"] if job.trains else []


def _submitit() -> Any:
    if shutil.which("sbatch") is None:
        raise ConfigError(
            "launcher=slurm, but there is no sbatch here", "Run it where SLURM is, or use launcher=local."
        )
    try:
        import submitit
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"launcher=slurm needs submitit, which {sys.executable} does not have", "pip install 'pixelproof[cluster]'"
        ) from error
    return submitit
