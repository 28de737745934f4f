"""``task=compare``: compare tested runs with the first of them, set by set."""

from tasks.experiment.named_dumps import dumps_of
from tasks.experiment.run import Run
from tasks.scoring.compared import compare_files


def compare(run: Run) -> None:
    """Compares ``compare.inputs``, writes ``compare.md``, ``compare.csv`` and ``heat_map.png``, and prints one metric.

    Raises:
        ConfigError: fewer than two inputs.
        DataError: an input is neither a dump nor a tested experiment, or the inputs share no image.
    """
    paths = [dumps_of("compare.inputs", name, ("test",))[-1] for name in run.config.compare.inputs]
    out = run.out(run.config.compare.out, "compare")
    compare_files(paths, out, run.config.compare.metric)
