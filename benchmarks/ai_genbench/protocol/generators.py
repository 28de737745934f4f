"""The 36 generators of AI-GenBench, read from `generators.csv`, and the windows their release dates make.

Source: AI-GenBench (arXiv 2504.20865), release 1.0.0; names, dates and integer ids as the benchmark writes them.
"""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

from contracts.errors import ConfigError, DataError, nearest

REAL_NAME = ""
"""How the benchmark writes the generator of a real image; its id is 0."""

DEFAULT_WINDOW_SIZE = 4
"""Generators in a window of the official protocol, which steps by as many (nine windows, no overlap)."""

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Generator:
    """One generator of the benchmark.

    Attributes:
        id: Place of the name in byte order among all names, 0 being real images.
        name: Name as the data set's `generator` column spells it.
        release_date: Public release, which orders the windows.
    """

    id: int
    name: str
    release_date: date


@dataclass(frozen=True)
class Origin:
    """How many images of one split and label come from one source collection."""

    split: str
    label: str
    origin: str
    images: int


@cache
def load_generators() -> tuple[Generator, ...]:
    """All generators of the benchmark, oldest first."""
    with (_FOLDER / "generators.csv").open(encoding="utf-8", newline="") as file:
        rows = [
            Generator(int(row["id"]), row["name"], date.fromisoformat(row["release_date"]))
            for row in csv.DictReader(file)
        ]
    return tuple(sorted(rows, key=lambda generator: generator.release_date))


@cache
def load_origins() -> tuple[Origin, ...]:
    """Published composition of the release per split, label and source collection.

    The benchmark gives no such counts for the generated validation images.
    """
    with (_FOLDER / "origins.csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            Origin(row["split"], row["label"], row["origin"], int(row["images"])) for row in csv.DictReader(file)
        )


def names_by_id() -> tuple[str, ...]:
    """Generator name of every id, `""` (real) first, as the dump's `generator_id_to_name`."""
    return (REAL_NAME, *(generator.name for generator in sorted(load_generators(), key=lambda g: g.id)))


def find_generators(names: Iterable[str]) -> tuple[Generator, ...]:
    """The generators of these names, oldest first.

    Raises:
        ConfigError: A name is not in the table (the nearest names are suggested), or is given twice.
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
    """Refuse a data set whose generators are not exactly the benchmark's, as its leaderboard requires.

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
            "Complete it, or name the generators to use and give up comparison with the leaderboard.",
        )
    if foreign := sorted(found - expected):
        raise DataError(
            f"the data set holds generators that AI-GenBench does not: {', '.join(foreign)}", "Filter them out first."
        )


def sliding_windows(
    generators: Sequence[Generator] | None = None, size: int = DEFAULT_WINDOW_SIZE, step: int | None = None
) -> tuple[tuple[Generator, ...], ...]:
    """Cut the generators, ordered by release date, into windows.

    Generators of one date are never separated: a window is extended, and the next start moved, past equal dates. A
    window that would add no generator to those before is left out.

    Args:
        generators: Generators to cut; all of the benchmark by default.
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
