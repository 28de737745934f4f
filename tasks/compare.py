"""``task=compare``: several tested runs against the first of them, set by set."""

from pathlib import Path

from tasks.experiment.named_dumps import dumps_of
from tasks.experiment.run import Run
from tasks.scoring.compared import compare_files


def compare(run: Run) -> None:
    """Compares ``compare.inputs``, writes ``compare.md``, ``compare.csv`` and ``heat_map.png``, and prints one metric.

    Raises:
        ConfigError: fewer than two inputs.
        DataError: an input is neither a dump nor a tested experiment, or they have no image in common.
    """
    paths = [dumps_of("compare.inputs", name, ("test",))[-1] for name in run.compare.inputs]
    out = Path(run.compare.out).expanduser() if run.compare.out else run.folder / "compare"
    compare_files(paths, out, run.compare.metric)
