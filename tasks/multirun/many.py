"""``-m``: several runs of one command, each in its own process or through a launcher."""

import os
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from conf.check import check
from conf.cli.words import expand
from conf.compose import Composed, compose
from contracts.errors import ConfigError, DataError, refuse
from launchers.local import LocalLauncher
from tasks.experiment.launch import described, launch
from tasks.experiment.names import SHARED_KEYS, former_job, labels_of
from tasks.experiment.run import DATA, given_id
from tasks.multirun.seeds import close


def run_many(words: Sequence[str], conf: Path, program: Path) -> int:
    """Checks every combination of comma lists, ranges and globs, then runs them one by one, or through their launcher.

    Returns:
        0 if all jobs succeeded, else the exit code of the first failed one; a failure does not stop later jobs. Tested
        experiments are compared at the end.

    Raises:
        ConfigError: a job cannot work; then no job is started.
    """
    jobs = named(expand(with_tests(words, conf), conf), conf)
    verbs = list(dict.fromkeys(job.config.task for job in jobs))
    if any(job.config.launcher for job in jobs):
        if len(verbs) > 1:
            raise ConfigError(
                f"task={','.join(verbs)} cannot run through a launcher, which does not wait for jobs",
                "Launch one task, then the next.",
            )
        code = launch(jobs, program)
        if not str(jobs[0].config.launcher.get("_target_")).startswith("launchers.slurm."):  # which does not wait
            close(jobs, DATA, DATA / _shared_name(jobs))
        return code
    # all jobs of a task end before the next task, which may need their results
    codes = [
        LocalLauncher().launch([described(job, program) for job in jobs if job.config.task == verb]) for verb in verbs
    ]
    if len(jobs) > 1 and not close(jobs, DATA, DATA / _shared_name(jobs)) and None in names_of(jobs):
        print("no table is written, since these runs have no names; experiment_id=NAME names each by its differences")
    if "test" in verbs and len(jobs) > 1:
        compare_tested(jobs)
    return next((code for code in codes if code), 0)


def names_of(jobs: Sequence[Composed]) -> set[str | None]:
    """Names of the jobs' experiments; None for an unnamed one."""
    return {job.config.experiment_id for job in jobs}


def _shared_name(jobs: Sequence[Composed]) -> str:
    """The given name that the jobs' names begin with."""
    ids = [[word for word in job.overrides if word.startswith("experiment_id=")] for job in jobs]
    given = {words[0].partition("=")[2].strip("'\"") for words in ids if len(words) > 1}
    return given.pop() if len(given) == 1 else "sweep"


def with_tests(words: Sequence[str], conf: Path) -> list[str]:
    """The arguments; those of a sweep over recipes without a task get ``task=fit,test``.

    This excludes launchers, which do not wait for jobs.
    """
    keys = {word.partition("=")[0] for word in words}
    recipes = {word for job in expand(words, conf) for word in job if word.startswith("experiment=")}
    return ["task=fit,test", *words] if len(recipes) > 1 and not {"task", "launcher"} & keys else list(words)


def compare_tested(jobs: Sequence[Composed]) -> None:
    """Compares all tested experiments with the first; prints the reason if that is impossible."""
    from tasks.scoring.compared import compare_files  # imports matplotlib

    ids = list(dict.fromkeys(job.config.experiment_id for job in jobs if job.config.task == "test"))
    dumps = [dump for name in ids if name and (dump := DATA / name / "window_0/predictions_test_all.npz").is_file()]
    if len(dumps) < 2:
        print("no comparison: fewer than two named experiments have a test dump")
        return
    shared = takewhile(lambda signs: len(set(signs)) == 1, zip(*(dump.parts[1] for dump in dumps), strict=False))
    out = DATA / ("".join(signs[0] for signs in shared).strip("_.-") or "sweep") / "compare"
    try:
        compare_files(dumps, out)
    except DataError as error:
        print(f"no comparison: {error.what}")


def named(jobs: Sequence[Sequence[str]], conf: Path) -> list[Composed]:
    """The jobs, checked; if several would share an experiment's id, each id gets a distinguishing suffix.

    The suffix is the recipe if all recipes differ, else the keys in which the jobs differ. Jobs that differ only in
    task or shard are one experiment. A job that an earlier version started under a number continues there.

    Raises:
        ConfigError: a job cannot work, or several tasks share an experiment without a name.
    """
    composed = [compose(job, conf) for job in jobs]
    for job in composed:
        refuse(check(job))
    ids = [job.config.experiment_id or given_id(os.environ) for job in composed]
    if None in ids and len({job.config.experiment for job in composed} - {None}) > 1:
        ids = [job.config.experiment or "job" for job in composed]  # the same arguments continue the same experiments
    elif None in ids and len({job.config.task for job in composed}) > 1:
        raise ConfigError("several tasks without a named experiment", "Give experiment_id=NAME.")
    rest = [tuple(word for word in job.overrides if word.partition("=")[0] not in SHARED_KEYS) for job in composed]
    found = []
    for name, own, job in zip(ids, rest, composed, strict=True):
        same = {other: k for k, other in reversed(list(enumerate(rest))) if ids[k] == name}
        if name is None or (len(same) < 2 and name == job.config.experiment_id):
            found.append(job)
            continue
        full = name
        if len(same) > 1:
            recipes = [composed[k].config.experiment for k in same.values()]
            distinct = None not in recipes and len(set(recipes)) == len(same)
            label = job.config.experiment if distinct else labels_of(sorted(same, key=rest.index))[own]
            full = f"{name}_{label}"
            if not distinct and not (DATA / full).exists():
                full = former_job(name, own, list(same)) or full
        found.append(compose([*job.overrides, f"experiment_id={full}"], conf))
    return found
