"""``failures.csv``: the images that could not be read, with reasons."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from callbacks.collector import Collector
from contracts.errors import DataError
from contracts.files import csv_text, write_atomically
from contracts.words import counted

COLUMNS = ("id", "where", "reason")


def write_failures(path: Path, failures: Sequence[Any], columns: Sequence[str] = COLUMNS) -> None:
    """Writes the list and prints its length, or removes an older list if there is no failure."""
    if not failures:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = ([getattr(failure, column) for column in columns] for failure in failures)
    write_atomically(path, csv_text([columns, *rows]).encode())
    reasons = "reason" if len(failures) == 1 else "reasons"
    print(f"{counted(len(failures), 'image')} could not be read; see {path} for the {reasons}")


@contextmanager
def failures_listed(path: Path, collector: Collector) -> Iterator[None]:
    """Writes the list also if scoring stops with a data error, since the error refers to it."""
    try:
        yield
    except DataError:
        if collector.failures:
            write_failures(path, collector.failures)
        raise
