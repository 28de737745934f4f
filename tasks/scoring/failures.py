"""``failures.csv``: every image that could not be read, with its reason."""

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from callbacks.collector import Collector
from contracts.errors import DataError
from contracts.files import write_atomically
from contracts.words import counted


def write_failures(path: Path, failures: Sequence[Any]) -> None:
    """Writes the list, or removes an older one where there is nothing to list; says so on the screen.

    Args:
        path: the CSV file.
        failures: records with ``id``, ``where`` and ``reason``.
    """
    if not failures:
        path.unlink(missing_ok=True)
        return
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("id", "where", "reason"))
    writer.writerows((failure.id, failure.where, failure.reason) for failure in failures)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text.getvalue().encode())
    print(told(len(failures), path))


def told(count: int, path: Path) -> str:
    """The line that says how many images are listed where."""
    return f"{counted(count, 'image')} could not be read; see {path} for the {'reason' if count == 1 else 'reasons'}"


@contextmanager
def kept(path: Path, collector: Collector) -> Iterator[None]:
    """Writes the list where scoring ends because of the data, too: what is raised then refers to it."""
    try:
        yield
    except DataError:
        if collector.failures:
            write_failures(path, collector.failures)
        raise
