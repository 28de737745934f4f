"""Metadata of images (format, size, bytes, JPEG quality) and hashes that identify copies."""

import hashlib
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from contracts.errors import DataError
from datamodules.arrow.fed_store import dealt
from datamodules.arrow.pieces import Rows, batched, read_cells
from datamodules.auditing.jpeg_tables import chroma_sampling, jpeg_tables
from datamodules.auditing.perceptual import difference_hash
from datamodules.loading.decode import MAX_PIXELS, decode, open_image, read_header
from datamodules.loading.parallel import cores, parallel
from datamodules.loading.stores import ImageStore
from datamodules.preparing.work import REPORT
from datamodules.tables.manifest import Manifest


@dataclass(frozen=True)
class Metadata:
    """Metadata of one image."""

    format: str  # Pillow's name, for WebP with "lossless" or "lossy"; "" for pixels
    width: int  # pixels as displayed
    height: int  # pixels as displayed
    nbytes: int  # bytes of the encoded file, 0 for pixels
    quality: int  # JPEG quality 1..100 if the tables are the IJG's of that quality, else 0
    tables: str  # the JPEG's quantisation tables in words (`JpegTables`), "" for any other format
    nearest: int  # quality of the IJG's nearest table, 0 for any other format
    distance: float  # mean absolute difference per step from that table
    digest: str  # SHA-256 of the bytes (or pixels), as hex digits; "" if only the header was read
    dhash: int  # 64-bit difference hash; 0 if only the header was read
    notes: str = ""  # damaged metadata that was ignored, "" if none was
    chroma: str = ""  # a JPEG's chroma sampling (``4:2:0``), "gray" if it has no colour, "" for any other format


def read_metadata(data: bytes | NDArray[np.uint8], max_pixels: int = MAX_PIXELS, hashes: bool = True) -> Metadata:
    """Describe an image.

    Args:
        data: an encoded file, or pixels [H, W, 3].
        max_pixels: pixels of the largest image that is decoded.
        hashes: whether pixels are decoded for the hashes; otherwise only the header is read, some ten times faster.

    Raises:
        DataError: the image cannot be decoded, or its header cannot be read.
    """
    if isinstance(data, np.ndarray):
        height, width = data.shape[:2]
        if not hashes:
            return Metadata("", width, height, 0, 0, "", 0, 0.0, "", 0)
        digest = hashlib.sha256(data.tobytes()).hexdigest()
        return Metadata("", width, height, 0, 0, "", 0, 0.0, digest, difference_hash(Image.fromarray(data)))
    header = read_header(data, max_pixels)
    tables, chroma, dhash = None, "", 0
    if header.format == "JPEG":
        image = open_image(data, max_pixels)
        tables = jpeg_tables(image.quantization)  # type: ignore[attr-defined]  # of Pillow's JPEG plugin
        chroma = chroma_sampling([tuple(layer[1:3]) for layer in image.layer])  # type: ignore[attr-defined]
        try:
            dhash = difference_hash(image) if hashes else 0
        except (OSError, SyntaxError, ValueError) as error:
            raise DataError(f"damaged or truncated JPEG image: {error}") from error
    elif hashes:
        dhash = difference_hash(Image.fromarray(decode(data, max_pixels=max_pixels).permute(1, 2, 0).numpy()))
    kind = header.format
    if kind == "WEBP":
        kind = "WEBP lossless" if is_lossless_webp(data) else "WEBP lossy"
    digest = hashlib.sha256(data).hexdigest() if hashes else ""
    found = (0, "", 0, 0.0) if tables is None else (tables.quality, str(tables), tables.nearest, tables.distance)
    notes = "; ".join(header.notes)
    return Metadata(kind, header.width, header.height, len(data), *found, digest, dhash, notes, chroma)


def is_lossless_webp(data: bytes) -> bool:
    """Whether the first image in a RIFF container is lossless (chunk ``VP8L``)."""
    place = 12
    while place + 8 <= len(data):
        name, size = data[place : place + 4], int.from_bytes(data[place + 4 : place + 8], "little")
        if name in (b"VP8 ", b"VP8L"):
            return name == b"VP8L"
        # a frame of an animation has its image's chunks after 16 bytes of its own
        place += 24 if name == b"ANMF" else 8 + size + size % 2
    return False


def _described(
    store: ImageStore, runs: list[Rows], max_pixels: int, hashes: bool, number: int
) -> Iterator[list[tuple[int, Metadata | str]]]:
    """Row and metadata, or the reason why there is none, of one piece of work, a few images at a time."""

    def each() -> Iterator[tuple[int, Metadata | str]]:
        for row, cell in read_cells(store, runs[number]):
            try:
                if isinstance(cell, DataError):
                    raise cell
                yield row, read_metadata(cell, max_pixels, hashes)
            except DataError as error:
                yield row, error.what

    return batched(each(), REPORT)


def describe(
    manifest: Manifest,
    store: ImageStore,
    workers: int | None = None,
    max_pixels: int = MAX_PIXELS,
    hashes: bool = True,
    title: str = "audit",
) -> tuple[dict[str, NDArray[Any]], dict[int, str]]:
    """Metadata of all images, read by several processes.

    Args:
        manifest: the images.
        store: store to read them from.
        workers: number of processes; None for one per core.
        max_pixels: as `read_metadata`.
        hashes: as `read_metadata`.
        title: title of the progress bar.

    Returns:
        The fields of `Metadata` as columns of N rows each, with ``row`` of the manifest; and the reasons why other rows
        could not be read.
    """
    workers = workers or cores()
    known: dict[int, Metadata] = {}
    failed: dict[int, str] = {}
    bar = tqdm(total=len(manifest), desc=title, unit=" images", smoothing=0.05)
    with bar, dealt(store, np.arange(len(manifest)), workers) as (shared, runs):
        for found in parallel(partial(_described, shared, runs, max_pixels, hashes), len(runs), workers):
            for row, described in found:
                if isinstance(described, str):
                    failed[row] = described
                else:
                    known[row] = described
            bar.update(len(found))
    rows = sorted(known)
    kinds: dict[str, Any] = dict.fromkeys(("format", "tables", "digest", "notes", "chroma"), object)
    kinds |= {"distance": np.float64, "dhash": np.uint64}
    values = list(zip(*(astuple(known[row]) for row in rows), strict=True)) or [()] * len(fields(Metadata))
    columns = {
        field.name: np.array(column, dtype=kinds.get(field.name, np.int64))
        for field, column in zip(fields(Metadata), values, strict=True)
    }
    return columns | {"row": np.array(rows, dtype=np.int64)}, dict(sorted(failed.items()))
