"""The work of one ``task=prepare`` process on its share of the images."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2.functional import resize

from contracts.errors import DataError
from datamodules.arrow.pieces import Rows, read_cells
from datamodules.loading.decode import FORMATS, decode, read_header
from datamodules.loading.stores import ImageStore
from datamodules.preparing.plan import Plan
from datamodules.preparing.write_back import CachedWriter
from datamodules.preparing.write_direct import DirectWriter

REPORT = 32  # Images per message to the parent process

FIELDS = ("rows", "width", "height", "length", "format")
"""Content of a message: rows, and one value of each kind per row."""

PIXELS = "PIXELS"  # Format name used if the store holds pixels

MAGIC = {b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG"}


class Facts:
    """Metadata of the image of each row of a manifest, once it has been read."""

    def __init__(self, count: int) -> None:
        self.known = np.zeros(count, bool)  # whether it could be read
        self.width = np.zeros(count, np.int32)  # pixels as displayed
        self.height = np.zeros(count, np.int32)
        self.length = np.zeros(count, np.int64)  # number of encoded bytes
        self._format = np.zeros(count, np.int8)
        self._names: list[str] = ["", *FORMATS]

    def add(self, entry: dict[str, Any]) -> None:
        """Store the values of a worker's message."""
        rows = entry["rows"]
        self.known[rows] = True
        self.width[rows], self.height[rows], self.length[rows] = entry["width"], entry["height"], entry["length"]
        self._format[rows] = [self._names.index(name) if name in self._names else 0 for name in entry["format"]]

    def formats(self) -> NDArray[Any]:
        """[N] format names, "" if unknown or pixels."""
        return np.array(self._names, dtype=object)[self._format]


@dataclass(frozen=True)
class Task:
    """Settings that all workers share."""

    plan: Plan  # settings of the preparation
    store: ImageStore  # store to read images from
    runs: list[Rows]  # rows of each piece of work
    length: NDArray[np.int64]  # [N] bytes of encoded images, once known


class Writer(Protocol):
    """Writes blocks to their places in the file."""

    count: int  # Number of blocks written so far

    def put(self, block: NDArray[np.uint8], offset: int) -> None:
        """Write a block, possibly later."""
        ...

    def settle(self, count: int) -> None:
        """Wait until the first ``count`` blocks are in the file."""
        ...


class _Pass:
    """Processes the images of a piece of work, and reports every few of them."""

    def __init__(self, task: Task, offsets: NDArray[np.int64] | None) -> None:
        self.task = task  # settings that all workers share
        self.offsets = offsets  # [N] offset in the file for each row, or None if nothing is written
        self._out: Writer | None = None  # a worker keeps it until it ends
        self._held: tuple[dict[str, Any], int] | None = None

    def image(self, cell: bytes | NDArray[np.uint8]) -> tuple[int, int, str, NDArray[np.uint8] | None]:
        """Width, height and format of an image, and the data to write to the file, if any."""
        raise NotImplementedError

    def __call__(self, number: int) -> Iterator[dict[str, Any]]:
        """Messages about a piece of work.

        Raises:
            OSError: the file cannot be written.
        """
        if self.offsets is None:
            yield from self.messages(number, None)
            return
        self._out = self._out or self.writer()
        for message in self.messages(number, self._out):
            # one message late, so that no worker waits for the disk
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
        """A writer for the blocks of this pass."""
        return CachedWriter(self.task.plan.part)

    def messages(self, number: int, out: Writer | None) -> Iterator[dict[str, Any]]:
        """A message for every few images, once they are written."""
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
    """Decodes, resizes and writes images."""

    def image(self, cell: bytes | NDArray[np.uint8]) -> tuple[int, int, str, NDArray[np.uint8]]:
        """See the class."""
        pixels, kind = self._pixels(cell)
        _, height, width = pixels.shape
        square: NDArray[np.uint8] = to_square(pixels, self.task.plan.size or 0).numpy()
        return width, height, kind, square.transpose(1, 2, 0).reshape(-1)

    def writer(self) -> Writer:
        """A writer that bypasses the page cache, if possible."""
        try:
            return DirectWriter(self.task.plan.part, (self.task.plan.size or 0) ** 2 * 3)
        except OSError:  # the ordinary writer reports the problem, if there is one
            return CachedWriter(self.task.plan.part)

    def _pixels(self, cell: bytes | NDArray[np.uint8]) -> tuple[Tensor, str]:
        if isinstance(cell, np.ndarray):
            return torch.from_numpy(cell).permute(2, 0, 1), PIXELS
        return decode(cell, self.task.plan.decoder, self.task.plan.max_pixels), image_format(cell)


class Verify(_Pass):
    """Decodes images to verify that they can be read."""

    def image(self, cell: bytes | NDArray[np.uint8]) -> tuple[int, int, str, None]:
        """See the class."""
        if isinstance(cell, np.ndarray):
            raise DataError("the source contains pixels, not encoded images")
        return *self.size(cell), None

    def size(self, data: bytes) -> tuple[int, int, str]:
        """Width, height and format of an image."""
        _, height, width = decode(data, self.task.plan.decoder, self.task.plan.max_pixels).shape
        return width, height, image_format(data)


class VerifyHeader(Verify):
    """Reads the headers of images alone."""

    def size(self, data: bytes) -> tuple[int, int, str]:
        """See the class."""
        header = read_header(data, self.task.plan.max_pixels)
        return header.width, header.height, header.format


class Copy(_Pass):
    """Copies the bytes of verified images."""

    def messages(self, number: int, out: Writer | None) -> Iterator[dict[str, Any]]:
        """See the class.

        Raises:
            DataError: an image has changed since it was verified.
        """
        if out is None or self.offsets is None:
            raise TypeError("Copy needs offsets")
        rows: list[int] = []
        for row, cell in read_cells(self.task.store, self.task.runs[number]):
            if not isinstance(cell, bytes) or len(cell) != self.task.length[row]:
                raise DataError(f"image of row {row} changed during preparation", "Remove the .journal and run again.")
            out.put(np.frombuffer(cell, np.uint8), int(self.offsets[row]))
            rows.append(row)
            if len(rows) == REPORT:
                yield {"copied": True, "rows": rows}
                rows = []
        if rows:
            yield {"copied": True, "rows": rows}


def to_square(pixels: Tensor, size: int) -> Tensor:
    """[3, H, W] uint8 → [3, size, size] uint8, bicubic with antialiasing; unchanged if it has that size."""
    # torchvision's wrapper keeps channels last, whereas interpolate itself would copy them twice
    resized: Tensor = resize(pixels, [size, size], interpolation=InterpolationMode.BICUBIC, antialias=True)
    return resized


def image_format(data: bytes) -> str:
    """Pillow's format name, from the first bytes if they suffice."""
    for magic, name in MAGIC.items():
        if data.startswith(magic):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    return read_header(data).format
