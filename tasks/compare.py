"""``task=compare``: several tested runs against the first of them, set by set."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.compare import compare as compare_dumps
from benchmarks.compare_render import heat_map, markdown, summary, terminal, tidy
from benchmarks.predictions import read_predictions
from contracts.files import write_atomically
from contracts.screen import display
from tasks.named_dumps import dumps_of
from tasks.run import Run

AT = {"accuracy": "0.5"}


def compare(run: Run) -> None:
    """Compares ``compare.inputs``, writes ``compare.md``, ``compare.csv`` and ``heat_map.png``, and prints one metric.

    Raises:
        ConfigError: fewer than two inputs.
        DataError: an input is neither a dump nor a tested experiment, or they have no image in common.
    """
    paths = [dumps_of("compare.inputs", name, ("test",))[-1] for name in run.compare.inputs]
    out = Path(run.compare.out).expanduser() if run.compare.out else run.folder / "compare"
    compare_files(paths, out, run.compare.metric)


def compare_files(paths: Sequence[Path], out: Path, metric: str = "auroc") -> None:
    """The same for dumps that are known."""
    dumps = [read_predictions(path) for path in paths]
    found = compare_dumps(dumps, titles(paths))
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "compare.md", markdown(found).encode())
    write_atomically(out / "compare.csv", tidy(found).encode())
    at = AT.get(metric, "")
    heat_map(found, metric, at, out / "heat_map.png")
    display(terminal(found, metric, at))
    print("\n".join(summary(found, metric, at)))
    print(f"{out / 'compare.md'}\n{out / 'heat_map.png'}")


def titles(paths: Sequence[Path]) -> list[str]:
    """Short names: the experiment of each dump, with the file where two are alike."""
    names = [
        path.resolve().parent.parent.name if path.parent.name.startswith("window_") else path.stem for path in paths
    ]
    return [name if names.count(name) == 1 else f"{name} #{k}" for k, name in enumerate(names, 1)]
