"""The pixels behind a dump: read again from where the dump says they are, and made ready for a page."""

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray
from PIL import (
    Image,
    ImageOps,
    UnidentifiedImageError,
    WebPImagePlugin,  # noqa: F401 - without it, the first WebP image makes Pillow import all its plugins
)

from benchmarks.predictions import Predictions
from benchmarks.review.packing import distinct
from contracts.errors import DataError
from contracts.names import as_path
from datamodules.arrow.shards import ArrowStore
from datamodules.loading.stores import GROUP_SEPARATOR, Hdf5Store, ParquetStore

MAX_PIXELS = 100_000_000
WHOLE_SIDE = 640
WHOLE_BYTES = 400_000
CROP_SIDE = 320
SHOWN_BY_BROWSERS = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "GIF": "image/gif"}


class PixelReader:
    """Reads images of a dump from files, Parquet or HDF5, whichever its ``where`` and ``row`` columns name.

    Args:
        predictions: the dump. Its provenance's ``images`` may name the Parquet ``column`` and the ``root`` of paths.
    """

    def __init__(self, predictions: Predictions) -> None:
        self.predictions = predictions
        about = predictions.about.get("images")
        self.about = about if isinstance(about, dict) else {}
        self._ids: dict[str, NDArray[np.str_] | None] = {}

    def places(self) -> tuple[list[str], NDArray[np.int64], NDArray[np.int64]]:
        """Files or containers, the index of each image's among them, and its row in the container or -1."""
        return *distinct(self.predictions.where), self.predictions.row

    @cached_property
    def _parquet(self) -> ParquetStore:
        return ParquetStore(self, *self._column)

    @cached_property
    def _arrow(self) -> ArrowStore:
        return ArrowStore(self, *self._column)

    @property
    def _column(self) -> tuple[str, Path | None]:
        root = self.about.get("root")
        return str(self.about.get("column", "image")), Path(root) if root else None

    @cached_property
    def _hdf5(self) -> Hdf5Store:
        return Hdf5Store(self)

    def read(self, position: int) -> bytes | NDArray[np.uint8]:
        """Encoded bytes or pixels [H, W, 3] of one image.

        Raises:
            DataError: the dump does not say where the image is, or it is missing, unreadable or another image.
        """
        where, row = str(self.predictions.where[position]), int(self.predictions.row[position])
        if not where:
            raise DataError("the dump does not record where its images are")
        path = as_path(where.rpartition(GROUP_SEPARATOR)[0] if GROUP_SEPARATOR in where else where)
        if not path.is_file():
            raise DataError(f"{path} does not exist")
        if GROUP_SEPARATOR in where:
            self._check_id(where, row, str(self.predictions.fused_ids[position]))
            return self._hdf5.read(position)
        if row >= 0:
            return (self._arrow if path.suffix == ".arrow" else self._parquet).read(position)
        try:
            return path.read_bytes()
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror or error}") from error

    def _check_id(self, where: str, row: int, expected: str) -> None:
        """Refuses to show another image where an HDF5 file was prepared again after the dump was written."""
        if where not in self._ids:
            name, _, group = where.rpartition(GROUP_SEPARATOR)
            with h5py.File(as_path(name), "r") as file:
                ids = file.get(f"{group}/id")
                self._ids[where] = None if ids is None else np.asarray(ids.asstr()[:], dtype=np.str_)
        known = self._ids[where]
        if known is not None and (row >= known.size or known[row] != expected):
            raise DataError(
                f"{where} contains another image in row {row}: the file was prepared again after the dump was written"
            )


@dataclass(frozen=True)
class PageImage:
    """An image ready for the page."""

    src: str  # data URL: the original bytes, or a lossless PNG of the centre
    width: int  # width of the whole image, as displayed
    height: int  # height of the same
    whole: bool  # all of it is in ``src``; else the central `CROP_SIDE` square
    format: str  # format of the original ("" for bare pixels)
    size: int  # bytes of the original (0 for bare pixels)


def page_image(content: bytes | NDArray[np.uint8]) -> PageImage:
    """Small originals in a format browsers show are kept byte for byte; of others the centre is kept, losslessly.

    Raises:
        DataError: the bytes are not an image, or have more than `MAX_PIXELS` pixels.
    """
    if not isinstance(content, bytes):
        return _cropped(Image.fromarray(content), "", 0)
    with _opened(content) as image:
        kind = image.format or ""
        turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
        width, height = (image.height, image.width) if turned else image.size
        if kind in SHOWN_BY_BROWSERS and max(width, height) <= WHOLE_SIDE and len(content) <= WHOLE_BYTES:
            return PageImage(data_url(content, SHOWN_BY_BROWSERS[kind]), width, height, True, kind, len(content))
        return _cropped(ImageOps.exif_transpose(image), kind, len(content))


def whole_image(content: bytes | NDArray[np.uint8]) -> tuple[bytes, str]:
    """The original bytes if browsers show their format, else a PNG of all pixels; and the media type.

    Raises:
        DataError: the bytes are not an image, or have more than `MAX_PIXELS` pixels.
    """
    if not isinstance(content, bytes):
        return _png(Image.fromarray(content)), "image/png"
    with _opened(content) as image:
        if image.format in SHOWN_BY_BROWSERS:
            return content, SHOWN_BY_BROWSERS[image.format]
        return _png(ImageOps.exif_transpose(image)), "image/png"


@contextmanager
def _opened(content: bytes) -> Iterator[Image.Image]:
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DataError(f"{image.width}×{image.height} pixels are too many to show")
            yield image
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"no image could be decoded: {error}") from error


def _cropped(image: Image.Image, kind: str, size: int) -> PageImage:
    width, height = image.size
    side_x, side_y = min(width, CROP_SIDE), min(height, CROP_SIDE)
    left, top = (width - side_x) // 2, (height - side_y) // 2
    part = image.crop((left, top, left + side_x, top + side_y))
    whole = (side_x, side_y) == (width, height)
    return PageImage(data_url(_png(part, 6)), width, height, whole, kind, size)


def _png(image: Image.Image, level: int = 1) -> bytes:
    """In 8 bits, without metadata."""
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image, dtype=np.uint32) >> 8).astype(np.uint8))
    if image.mode not in ("RGB", "L"):
        image = image.convert("RGBA" if "A" in image.mode or "transparency" in image.info else "RGB")
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=level)
    return file.getvalue()


def data_url(content: bytes, kind: str = "image/png") -> str:
    """A file's content as a URL."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
