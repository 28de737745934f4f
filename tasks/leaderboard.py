"""``task=leaderboard``: put tested experiments into one table for each protocol."""

import json
from pathlib import Path

from rich.text import Text

from benchmarks.leaderboard.board import Entry, boards
from benchmarks.leaderboard.page import render
from benchmarks.leaderboard.show import latex, markdown, sentences, terminal, tidy
from benchmarks.predictions import read_predictions
from contracts.errors import ConfigError
from contracts.files import write_atomically
from contracts.screen import display
from tasks.experiment.named_dumps import dumps_of
from tasks.experiment.run import DATA, LOCK, Run
from tasks.scoring.compared import titles


def leaderboard(run: Run) -> None:
    """Writes metrics, intervals and costs of tested experiments as a page and as Markdown, LaTeX and CSV files.

    Without inputs, all tested experiments of ``experiments_data`` are shown, each by the dump of its last stage.
    Detectors share a table only if they were tested in the same way on the same images.

    Raises:
        ConfigError: there is no tested experiment.
        DataError: an input is neither a dump nor a tested experiment, or dumps disagree on a label.
    """
    options = run.config.leaderboard
    inputs = options.inputs or sorted(
        {file.parents[1].name for file in DATA.glob("*/window_*/predictions_test_all.npz")}
    )
    if not inputs:
        raise ConfigError(
            f"leaderboard.inputs is empty, and {DATA} contains no tested experiment",
            "Run task=test first, or give leaderboard.inputs=[EXPERIMENT,a.npz].",
        )
    paths = [dumps_of("leaderboard.inputs", name, ("test", "predict"))[-1] for name in inputs]
    out = Path(options.out).expanduser() if options.out else DATA / "leaderboard"
    found = boards([entry(path, name) for path, name in zip(paths, titles(paths), strict=True)])
    out.mkdir(parents=True, exist_ok=True)
    for name, text in (
        ("leaderboard.md", markdown(found, out)),
        ("leaderboard.tex", latex(found)),
        ("leaderboard.csv", tidy(found)),
        ("index.html", render(found, out)),
    ):
        write_atomically(out / name, text.encode())
    for board in found:
        display(terminal(board), *map(Text, sentences(board)))
    print(f"Page: {(out / 'index.html').resolve()}")


def entry(dump: Path, name: str) -> Entry:
    """The dump with the files beside it: dumps of deliveries, the cost, and the configuration."""
    folder = dump.parent
    cost = folder / "cost.json"
    delivered = sorted((folder / "deliveries").glob("predictions_*_all.npz"))
    configs = [file for file in (folder / "config.yaml", folder.parent / LOCK, folder / LOCK) if file.is_file()]
    return Entry(
        name,
        read_predictions(dump),
        {file.stem.removeprefix("predictions_").removesuffix("_all"): file for file in delivered},
        json.loads(cost.read_text()) if cost.is_file() else {},
        configs[0] if configs else None,
    )
