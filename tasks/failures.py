"""``failures.csv``: every image that could not be read, with its reason."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from contracts.files import write_atomically


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
    print(f"{len(failures)} images could not be read; {path} names each with its reason")
