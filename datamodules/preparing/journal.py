"""The progress of a preparation: one line per piece of work, written only once its data are on disk."""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from contracts.errors import DataError

INTERVAL = 2.0
"""Seconds of work that a kill may cost. Syncing does not stop workers, and writing starts earlier (`write_back`)."""


class InUseError(DataError):
    """Another process is working on the same file."""


class Journal:
    """A file of JSON lines: the settings, then finished work.

    Lines are held back until their data have been synced, so that neither a kill nor a power cut leaves a
    line without its data. An incomplete last line is ignored. The file is locked while it is open.

    Args:
        path: the journal.
        settings: all settings that the work depends on; a journal with other settings is overwritten.

    Attributes:
        entries: lines of an earlier run with the same settings.

    Raises:
        InUseError: another process is working on the same file.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self.path = path
        self._file = path.open("a+b")
        try:
            # a record lock, which workers do not inherit
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise InUseError(
                f"{path}: another process is preparing this file", "Wait for it, or give another prepare.out."
            ) from None
        lines = list(self._lines())
        self.entries = lines[1:] if lines and lines[0] == settings else []
        if not lines or lines[0] != settings:
            self._file.truncate(0)
            self._put([settings])
        self._held: list[dict[str, Any]] = []
        self._synced = time.monotonic()

    def add(self, entry: dict[str, Any], sync: Callable[[], None]) -> None:
        """Note an entry; at intervals, call ``sync``, which syncs the data to disk, and write the lines."""
        self._held.append(entry)
        if time.monotonic() - self._synced > INTERVAL:
            self.flush(sync)

    def flush(self, sync: Callable[[], None]) -> None:
        """Sync the data and write all lines held back."""
        if self._held:
            sync()
            self._put(self._held)
            self._held = []
        self._synced = time.monotonic()

    def close(self) -> None:
        """Close the file and release its lock; lines held back are lost."""
        self._file.close()

    def _put(self, entries: list[dict[str, Any]]) -> None:
        self._file.write("".join(json.dumps(entry, separators=(",", ":")) + "\n" for entry in entries).encode())
        self._file.flush()
        os.fsync(self._file.fileno())

    def _lines(self) -> Iterator[dict[str, Any]]:
        self._file.seek(0)
        end = 0
        for line in self._file:
            if not line.endswith(b"\n"):
                self._file.truncate(end)
                return
            end += len(line)
            yield json.loads(line)
