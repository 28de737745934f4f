"""``-m``: several runs of one command, each in a process of its own, or through a launcher."""

import os
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from conf.check import check
from conf.cli.problems import refuse
from conf.cli.words import expand
from conf.compose import Composed, compose
from contracts.errors import ConfigError, DataError
from launchers.local import LocalLauncher
from tasks.experiment.launch import described, launch
from tasks.experiment.names import NOT_TOLD, former_job, told_apart
from tasks.experiment.run import DATA, given_id
from tasks.multirun.seeds import close


def run_many(words: Sequence[str], conf: Path, program: Path) -> int:
    """Checks every job, then runs them: one after another here, or as their launcher does.

    Args:
        words: overrides, some with comma lists, ranges or globs.
        conf: folder of YAML groups.
        program: the script that runs one job.

    Returns:
        0 if all went well, else the exit code of the first that did not; those behind it run all the same. Tested
        experiments are compared at the end.

    Raises:
        ConfigError: a job cannot work; none has been started then.
    """
    jobs = named(expand(with_tests(words, conf), conf), conf)
    verbs = list(dict.fromkeys(job.config.task for job in jobs))
    if any(job.config.launcher for job in jobs):
        if len(verbs) > 1:
            raise ConfigError(
                f"task={','.join(verbs)} through a launcher, which does not wait", "Launch one task, then the next."
            )
        code = launch(jobs, program)
        if not str(jobs[0].config.launcher.get("_target_")).startswith("launchers.slurm."):  # which does not wait
            close(jobs, DATA, DATA / _shared_name(jobs))
        return code
    # what one task needs of another is there, however many jobs run at once
    codes = [
        LocalLauncher().launch([described(job, program) for job in jobs if job.config.task == verb]) for verb in verbs
    ]
    if len(jobs) > 1 and not close(jobs, DATA, DATA / _shared_name(jobs)) and None in names_of(jobs):
        print("no table over these runs: they have no names; experiment_id=NAME gives each one after what differs")
    if "test" in verbs and len(jobs) > 1:
        compare_tested(jobs)
    return next((code for code in codes if code), 0)


def names_of(jobs: Sequence[Composed]) -> set[str | None]:
    """Names of the jobs' experiments; None for one that finds its own."""
    return {job.config.experiment_id for job in jobs}


def _shared_name(jobs: Sequence[Composed]) -> str:
    """What was given as their name before something was put behind it."""
    given = {words[0].partition("=")[2].strip("'\"") for job in jobs if len(words := _id_words(job)) > 1}
    return given.pop() if len(given) == 1 else "sweep"


def _id_words(job: Composed) -> list[str]:
    return [word for word in job.overrides if word.startswith("experiment_id=")]


def with_tests(words: Sequence[str], conf: Path) -> list[str]:
    """The words of a sweep over recipes that names no task: each is trained, then tested.

    Not through a launcher, which does not wait for what it starts.
    """
    keys = {word.partition("=")[0] for word in words}
    recipes = {word for job in expand(words, conf) for word in job if word.startswith("experiment=")}
    return ["task=fit,test", *words] if len(recipes) > 1 and not {"task", "launcher"} & keys else list(words)


def compare_tested(jobs: Sequence[Composed]) -> None:
    """Closes a sweep with one table of all that was tested, against the first; says why where there is none."""
    from tasks.scoring.compared import compare_files  # brings plots along

    ids = list(dict.fromkeys(job.config.experiment_id for job in jobs if job.config.task == "test"))
    dumps = [dump for name in ids if name and (dump := DATA / name / "window_0/predictions_test_all.npz").is_file()]
    if len(dumps) < 2:
        print("no comparison: fewer than two experiments by name hold a test dump")
        return
    shared = takewhile(lambda signs: len(set(signs)) == 1, zip(*(dump.parts[1] for dump in dumps), strict=False))
    out = DATA / ("".join(signs[0] for signs in shared).strip("_.-") or "sweep") / "compare"
    try:
        compare_files(dumps, out)
    except DataError as error:
        print(f"no comparison: {error.what}")


def named(jobs: Sequence[Sequence[str]], conf: Path) -> list[Composed]:
    """The jobs, checked; where several would share an experiment's id, what tells them apart is put behind it.

    That is the recipe where each has another, else the keys in which they differ. Jobs that differ in their task, or
    their shard, alone are one experiment. One that an earlier version began under a number goes on there.

    Raises:
        ConfigError: a job cannot work, or several tasks want the same experiment and it has no name.
    """
    composed = [compose(job, conf) for job in jobs]
    for job in composed:
        refuse(check(job))
    ids = [job.config.experiment_id or given_id(os.environ) for job in composed]
    if None in ids and len({job.config.experiment for job in composed} - {None}) > 1:
        ids = [job.config.experiment or "job" for job in composed]  # the same words go on with the same experiments
    elif None in ids and len({job.config.task for job in composed}) > 1:
        raise ConfigError("several tasks, and no experiment they are about", "Give experiment_id=NAME.")
    rest = [tuple(word for word in job.overrides if word.partition("=")[0] not in NOT_TOLD) for job in composed]
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
            label = job.config.experiment if distinct else told_apart(sorted(same, key=rest.index))[own]
            full = f"{name}_{label}"
            if not distinct and not (DATA / full).exists():
                full = former_job(name, own, list(same)) or full
        found.append(compose([*job.overrides, f"experiment_id={full}"], conf))
    return found
