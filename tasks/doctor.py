"""``task=doctor``: the whole configuration, where it comes from, what it would run on, and what is wrong with it."""

import os
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from rich.markup import escape
from rich.table import Table

from benchmarks.torch_metrics import check_metrics
from conf.check import check
from conf.cli.groups import search_words
from conf.sources import leaves, sources
from conf.sweeps import find_sweep, lint
from contracts.errors import PixelProofError
from contracts.screen import display
from tasks.checking.doctor_data import look
from tasks.checking.trial import trainer_problems
from tasks.experiment.run import Run

PACKAGES = (
    "pixelproof", "torch", "torchvision", "pytorch-lightning", "hydra-core", "omegaconf", "numpy", "pillow", "h5py",
    "pyarrow", "timm", "open_clip_torch", "numba", "wandb",
)  # fmt: skip


def doctor(run: Run) -> int:
    """Shows everything, changes nothing; looks at the data where ``doctor.data=true`` asks for it.

    Returns:
        1 if a problem was found, else 0.
    """
    problems: list[PixelProofError] = [*check(run.composed, thorough=True)]
    problems += [] if problems else [*trainer_problems(run.composed), *_metric_problems(run)]
    if run.sweep.file is not None:
        problems += lint(
            find_sweep(run.sweep.file), run.composed.folder, [*search_words(run.overrides), *run.sweep.words]
        )
    origin = sources(run.composed)
    rows = [(place, str(value), origin[place]) for place, value in leaves(run.resolved)]
    display(_table("Configuration", ("key", "value", "from"), rows))
    display(_table("Versions", ("package", "version"), [("python", platform.python_version()), *_versions()]))
    display(_table("Devices", ("device", "what"), _devices()))
    if run.doctor.data and not problems:
        counted, problems = look(run)
        if counted:
            display(_table("Data", ("split", "label", "images", "generators"), counted))
    for problem in problems:
        display(f"[red]✗[/red] {escape(str(problem))}")
    count = len(problems)
    display(f"[red]{count} problem{'s' * (count > 1)}[/red]" if problems else "[green]✓ nothing found wrong[/green]")
    return 1 if problems else 0


def _metric_problems(run: Run) -> list[PixelProofError]:
    try:
        check_metrics(run.metrics())
    except PixelProofError as error:
        return [error]
    return []


def _table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def _versions() -> list[tuple[str, str]]:
    found = []
    for package in PACKAGES:
        try:
            found.append((package, version(package)))
        except PackageNotFoundError:
            found.append((package, "not installed"))
    return found


def _devices() -> list[tuple[str, str]]:
    import torch  # seconds, and needed for this table alone

    rows = [("cpu", f"{os.cpu_count()} cores, {torch.get_num_threads()} torch threads")]
    for index in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(index)
        rows.append((f"cuda:{index}", f"{card.name}, {card.total_memory / 2**30:.0f} GiB"))
    return rows
