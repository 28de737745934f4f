"""Reads Parquet in order, with memory that depends on page size, not on row group size."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from contracts.errors import DataError
from datamodules.loading.arrow_source import arrow_source
from datamodules.loading.cells import Cell, cells, image_bytes
from datamodules.loading.stores import ParquetStore

BATCH_BYTES = 2 * 2**20
"""Bytes of the images taken from a page at a time; Arrow's overhead per batch does not depend on its rows."""

BATCH_ROWS = 64
"""Maximum rows taken at a time: repeated images may be stored once, so a row group's size may be misleading."""

PAGE_ROWS = 1024  # Rows that pyarrow's writer puts into a page before it checks the page's size (``write_batch_size``)

Rows = NDArray[np.int64]
Read = tuple[int, bytes | DataError]


class ParquetStreamStore(ParquetStore):
    """A `ParquetStore` that can also be read in order, a row group at a time."""

    def runs(self, rows: Rows) -> list[Rows]:
        """Rows of the manifest by file and row group, each in file order."""
        runs: list[Rows] = []
        for name in dict.fromkeys(self._name[rows].tolist()):
            here = rows[self._name[rows] == name]
            here = here[np.argsort(self._row[here], kind="stable")]
            _, ends = self._container(int(here[0]))
            cuts = np.searchsorted(self._row[here], ends[:-1])
            runs += [run for run in np.split(here, cuts) if len(run)]
        self._opened.clear()
        return runs

    def page_bytes(self) -> int:
        """Estimated bytes of the largest page of images: a whole row group, or 1024 rows of it."""
        largest = 0
        for name in self._names:
            metadata = pq.read_metadata(arrow_source(name))
            for group in map(metadata.row_group, range(metadata.num_row_groups)):
                size = self._nbytes(group)
                largest = max(largest, size * min(PAGE_ROWS, group.num_rows) // max(group.num_rows, 1))
        return largest

    def _nbytes(self, group: pq.RowGroupMetaData) -> int:
        columns = map(group.column, range(group.num_columns))
        size: int = sum(
            c.total_uncompressed_size for c in columns if f"{c.path_in_schema}.".startswith(f"{self._column}.")
        )
        return size

    def _batch(self, file: pq.ParquetFile, number: int) -> int:
        """Number of rows that have about `BATCH_BYTES` bytes, at most `BATCH_ROWS`."""
        group = file.metadata.row_group(number)
        return max(1, min(BATCH_ROWS, BATCH_BYTES * int(group.num_rows) // max(self._nbytes(group), 1)))

    def stream(self, rows: Rows) -> Iterator[Read]:
        """Bytes of each row of one run, or the reason why it cannot be read.

        Raises:
            DataError: the container itself cannot be opened.
        """
        _, ends = self._container(int(rows[0]))
        name = self._names[self._name[rows[0]]]
        group = int(np.searchsorted(ends, self._row[rows[0]], side="right"))
        first = int(ends[group - 1]) if group else 0
        wanted = {int(self._row[row]) - first: int(row) for row in rows}
        begin, last = min(wanted), max(wanted)
        place = 0
        try:
            # buffered, because otherwise Arrow would hold the whole column chunk
            file = pq.ParquetFile(arrow_source(name), buffer_size=2**20, pre_buffer=False)
            many, columns = self._batch(file, group), [self._column]
            for batch in file.iter_batches(many, row_groups=[group], columns=columns, use_threads=False):
                if place + len(batch) <= begin:
                    place += len(batch)
                    continue
                for cell in cells(batch.column(self._column)):
                    row = wanted.pop(place, None)
                    place += 1
                    if row is not None:
                        yield row, _read(cell, self._root, f"{name}[{first + place - 1}]")
                if place > last:
                    return
        except (OSError, pa.ArrowException) as error:
            for row in sorted(wanted.values()):
                yield row, DataError(f"{name}: row group {group} cannot be read: {error}")


def _read(cell: Cell, root: Path | None, where: str) -> bytes | DataError:
    try:
        return image_bytes(cell, root, where)
    except DataError as error:
        return error
