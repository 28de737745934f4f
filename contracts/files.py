"""Files that are written completely or not at all."""

import csv
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray


def sync(path: Path) -> None:
    """Syncs a file, or a folder's entries after a rename, to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """A binary file that replaces ``path`` when the block ends; if the block fails, ``path`` is not changed."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync(path.parent)


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a small file completely or not at all: temporary name, fsync, rename."""
    with atomic_file(path) as file:
        file.write(content)


def csv_text(rows: Iterable[Iterable[object]]) -> str:
    """Rows as comma-separated text that end with line feeds; None and NaN are empty cells.

    A carriage return inside a cell is quoted, which Python before 3.13 does only if rows end with one.
    """
    lines: list[str] = []
    writer = csv.writer(SimpleNamespace(write=lines.append))  # one call for each row
    writer.writerows(["" if cell is None or cell != cell else cell for cell in row] for row in rows)
    return "".join(line.removesuffix("\r\n") + "\n" for line in lines)


def write_npz(path: Path, arrays: "Mapping[str, NDArray[Any]]", *, compressed: bool = False) -> None:
    """Writes named arrays as an npz file, completely or not at all, without pickle; creates the folder if absent."""
    import numpy as np  # slow to import, and most users of this module do not need it

    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        (np.savez_compressed if compressed else np.savez)(file, allow_pickle=False, **arrays)
