"""Submits jobs to SLURM; submitit writes and submits the batch files."""

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

REQUEUE_IF_PREEMPTED = """\
code=$?
# SLURM considers a job finished if its tasks exit while it is being pre-empted
shown=$(scontrol show job "$SLURM_JOB_ID")
field() { sed -n "s/.*\\b$1=\\([^ ]*\\).*/\\1/p" <<<"$shown" | head -n 1; }
preempted=$(field PreemptTime)
if [[ $code != 0 && $(field JobState) == RUNNING && $preempted == 2* && ! $preempted < $(field StartTime) ]]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
""".splitlines()
"""Last lines of every batch file: requeue a pre-empted job whose task is killed before it can request a requeue."""

BLOCK_SIGNALS = (
    "import os, signal as s, sys; s.pthread_sigmask(s.SIG_BLOCK, [s.SIGUSR1, s.SIGUSR2, s.SIGTERM]); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)
"""Program that starts the command with signals blocked until its handlers are installed (`contracts.process.stop`)."""


class SlurmLauncher:
    """Submits one job, or several as one array, without waiting for them.

    Every task of a job runs the command itself, which handles signals, checkpoints and requeues.

    Args:
        partition: SLURM partition; null for the cluster's default.
        account: SLURM account that is charged.
        qos: quality of service.
        minutes: time limit; a job that reaches it is requeued until it finishes.
        nodes: machines per job; null uses ``trainer.num_nodes``.
        tasks_per_node: processes per machine; null uses ``trainer.devices``, and another number is rejected.
        gpus_per_node: GPUs per machine.
        cpus_per_task: cores per process, including its data loaders.
        memory_gb: memory per machine in GB.
        signal_s: seconds before the time limit at which tasks are signalled to save.
        at_once: maximum number of jobs of an array that run at the same time; null for all.
        after: SLURM job ids (also ``ARRAY_TASK``) that must complete successfully first.
        chain: make each job of a ``-m`` wait for the previous one instead of submitting an array.
        folder: folder for batch files and logs, visible to the nodes.
        setup: shell commands to run before the command (modules, environment variables).
        srun: additional options of srun.
        options: additional options of sbatch by name; true for options without a value.

    Raises:
        ConfigError: a value is out of range.
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
                raise ConfigError(f"launcher.after: {job!r} is not the id of a SLURM job", "Write 123 or 123_4.")
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
        self.srun = ["--kill-on-bad-exit=1", *srun]  # if one rank fails, the others are ended

    def launch(self, jobs: list[Job]) -> int:
        """Submits the jobs and prints how to watch, cancel and resume them.

        Raises:
            ConfigError: submitit or SLURM is missing, or tasks and devices differ.
            PixelProofError: SLURM rejects a job.
        """
        shapes = {self.shape(job) for job in jobs}
        if len(shapes) > 1:
            raise ConfigError(
                f"the jobs need {len(shapes)} different numbers of (nodes, tasks per node): {sorted(shapes)}",
                "Submit jobs with equal numbers together.",
            )
        nodes, tasks = shapes.pop()
        before: list[str] = list(self.after)
        batches = [[job] for job in jobs] if self.chain else [jobs]
        for batch in batches:
            ids = self._submit(batch, nodes, tasks, before)
            before = [ids[-1]]
        return 0

    def shape(self, job: Job) -> tuple[int, int]:
        """Number of nodes, and of tasks per node.

        Raises:
            ConfigError: the launcher's and the trainer's numbers differ.
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
                    f"Give only trainer.{key}.",
                )
        return nodes, tasks

    def _submit(self, jobs: list[Job], nodes: int, tasks: int, before: list[str]) -> list[str]:
        submitit = _submitit()
        executor = submitit.SlurmExecutor(self.folder)
        dependency = {"dependency": f"afterok:{':'.join(before)}", "kill-on-invalid-dep": "yes"} if before else {}
        executor.update_parameters(
            **self.given, job_name="pixelproof", nodes=nodes, ntasks_per_node=tasks, srun_args=self.srun,
            teardown=REQUEUE_IF_PREEMPTED, stderr_to_stdout=True,
            additional_parameters={"requeue": True, **dependency, **self.options},
        )  # fmt: skip
        # the task is replaced by the command (execv), so that it receives SLURM's signals directly
        commands = [[sys.executable, "-c", BLOCK_SIGNALS, *job.command(*_shaped(job, nodes, tasks))] for job in jobs]
        try:
            with executor.batch():
                submitted = [executor.submit(os.execv, command[0], command) for command in commands]
        except submitit.core.utils.FailedJobError as error:
            raise PixelProofError(f"SLURM rejected the job: {error}", "Correct the named key of launcher.") from error
        for job, handed in zip(jobs, submitted, strict=True):
            print(submission_message(job, str(handed.job_id), Path(handed.paths.stdout), before), flush=True)
        return [str(handed.job_id).partition("_")[0] for handed in submitted]


def submission_message(job: Job, number: str, log: Path, before: Sequence[str] = ()) -> str:
    """How to watch, cancel and resume a submitted job, and the jobs it waits for."""
    name = next((word.partition("=")[2] for word in job.words if word.startswith("experiment_id=")), number)
    words = [word for word in job.words if not word.startswith("experiment_id=")]
    again = shlex.join(["python", str(job.program), *words, f"experiment_id={name}"])
    waits = f"  waits:  until job {', '.join(before)} succeeds; SLURM cancels it if that fails\n" if before else ""
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
            "launcher=slurm, but this machine has no sbatch", "Run it on a machine with SLURM, or use launcher=local."
        )
    try:
        import submitit
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"launcher=slurm needs submitit, which {sys.executable} does not have", "pip install 'pixelproof[cluster]'"
        ) from error
    return submitit
