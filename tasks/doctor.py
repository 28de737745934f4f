"""``task=doctor``: problems of a configuration, the configuration with its sources, versions and devices."""

import math
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import yaml
from rich.table import Table
from rich.text import Text

from benchmarks.torch_metrics import check_metrics
from conf.check import check
from conf.cli.groups import search_words
from conf.sources import sources
from conf.sweeps import find_sweep, lint
from contracts.errors import PixelProofError
from contracts.screen import display, screen
from contracts.words import counted
from tasks.checking.trial import trainer_problems
from tasks.experiment.run import Run

PACKAGES = (
    "pixelproof", "torch", "torchvision", "pytorch-lightning", "hydra-core", "omegaconf", "numpy", "pillow", "h5py",
    "pyarrow", "timm", "open_clip_torch", "numba", "wandb",
)  # fmt: skip


def doctor(run: Run) -> int:
    """Prints the problems found, the configuration, versions and devices; with ``doctor.data=true`` also the images.

    Returns:
        1 if a problem was found, else 0.
    """
    problems: list[PixelProofError] = [*check(run.composed, thorough=True)]
    problems += [] if problems else [*trainer_problems(run.composed), *_metric_problems(run)]
    sweep, images = run.config.sweep, None
    if sweep.file is not None:
        words = [*search_words(run.composed.overrides), *sweep.words]
        problems += lint(find_sweep(sweep.file), run.composed.folder, words)
    if run.config.doctor.data and not problems:
        from tasks.checking.doctor_data import look  # imports data modules

        images, problems = look(run)
    for problem in problems:
        display(Text.assemble(("✗", "red"), f" {problem}"))
    found = counted(len(problems), "problem")
    display(Text(found, style="red") if problems else Text("✓ no problems found", style="green"))
    lines = annotated(run.composed.resolved, sources(run.composed), screen().width)
    display(Text("\nConfiguration", style="bold"), Text("\n".join(lines)))
    display(_table("Versions", ("package", "version"), [("python", platform.python_version()), *_versions()]))
    display(_table("Devices", ("device", "description"), _devices()))
    if images:
        display(_table("Data", ("split", "label", "images", "generators"), images))
    return 1 if problems else 0


def _metric_problems(run: Run) -> list[PixelProofError]:
    try:
        check_metrics(run.metrics())
    except PixelProofError as error:
        return [error]
    return []


def annotated(
    node: Mapping[str, Any], origin: Mapping[str, str], width: int, place: str = "", depth: int = 0
) -> Iterator[str]:
    """Lines of YAML, each value with its source as a comment: after it, or on the line above if it is too long.

    Args:
        node: plain containers.
        origin: source of each leaf by its dotted place (`conf.sources.sources`).
        width: columns available.
        place: dotted place of the node.
        depth: of the node, the root's is 0.
    """
    indent = "  " * depth
    for key, value in node.items():
        inner = f"{place}.{key}" if place else str(key)
        if isinstance(value, dict) and value:
            yield f"{indent}{_flow({key: None}).removesuffix(' null')}"
            yield from annotated(value, origin, width, inner, depth + 1)
            continue
        line, comment = f"{indent}{_flow({key: value})}", f"# {origin[inner]}"
        if len(line) + 2 + len(comment) <= width:
            yield f"{line}  {comment}"
        else:
            yield from (f"{indent}{comment}", line)


def _flow(entry: Mapping[str, Any]) -> str:
    """One entry of a mapping on one line."""
    return yaml.safe_dump(entry, default_flow_style=True, width=math.inf, allow_unicode=True).strip()[1:-1]


def _table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(title=f"\n{title}", title_justify="left", title_style="bold")
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*row)
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
    import torch  # slow to import

    rows = [("cpu", f"{os.cpu_count()} cores, {torch.get_num_threads()} torch threads")]
    for index in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(index)
        rows.append((f"cuda:{index}", f"{card.name}, {card.total_memory / 2**30:.0f} GiB"))
    return rows
