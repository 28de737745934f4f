"""``-m``: several runs of one command, each in a process of its own, or through a launcher."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from conf.check import check
from conf.compose import Composed, compose
from conf.problems import refuse
from conf.words import expand
from launchers.local import LocalLauncher
from tasks.launch import described, launch
from tasks.run import given_id


def run_many(words: Sequence[str], conf: Path, program: Path) -> int:
    """Checks every job, then runs them: one after another here, or as their launcher does.

    Args:
        words: overrides, some with comma lists, ranges or globs.
        conf: folder of YAML groups.
        program: the script that runs one job.

    Returns:
        0 if all went well, else the exit code of the first that did not; those behind it run all the same.

    Raises:
        ConfigError: a job cannot work; none has been started then.
    """
    jobs = named(expand(words, conf), conf)
    if any(job.config.launcher for job in jobs):
        return launch(jobs, program)
    return LocalLauncher().launch([described(job, program) for job in jobs])


def named(jobs: Sequence[Sequence[str]], conf: Path) -> list[Composed]:
    """The jobs, checked; where several would share an experiment's id, the job's number from 0 is put behind it.

    Raises:
        ConfigError: a job cannot work.
    """
    composed = [compose(job, conf) for job in jobs]
    for job in composed:
        refuse(check(job))
    ids = [job.config.experiment_id or given_id(os.environ) for job in composed]
    shared = Counter(ids)
    return [
        compose([*job.overrides, f"experiment_id={name}_{number}"], conf)
        if name is not None and shared[name] > 1
        else job
        for number, (job, name) in enumerate(zip(composed, ids, strict=True))
    ]
