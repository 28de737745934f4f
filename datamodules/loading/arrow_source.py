"""Files for pyarrow, which only accepts UTF-8 names."""

import mmap
from pathlib import Path

import pyarrow as pa


def arrow_source(path: Path | str) -> str | pa.NativeFile:
    """A file as pyarrow can open it: its name or, if that is not UTF-8, the memory-mapped file.

    Raises:
        OSError: the file cannot be opened, or is empty.
    """
    name = str(path)
    try:
        name.encode()
    except UnicodeEncodeError:
        with Path(name).open("rb") as file:
            try:
                return pa.BufferReader(pa.py_buffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))
            except ValueError as error:
                raise OSError("the file is empty") from error
    return name
