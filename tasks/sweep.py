"""``task=sweep``: hyperparameter search, with Optuna and no server, or with W&B's server and agents."""

from dataclasses import replace

from conf.cli.groups import search_words
from conf.sweeps import find_sweep, lint, read_sweep
from contracts.errors import ConfigError
from tasks.experiment.run import Run


def sweep(run: Run) -> int:
    """Runs a search of conf/sweep, in W&B's format, on either backend; the same command resumes it.

    Returns:
        0, or 1 if no run completed.

    Raises:
        ConfigError: no file is given, or it contains an error.
    """
    options = run.config.sweep
    options = replace(options, words=[*search_words(run.composed.overrides), *options.words])
    if options.file is None:
        raise ConfigError("task=sweep needs a search file", "Give sweep.file=NAME of conf/sweep, or a path.")
    file = find_sweep(options.file)
    for problem in lint(file, run.composed.folder, options.words):
        raise problem
    search = read_sweep(file, run.composed.folder)
    if options.backend == "wandb":
        from tasks.multirun.wandb import run_agents

        return run_agents(search, options)
    from tasks.multirun.local import LocalSearch

    return LocalSearch(search, options, run.folder, run.config.seed).run()
