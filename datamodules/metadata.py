"""What can be known of an image without looking at it: format, size, bytes, JPEG quality; and what tells copies."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from contracts.errors import DataError
from datamodules.decode import MAX_PIXELS, decode, open_image, read_header
from datamodules.fed_store import dealt
from datamodules.manifest import Manifest
from datamodules.parallel import cores, parallel
from datamodules.perceptual import difference_hash
from datamodules.prepare_pieces import Rows, read_cells
from datamodules.prepare_work import REPORT
from datamodules.stores import ImageStore

LUMINANCE = np.array(
    [
        16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29,
        51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121,
        120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
    ]
)  # fmt: skip
"""Quantisation of quality 50, row by row (ITU-T T.81, table K.1)."""


@dataclass(frozen=True)
class Metadata:
    """One image.

    Attributes:
        format: Pillow's name; WebP says whether it is lossless; "" for pixels.
        width: as displayed.
        height: as displayed.
        nbytes: of the encoded file, 0 for pixels.
        quality: estimated JPEG quality 1..100, 0 for any other format.
        digest: SHA-256 of the bytes (or pixels), as hex digits.
        dhash: 64-bit difference hash.
    """

    format: str
    width: int
    height: int
    nbytes: int
    quality: int
    digest: str
    dhash: int


def read_metadata(data: bytes | NDArray[np.uint8], max_pixels: int = MAX_PIXELS) -> Metadata:
    """Describe an image.

    Raises:
        DataError: it cannot be decoded.
    """
    if isinstance(data, np.ndarray):
        height, width = data.shape[:2]
        digest = hashlib.sha256(data.tobytes()).hexdigest()
        return Metadata("", width, height, 0, 0, digest, difference_hash(Image.fromarray(data)))
    header = read_header(data, max_pixels)
    quality = 0
    if header.format == "JPEG":
        image = open_image(data, max_pixels)
        quality = jpeg_quality(image.quantization)  # type: ignore[attr-defined]  # of Pillow's JPEG plugin
        try:
            dhash = difference_hash(image)
        except (OSError, SyntaxError, ValueError) as error:
            raise DataError(f"damaged or truncated JPEG image: {error}") from error
    else:
        dhash = difference_hash(Image.fromarray(decode(data, max_pixels=max_pixels).permute(1, 2, 0).numpy()))
    kind = header.format
    if kind == "WEBP":
        kind = "WEBP lossless" if _is_lossless_webp(data) else "WEBP lossy"
    digest = hashlib.sha256(data).hexdigest()
    return Metadata(kind, header.width, header.height, len(data), quality, digest, dhash)


def jpeg_quality(tables: Mapping[int, Any]) -> int:
    """Quality of the Independent JPEG Group's scale whose luminance table is nearest; 0 without tables.

    Args:
        tables: quantisation tables by number, 64 steps each, row by row.
    """
    if not tables:
        return 0
    table = np.asarray(tables[min(tables)], dtype=np.int64)
    return int(np.abs(_STANDARD - table).sum(axis=1).argmin()) + 1


def _is_lossless_webp(data: bytes) -> bool:
    """Whether the first picture of a RIFF container is coded without loss (chunk ``VP8L``)."""
    place = 12
    while place + 8 <= len(data):
        name, size = data[place : place + 4], int.from_bytes(data[place + 4 : place + 8], "little")
        if name in (b"VP8 ", b"VP8L"):
            return name == b"VP8L"
        # a frame of an animation holds its picture's chunks behind 16 bytes of its own
        place += 24 if name == b"ANMF" else 8 + size + size % 2
    return False


def _standard_tables() -> NDArray[np.int64]:
    """[100, 64] luminance tables of qualities 1 to 100, as libjpeg scales them (``jpeg_quality_scaling``)."""
    quality = np.arange(1, 101)[:, None]
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    tables: NDArray[np.int64] = np.clip((LUMINANCE * scale + 50) // 100, 1, 255)
    return tables


_STANDARD = _standard_tables()


class Describe:
    """A walk over images that describes each.

    Args:
        store: where they are read.
        runs: rows of each piece of work.
        max_pixels: largest image decoded.
    """

    def __init__(self, store: ImageStore, runs: list[Rows], max_pixels: int) -> None:
        self.store = store
        self.runs = runs
        self.max_pixels = max_pixels

    def __call__(self, number: int) -> Iterator[list[tuple[int, Metadata | str]]]:
        """Row and metadata, or why there is none, a few images at a time."""
        found: list[tuple[int, Metadata | str]] = []
        for row, cell in read_cells(self.store, self.runs[number]):
            try:
                if isinstance(cell, DataError):
                    raise cell
                found.append((row, read_metadata(cell, self.max_pixels)))
            except DataError as error:
                found.append((row, error.what))
            if len(found) == REPORT:
                yield found
                found = []
        if found:
            yield found


def describe(
    manifest: Manifest, store: ImageStore, workers: int | None = None, max_pixels: int = MAX_PIXELS
) -> tuple[dict[str, NDArray[Any]], dict[int, str]]:
    """Metadata of all images, read by several processes.

    Returns:
        The fields of `Metadata` as columns of N rows each, with ``row`` of the manifest; and why other rows could not
        be read.
    """
    workers = workers or cores()
    known: dict[int, Metadata] = {}
    failed: dict[int, str] = {}
    bar = tqdm(total=len(manifest), desc="audit", unit=" images", smoothing=0.05)
    with bar, dealt(store, np.arange(len(manifest)), workers) as (shared, runs):
        for found in parallel(Describe(shared, runs, max_pixels), len(runs), workers):
            for row, described in found:
                if isinstance(described, str):
                    failed[row] = described
                else:
                    known[row] = described
            bar.update(len(found))
    rows = sorted(known)
    kinds: dict[str, Any] = {"format": object, "digest": object, "dhash": np.uint64}
    values = list(zip(*(astuple(known[row]) for row in rows), strict=True)) or [()] * len(fields(Metadata))
    columns = {
        field.name: np.array(column, dtype=kinds.get(field.name, np.int64))
        for field, column in zip(fields(Metadata), values, strict=True)
    }
    return columns | {"row": np.array(rows, dtype=np.int64)}, dict(sorted(failed.items()))
