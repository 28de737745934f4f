"""What a worker of ``task=prepare`` does with its share of the images."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2.functional import resize

from contracts.errors import DataError
from datamodules.arrow.pieces import Rows, read_cells
from datamodules.loading.decode import FORMATS, Backend, decode, read_header
from datamodules.loading.stores import ImageStore
from datamodules.preparing.write_back import CachedWriter
from datamodules.preparing.write_direct import DirectWriter

REPORT = 32
"""Images between two messages to the parent."""

FIELDS = ("rows", "width", "height", "length", "format")
"""Of a message: rows, and as many values of each kind."""

PIXELS = "PIXELS"
"""In place of a format, where the store holds pixels."""

MAGIC = {b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG"}


class Facts:
    """What is known of each row's image once it was read.

    Args:
        count: rows of the manifest.

    Attributes:
        known: [N] whether it could be read.
        width: [N] as displayed.
        height: [N] as displayed.
        length: [N] of the encoded bytes.
    """

    def __init__(self, count: int) -> None:
        self.known = np.zeros(count, bool)
        self.width = np.zeros(count, np.int32)
        self.height = np.zeros(count, np.int32)
        self.length = np.zeros(count, np.int64)
        self._format = np.zeros(count, np.int8)
        self._names: list[str] = ["", *FORMATS]

    def add(self, entry: dict[str, Any]) -> None:
        """Take over a worker's message."""
        rows = entry["rows"]
        self.known[rows] = True
        self.width[rows], self.height[rows], self.length[rows] = entry["width"], entry["height"], entry["length"]
        self._format[rows] = [self._names.index(name) if name in self._names else 0 for name in entry["format"]]

    def formats(self) -> NDArray[Any]:
        """[N] names, "" where unknown or pixels."""
        return np.array(self._names, dtype=object)[self._format]


@dataclass(frozen=True)
class Task:
    """What all workers know.

    Attributes:
        store: where images are read.
        runs: rows of each piece of work.
        path: file written to.
        size: side of the square, for pixels.
        decoder: backend.
        max_pixels: largest image decoded.
        length: [N] lengths of encoded images, once known.
    """

    store: ImageStore
    runs: list[Rows]
    path: Path
    size: int
    decoder: Backend
    max_pixels: int
    length: NDArray[np.int64]


class Writer(Protocol):
    """Puts blocks into their places in the file."""

    count: int
    """Blocks put so far."""

    def put(self, block: NDArray[np.uint8], offset: int) -> None:
        """Have a block written."""
        ...

    def settle(self, count: int) -> None:
        """Wait until the first ``count`` blocks are in the file."""
        ...


class _Pass:
    """A walk over the images of a piece of work that reports every few of them.

    Args:
        task: what all workers know.
        offsets: [N] place in the file for each row, or None where nothing is written.
    """

    def __init__(self, task: Task, offsets: NDArray[np.int64] | None) -> None:
        self.task = task
        self.offsets = offsets
        self._out: Writer | None = None  # a worker keeps it as long as it lives
        self._held: tuple[dict[str, Any], int] | None = None

    def image(self, cell: bytes | NDArray[np.uint8]) -> tuple[int, int, str, NDArray[np.uint8] | None]:
        """Width, height and format of an image, and what is put into the file, if anything is."""
        raise NotImplementedError

    def __call__(self, number: int) -> Iterator[dict[str, Any]]:
        """Messages on a piece of work.

        Raises:
            OSError: the file cannot be written.
        """
        if self.offsets is None:
            yield from self.messages(number, None)
            return
        self._out = self._out or self.writer()
        for message in self.messages(number, self._out):
            # one message behind: nobody waits for what the disk is still writing
            yield from self.rest()
            self._held = message, self._out.count

    def rest(self) -> Iterator[dict[str, Any]]:
        """The message held back, once its blocks are in the file."""
        if self._out is not None and self._held is not None:
            message, put = self._held
            self._out.settle(put)
            self._held = None
            yield message

    def writer(self) -> Writer:
        """For the blocks of this pass."""
        return CachedWriter(self.task.path)

    def messages(self, number: int, out: Writer | None) -> Iterator[dict[str, Any]]:
        """One for every few images, once they are put."""
        found: list[tuple[int, int, int, int, str]] = []
        failed: list[tuple[int, str]] = []
        for row, cell in read_cells(self.task.store, self.task.runs[number]):
            try:
                if isinstance(cell, DataError):
                    raise cell
                width, height, kind, block = self.image(cell)
            except DataError as error:
                failed.append((row, error.what))
            else:
                if out is not None and block is not None and self.offsets is not None:
                    out.put(block, int(self.offsets[row]))
                found.append((row, width, height, len(cell), kind))
            if len(found) + len(failed) == REPORT:
                yield _message(found, failed)
                found, failed = [], []
        if found or failed:
            yield _message(found, failed)


def _message(found: list[tuple[int, int, int, int, str]], failed: list[tuple[int, str]]) -> dict[str, Any]:
    columns = zip(*found, strict=True) if found else ((),) * len(FIELDS)
    return {"failed": failed} | {name: list(values) for name, values in zip(FIELDS, columns, strict=True)}


class PreparePixels(_Pass):
    """Decode, resize, put in place."""

    def image(self, cell: bytes | NDArray[np.uint8]) -> tuple[int, int, str, NDArray[np.uint8]]:
        """See the class."""
        pixels, kind = self._pixels(cell)
        _, height, width = pixels.shape
        square: NDArray[np.uint8] = to_square(pixels, self.task.size).numpy()
        return width, height, kind, square.transpose(1, 2, 0).reshape(-1)

    def writer(self) -> Writer:
        """Past the page cache, where that can be."""
        try:
            return DirectWriter(self.task.path, self.task.size**2 * 3)
        except OSError:  # of no weight: the ordinary way says what is wrong, if anything is
            return CachedWriter(self.task.path)

    def _pixels(self, cell: bytes | NDArray[np.uint8]) -> tuple[Tensor, str]:
        if isinstance(cell, np.ndarray):
            return torch.from_numpy(cell).permute(2, 0, 1), PIXELS
        return decode(cell, self.task.decoder, self.task.max_pixels), image_format(cell)


class Verify(_Pass):
    """Decode, to see that it can be done."""

    def image(self, cell: bytes | NDArray[np.uint8]) -> tuple[int, int, str, None]:
        """See the class."""
        if isinstance(cell, np.ndarray):
            raise DataError("the source holds pixels, not encoded images")
        _, height, width = decode(cell, self.task.decoder, self.task.max_pixels).shape
        return width, height, image_format(cell), None


class Copy(_Pass):
    """Copy the bytes of an image that was verified."""

    def messages(self, number: int, out: Writer | None) -> Iterator[dict[str, Any]]:
        """See the class.

        Raises:
            DataError: an image is not what it was when it was verified.
        """
        if out is None or self.offsets is None:
            raise TypeError("Copy needs offsets")
        rows: list[int] = []
        for row, cell in read_cells(self.task.store, self.task.runs[number]):
            if not isinstance(cell, bytes) or len(cell) != self.task.length[row]:
                raise DataError(f"row {row} changed while it was prepared", "Remove the .journal and run again.")
            out.put(np.frombuffer(cell, np.uint8), int(self.offsets[row]))
            rows.append(row)
            if len(rows) == REPORT:
                yield {"copied": True, "rows": rows}
                rows = []
        if rows:
            yield {"copied": True, "rows": rows}


def to_square(pixels: Tensor, size: int) -> Tensor:
    """[3, H, W] uint8 → [3, size, size] uint8, bicubic with antialiasing; as it is where it has that size."""
    # torchvision's wrapper keeps the channels last, where interpolate itself would repack them twice
    resized: Tensor = resize(pixels, [size, size], interpolation=InterpolationMode.BICUBIC, antialias=True)
    return resized


def image_format(data: bytes) -> str:
    """Pillow's name of a format, from the first bytes where they say enough."""
    for magic, name in MAGIC.items():
        if data.startswith(magic):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    return read_header(data).format
