"""What an image's own bytes show: quantisation, chroma sampling, block grid and metadata of the original file."""

import hashlib
import io
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms

from datamodules.auditing.jpeg_tables import chroma_sampling, jpeg_tables

GRID_SIDE = 1024
"""Most pixels a side, from the top left, that the grid is measured on."""
LONGEST, MOST = 2000, 60
"""Characters of a value and number of values of metadata in a page."""
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of R, G, B (ITU-R BT.601)."""
C2PA = bytes.fromhex("6332706100110010800000aa00389b71")
"""Type of the JUMBF box that holds content credentials (C2PA specification, section 11)."""
IFDS = {ExifTags.IFD.Exif: "Exif", ExifTags.IFD.GPSInfo: "GPS"}
APART = {"exif", "icc_profile", "photoshop", "jfif", "jfif_version", "jfif_unit", "adobe", "adobe_transform"}
"""Of Pillow's ``info``: shown elsewhere, or technical values that every file of a format has."""
# exceptions of Pillow's plugins on damaged metadata
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error)

Facts = dict[str, Any]


def described(content: bytes | NDArray[np.uint8]) -> Facts:
    """Facts of an image for its sheet.

    Args:
        content: an encoded image that Pillow can decode, or pixels [H, W, 3].

    Returns:
        ``file`` and ``metadata``: lists of (name, text); ``grid``: see `block_grid`, None where it cannot be measured.
    """
    if not isinstance(content, bytes):
        return {"file": [("pixels", hashlib.sha256(content.tobytes()).hexdigest())], "metadata": [],
                "grid": block_grid(content @ LUMA)}  # fmt: skip
    with Image.open(io.BytesIO(content)) as image:
        try:
            image.load()  # text of a PNG may follow its pixels
        except _DAMAGED as error:
            return {"file": [("damaged", str(error))], "metadata": [], "grid": None}
        try:
            metadata = list(_metadata(image))
        except _DAMAGED as error:
            metadata = [("metadata", f"damaged: {error}")]
        left = len(metadata) - MOST
        shown = [(name, _short(text)) for name, text in metadata[:MOST]]
        more = [("…", f"{left} more values are not shown")] if left > 0 else []
        return {"file": list(_file(image, content)), "metadata": shown + more, "grid": block_grid(_luma(image))}


def block_grid(luma: NDArray[np.floating]) -> list[float] | None:
    """Block discontinuity by position modulo 8: an 8 × 8 grid of JPEG makes one of 64 positions exceed the others.

    The measure is |Y(x, y) + Y(x + 1, y + 1) - Y(x + 1, y) - Y(x, y + 1)|, averaged by (y mod 8, x mod 8) and divided
    by the mean of the 64 (cross-differences of Chen and Hsu, "Image tampering detection by blocking periodicity
    analysis in JPEG compressed images", MMSP 2008). Blocks that begin at (0, 0) raise the position (7, 7).

    Args:
        luma: [H, W] of the pixels as stored; the first `GRID_SIDE` rows and columns count.

    Returns:
        64 ratios, row by row; None for an image below 17 pixels a side or without any difference.
    """
    part = luma[:GRID_SIDE, :GRID_SIDE].astype(np.float64)
    height, width = ((side - 1) // 8 * 8 for side in part.shape)
    if min(height, width) < 16:
        return None
    across = np.abs(part[1:, 1:] + part[:-1, :-1] - part[1:, :-1] - part[:-1, 1:])[:height, :width]
    means = across.reshape(height // 8, 8, width // 8, 8).mean(axis=(0, 2))
    if means.mean() == 0:
        return None
    return [round(float(ratio), 3) for ratio in (means / means.mean()).ravel()]


def _luma(image: Image.Image) -> NDArray[np.floating]:
    if image.mode.startswith("I"):
        return np.asarray(image, np.uint32).astype(np.float32) / 257
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return np.asarray(image.convert("RGB")) @ LUMA


def _file(image: Image.Image, content: bytes) -> Iterator[tuple[str, str]]:
    yield "colours", image.mode
    yield "bytes per pixel", f"{len(content) / (image.width * image.height):.3f}"
    if image.format == "JPEG":
        tables = jpeg_tables(image.quantization)  # type: ignore[attr-defined]  # of Pillow's JPEG plugin
        if tables is not None:
            about = f"{tables.quality}" if tables.quality else f"near {tables.nearest}"
            yield "JPEG quality", f"{about} ({tables})"
        yield "chroma", chroma_sampling([tuple(layer[1:3]) for layer in image.layer])  # type: ignore[attr-defined]
        yield "coding", "progressive" if image.info.get("progressive") else "sequential"
    if getattr(image, "n_frames", 1) > 1:
        yield "frames", f"{image.n_frames}, the first is shown"  # type: ignore[attr-defined]
    if profile := image.info.get("icc_profile"):
        yield "colour profile", _profile(profile)
    if C2PA in content:
        yield "content credentials", "a C2PA manifest, not verified here"
    yield "SHA-256", hashlib.sha256(content).hexdigest()


def _profile(profile: bytes) -> str:
    try:
        return ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile))).strip()
    except (*_DAMAGED, ImageCms.PyCMSError) as error:
        return f"damaged: {error}"


def _metadata(image: Image.Image) -> Iterator[tuple[str, str]]:
    """Text chunks, comments and XMP, then EXIF."""
    for name, value in image.info.items():
        if isinstance(name, str) and name not in APART:
            yield name, _text(value)
    exif = image.getexif()
    for tag, value in exif.items():
        if tag not in IFDS:
            yield f"Exif {ExifTags.TAGS.get(tag, hex(tag))}", _text(value)
    for ifd, title in IFDS.items():
        names = ExifTags.GPSTAGS if title == "GPS" else ExifTags.TAGS
        for tag, value in exif.get_ifd(ifd).items():
            yield f"{title} {names.get(tag, hex(tag))}", _text(value)


def _text(value: object) -> str:
    if not isinstance(value, bytes):
        return str(value)
    try:
        return value.decode().rstrip("\0")
    except UnicodeDecodeError:
        return f"{len(value)} bytes that are not text"


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} … ({len(text):,} characters)"
