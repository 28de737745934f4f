"""``-m``: several runs of one command, one after another, each in a process of its own."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from conf.check import check
from conf.compose import compose
from conf.problems import refuse
from conf.words import expand
from tasks.run import given_id


def run_many(words: Sequence[str], conf: Path, program: Path) -> int:
    """Checks every job, then runs them.

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
    codes = []
    for number, job in enumerate(jobs, 1):
        print(f"[{number}/{len(jobs)}] {' '.join(job)}", flush=True)
        codes.append(subprocess.run([sys.executable, str(program), *job], check=False).returncode)  # noqa: S603 - ours
    failed = [number for number, code in enumerate(codes, 1) if code]
    if failed:
        print(f"pixelproof: of {len(jobs)} jobs failed: {', '.join(map(str, failed))}", file=sys.stderr)
    return next((code for code in codes if code), 0)


def named(jobs: Sequence[Sequence[str]], conf: Path) -> list[list[str]]:
    """The jobs, checked; where several would share an experiment's id, the job's number from 0 is put behind it.

    Raises:
        ConfigError: a job cannot work.
    """
    ids = []
    for job in jobs:
        composed = compose(job, conf)
        refuse(check(composed, many=True))
        ids.append(composed.config.experiment_id or given_id(os.environ))
    shared = Counter(ids)
    return [
        [*job, f"experiment_id={name}_{number}"] if name is not None and shared[name] > 1 else list(job)
        for number, (job, name) in enumerate(zip(jobs, ids, strict=True))
    ]
