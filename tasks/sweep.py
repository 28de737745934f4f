"""``task=sweep``: search settings, by Optuna without any server, or by W&B's server and agents."""

from dataclasses import replace

from conf.cli.groups import search_words
from conf.sweeps import find_sweep, lint, read_sweep
from contracts.errors import ConfigError
from tasks.experiment.run import Run


def sweep(run: Run) -> int:
    """Runs a search of conf/sweep, in W&B's own format, on either backend; the same command goes on with it.

    Returns:
        0, or 1 where no run came to an end.

    Raises:
        ConfigError: no file was named, or something in it cannot work.
    """
    options = replace(run.sweep, words=[*search_words(run.overrides), *run.sweep.words])
    if options.file is None:
        raise ConfigError("task=sweep has nothing to search", "Give sweep.file=NAME of conf/sweep, or a path.")
    file = find_sweep(options.file)
    for problem in lint(file, run.composed.folder, options.words):
        raise problem
    search = read_sweep(file, run.composed.folder)
    if options.backend == "wandb":
        from tasks.multirun.wandb import run_agents

        return run_agents(search, options)
    from tasks.multirun.local import LocalSearch

    return LocalSearch(search, options, run.folder, run.seed).run()
