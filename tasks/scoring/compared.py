"""Comparison of several runs with the first: tables, a heat map, and one metric printed."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.comparison.compare import compare as compare_dumps
from benchmarks.comparison.render import heat_map, markdown, summary, terminal, tidy
from benchmarks.predictions import read_predictions
from contracts.files import write_atomically
from contracts.screen import display

AT = {"accuracy": "0.5"}


def compare_files(paths: Sequence[Path], out: Path, metric: str = "auroc") -> None:
    """Writes ``compare.md``, ``compare.csv`` and ``heat_map.png`` into a folder and prints one metric."""
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
    """Short names: the experiment of each dump, numbered if two are equal."""
    names = [
        path.resolve().parent.parent.name if path.parent.name.startswith("window_") else path.stem for path in paths
    ]
    return [name if names.count(name) == 1 else f"{name} #{k}" for k, name in enumerate(names, 1)]
