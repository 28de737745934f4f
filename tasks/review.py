"""``task=review``: dumps of predictions → one page to look at, tables and tidy files."""

from pathlib import Path

from rich.console import Console
from rich.text import Text

from benchmarks.review import review as make_review
from contracts.errors import ConfigError
from tasks.run import Run


def review(run: Run) -> None:
    """Writes the page of ``review.inputs`` to ``review.out`` and prints each dump's table.

    Raises:
        ConfigError: no dump was named.
        DataError: a dump cannot be read, or dumps contradict each other.
    """
    inputs = [Path(name).expanduser() for name in run.review.inputs]
    if not inputs:
        raise ConfigError("review.inputs is empty", "Give review.inputs=[predictions_test_all.npz], or several dumps.")
    out = Path(run.review.out).expanduser() if run.review.out else inputs[0].parent / "review"
    made = make_review(inputs, out)
    console = Console()
    for name, table in made.tables.items():
        console.print(Text(name, style="bold"))
        console.print(table.rich())
    for problem, count in made.problems.items():
        console.print(Text(f"{count} images without pixels: {problem}", style="yellow"))
    print(f"Page: {made.page.resolve()}")
