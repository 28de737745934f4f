"""The 36 generators of AI-GenBench, read from `generators.csv`, and their windows by release date.

Source: AI-GenBench (arXiv 2504.20865), release 1.0.0; names, dates and integer ids are the benchmark's.
"""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

from contracts.errors import ConfigError, DataError, nearest

REAL_NAME = ""  # The benchmark's generator name of a real image; its id is 0

DEFAULT_WINDOW_SIZE = 4  # Generators in a window of the official protocol, which has nine windows without overlap


@dataclass(frozen=True)
class Generator:
    """One generator of the benchmark."""

    id: int  # Index of the name among all names in byte order; 0 is real images
    name: str  # Name as the data set's `generator` column spells it
    release_date: date  # Public release, which orders the windows


@cache
def load_generators() -> tuple[Generator, ...]:
    """All generators of the benchmark, oldest first."""
    with (Path(__file__).parent / "generators.csv").open(encoding="utf-8", newline="") as file:
        rows = [
            Generator(int(row["id"]), row["name"], date.fromisoformat(row["release_date"]))
            for row in csv.DictReader(file)
        ]
    return tuple(sorted(rows, key=lambda generator: generator.release_date))


def names_by_id() -> tuple[str, ...]:
    """Generator name of every id, `""` (real) first, as the dump's `generator_id_to_name`."""
    return (REAL_NAME, *(generator.name for generator in sorted(load_generators(), key=lambda g: g.id)))


def find_generators(names: Iterable[str]) -> tuple[Generator, ...]:
    """The generators of these names, oldest first.

    Raises:
        ConfigError: A name is unknown (the error suggests the nearest ones) or given twice.
    """
    table = {generator.name: generator for generator in load_generators()}
    wanted = list(names)
    for name in wanted:
        if name not in table:
            raise ConfigError(f"generator {name!r} is not one of AI-GenBench's {len(table)}", nearest(name, table))
        if wanted.count(name) > 1:
            raise ConfigError(f"generator {name!r} is listed {wanted.count(name)} times", "Name each one once.")
    return tuple(sorted((table[name] for name in wanted), key=lambda generator: generator.release_date))


def check_leaderboard_names(names: Iterable[str]) -> None:
    """Check that a data set's generators are exactly the benchmark's, as its leaderboard requires.

    Args:
        names: Generator names found in the data set; `""` (real) is ignored.

    Raises:
        DataError: A generator is missing or foreign.
    """
    found = set(names) - {REAL_NAME}
    expected = {generator.name for generator in load_generators()}
    if missing := sorted(expected - found):
        raise DataError(
            f"the data set lacks {len(missing)} of AI-GenBench's {len(expected)} generators: {', '.join(missing)}",
            "Complete it, or list the generators to use in benchmark.generators (not comparable with the leaderboard).",
        )
    if foreign := sorted(found - expected):
        raise DataError(
            f"the data set has generators that AI-GenBench lacks: {', '.join(foreign)}", "Filter them out first."
        )


def sliding_windows(
    generators: Sequence[Generator] | None = None, size: int = DEFAULT_WINDOW_SIZE, step: int | None = None
) -> tuple[tuple[Generator, ...], ...]:
    """Divide the generators, ordered by release date, into windows.

    Generators of one date are never separated: a window is extended, and the next start moved, past equal dates. A
    window that would add no generator to the earlier ones is left out.

    Args:
        generators: Generators to divide; all of the benchmark by default.
        size: Generators in a window before extension.
        step: Generators between the starts of successive windows; `size` by default, so that windows do not overlap.

    Raises:
        ConfigError: `size` is not positive, or `step` is outside 1..`size` (a larger step would drop generators).
    """
    step = size if step is None else step
    if size < 1:
        raise ConfigError(f"a window of {size} generators is empty", "Choose a window size of at least 1.")
    if not 1 <= step <= size:
        raise ConfigError(f"window step {step} is outside 1..{size}", "A step may not skip generators.")
    ordered = sorted(load_generators() if generators is None else generators, key=lambda g: g.release_date)

    def past_equal_dates(position: int) -> int:
        while 0 < position < len(ordered) and ordered[position].release_date == ordered[position - 1].release_date:
            position += 1
        return min(position, len(ordered))

    windows = []
    start = end = 0
    while end < len(ordered):
        if (stop := past_equal_dates(start + size)) > end:
            end = stop
            windows.append(tuple(ordered[start:end]))
        start = past_equal_dates(start + step)
    return tuple(windows)
