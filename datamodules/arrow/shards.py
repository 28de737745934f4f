"""Arrow folders from Hugging Face's ``save_to_disk``, read with only pyarrow.

A data set is a folder with ``dataset_dict.json`` and one folder per split; a split has ``state.json``, which lists its
shards, ``dataset_info.json``, and the shards, which are Arrow IPC streams. The image column is the struct
``{bytes, path}`` of ``Image``, or of AI-GenBench's ``LargeImage`` (the same with 64-bit offsets).
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts.errors import DataError, nearest
from datamodules.loading.arrow_source import arrow_source
from datamodules.loading.stores import ColumnStore

END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"  # Last eight bytes of a finished Arrow stream

COPY_AGAIN = "Copy the complete data set again, and compare sizes with the source."


def split_folders(path: Path) -> dict[str, Path]:
    """Folders of a data set's splits by its own split names, or of one split if the path is a split.

    Raises:
        DataError: the path is not such a folder, or a split that it lists is missing.
    """
    if (path / "state.json").is_file():
        return {path.name: path}
    names = read_json(path / "dataset_dict.json").get("splits", [])
    folders = {str(name): path / str(name) for name in names}
    for name, folder in folders.items():
        if not (folder / "state.json").is_file():
            raise DataError(f"{folder / 'state.json'} of split {name!r} in {path} is missing", COPY_AGAIN)
    return folders


def shards(folder: Path) -> list[Path]:
    """A split's files, in order.

    Raises:
        DataError: a file in ``state.json`` is missing or incomplete.
    """
    listed = [folder / entry["filename"] for entry in read_json(folder / "state.json").get("_data_files", [])]
    missing = [file.name for file in listed if not file.is_file()]
    if missing or not listed:
        what = (
            f"lacks {len(missing)} of {len(listed)} shards: {', '.join(missing[:5])}" if listed else "lists no shards"
        )
        raise DataError(f"{folder} {what}", COPY_AGAIN)
    for file in listed:
        with file.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(0, size - len(END_OF_STREAM)))
            if stream.read() != END_OF_STREAM:
                raise DataError(f"{file} is truncated after {size:,} bytes", COPY_AGAIN)
    return listed


def open_shard(file: Path | str) -> pa.Table:
    """A shard's table, memory-mapped: data are only read when used.

    Raises:
        DataError: the file is not a complete Arrow stream.
    """
    try:
        source = arrow_source(file)
        mapped = pa.memory_map(source) if isinstance(source, str) else source
        with mapped, pa.ipc.open_stream(mapped) as reader:
            return reader.read_all()
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{file} cannot be read: {error}", COPY_AGAIN) from error


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        DataError: the file is missing or does not contain one.
    """
    try:
        content = json.loads(file.read_text())
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror or error}", COPY_AGAIN) from error
    except ValueError as error:
        raise DataError(f"{file} is not JSON: {error}", COPY_AGAIN) from error
    if not isinstance(content, dict):
        raise DataError(f"{file} does not contain a JSON object", COPY_AGAIN)
    return content


class ArrowStore(ColumnStore):
    """Images in a column of Arrow streams; ``where`` is the file, ``row`` the row in it."""

    def _open(self, name: str) -> tuple[list[pa.Array], NDArray[np.int64]]:
        table = open_shard(name)
        if self._column not in table.column_names:
            raise DataError(f"{name} has no column {self._column!r}", nearest(self._column, table.column_names))
        chunks = table[self._column].chunks
        return chunks, np.cumsum([len(chunk) for chunk in chunks])

    def _chunk(self, file: list[pa.Array], name: str, number: int) -> pa.Array:  # noqa: ARG002 - only files need a name
        return file[number]
