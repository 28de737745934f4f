"""From encoded bytes to uint8 RGB: torchvision for plain JPEG and WebP, Pillow as the reference and for the rest.

The same policy holds for every image of either class: EXIF orientation is applied, alpha is composited on white, 16-bit
samples keep their high byte, animations give their first frame, and colour profiles are ignored. Decoders get files
without their metadata (`datamodules.loading.containers`), so only pixels decide whether an image can be read. The
header is read first, so no pixel of a decompression bomb is ever allocated.
"""

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
import PIL
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFile
from torch import Tensor

from contracts.errors import ConfigError, DataError, check_known
from datamodules.loading.containers import avif, gif, jpeg, plugins, png, tiff, webp
from datamodules.loading.containers.orientation import orientation
from datamodules.loading.containers.parts import Parts, Split
from datamodules.loading.containers.tiff import ORIENTATION

Backend = Literal["torchvision", "pillow"]
BACKENDS = ("torchvision", "pillow")

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF", "JXL")
"""The only formats opened; Pillow's many others would only be attack surface."""

MAX_PIXELS = 178_956_970
"""Pixels of the largest image decoded by default: Pillow's own limit, about 13377 squared (half a GiB of RGB)."""
LARGEST = 2**31 - 1  # The highest limit: pixels that decoders count in 32 bits (6 GiB of RGB)

# not decode_png: in torchvision 0.29.2 one damaged byte in a PNG's pixels ends the process with a segmentation
# fault, and Pillow, with equal pixels, takes only a tenth longer
_DECODERS = {"JPEG": "decode_jpeg", "WEBP": "decode_webp"}
_RGB = 3  # `torchvision.io.ImageReadMode.RGB`
ROTATED = ("TIFF", "HEIF", "JXL")  # Formats whose images Pillow, libheif and libjxl rotate
_SIGNATURES = {
    jpeg.SIGNATURE: "JPEG",
    png.SIGNATURE: "PNG",
    b"BM": "BMP",
    **dict.fromkeys(gif.SIGNATURES, "GIF"),
    **dict.fromkeys(tiff.SIGNATURES, "TIFF"),
}
_SPLIT: dict[str, Split] = {
    "JPEG": jpeg.split, "PNG": png.split, "WEBP": webp.split, "GIF": gif.split, "TIFF": tiff.split
}  # fmt: skip
# exceptions of Pillow's plugins on damaged files, found by reading and fuzzing them
_BROKEN = (
    OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error, zlib.error,
    RuntimeError,  # of pylibjxl
)  # fmt: skip

# sizes are checked here against our own limit, so Pillow's warning at half of it is noise
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
# torchvision 0.29 warns at every call that its decoders will move to torchcodec
warnings.filterwarnings("ignore", message="The image decoding and encoding capabilities of TorchVision are deprecated")


@dataclass(frozen=True)
class Header:
    """Properties of a file that are known before a pixel is decoded."""

    width: int  # columns of the image as displayed, after EXIF orientation
    height: int  # rows of the image as displayed
    format: str  # Pillow's name, one of `FORMATS`
    mode: str  # Pillow's mode (``RGB``, ``L``, ``P``, ``CMYK``, ``I;16``, …)
    orientation: int  # EXIF orientation 1..8; 1 is upright
    plain: bool
    """Whether it is a JPEG or WebP of one frame, RGB or gray without alpha, which torchvision decodes as Pillow does.
    """
    notes: tuple[str, ...] = ()  # damaged metadata that was ignored, in words; no image is refused for it


def read_header(data: bytes, max_pixels: int = MAX_PIXELS) -> Header:
    """Read a header.

    Raises:
        DataError: the bytes are not an image of a known format, or it has more than ``max_pixels`` pixels.
    """
    return _open(data, max_pixels).header


def open_image(data: bytes, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Open an image with Pillow, without its metadata; nothing is decoded yet.

    Raises:
        DataError: as `read_header`.
    """
    return _open(data, max_pixels).image


def decode(data: bytes, backend: Backend = "torchvision", max_pixels: int = MAX_PIXELS) -> Tensor:
    """Decode the first frame.

    Returns:
        [3, H, W] uint8 RGB, stored row by row with the three channels of a pixel side by side (channels last).

    Raises:
        DataError: as `read_header`, or the file is damaged or truncated.
    """
    return decode_noted(data, backend, max_pixels)[0]


def decode_noted(
    data: bytes, backend: Backend = "torchvision", max_pixels: int = MAX_PIXELS
) -> tuple[Tensor, tuple[str, ...]]:
    """As `decode`, with `Header.notes`."""
    check_backend(backend)
    opened = _open(data, max_pixels)
    header = opened.header
    if backend == "torchvision" and header.plain:
        try:
            encoded = torch.frombuffer(bytearray(opened.data), dtype=torch.uint8)
            pixels = _operator(_DECODERS[header.format])(encoded, _RGB)
            return _upright(pixels, header.orientation), header.notes
        except RuntimeError:
            pass  # Pillow reads some variants that torchvision does not, or gives a better reason
    try:
        array = _to_rgb(opened.image)
    except (*_BROKEN, MemoryError) as error:
        raise DataError(f"damaged or truncated {header.format} image: {error}") from error
    return _upright(torch.from_numpy(array).permute(2, 0, 1), header.orientation), header.notes


def pixels_of(image: Image.Image) -> NDArray[np.uint8]:
    """The pixels of an image that Pillow has opened or made, by the same policy.

    EXIF orientation applies only to an image as `Image.open` gives it: what Pillow makes of it keeps the EXIF data
    even if it has been rotated.

    Returns:
        [H, W, 3] uint8 RGB.

    Raises:
        DataError: it is damaged or truncated, its file is closed, or it has floating-point samples.
    """
    try:
        array = _to_rgb(image)
    except (*_BROKEN, MemoryError) as error:
        raise DataError(f"damaged or truncated {image.format or image.mode} image: {error}") from error
    turned = _stored_orientation(image)[0] if isinstance(image, ImageFile.ImageFile) else 1
    return _upright(torch.from_numpy(array).permute(2, 0, 1), turned).permute(1, 2, 0).numpy()


@cache
def _operator(name: str) -> Callable[[Tensor, int], Tensor]:
    """An operator of torchvision, without the rest of it: importing that takes almost as long as importing torch."""
    found = find_spec("torchvision")
    for folder in (found and found.submodule_search_locations) or ():
        for library in Path(folder).glob("image*.so"):
            torch.ops.load_library(library)  # type: ignore[no-untyped-call]
    if not hasattr(torch.ops.image, name):
        import torchvision  # noqa: F401 - which knows where its libraries are
    operator: Callable[[Tensor, int], Tensor] = getattr(torch.ops.image, name)
    return operator


def check_backend(backend: str) -> None:
    """Raise a ConfigError unless there is a decoder of this name."""
    check_known("datamodule.decoder", backend, BACKENDS)


def check_max_pixels(max_pixels: int) -> None:
    """Raise a ConfigError if the limit is not a size, or above `LARGEST`."""
    if not 1 <= max_pixels <= LARGEST:
        raise ConfigError(f"datamodule.max_pixels={max_pixels} is out of range", f"Give 1 to {LARGEST}.")


def versions() -> dict[str, str]:
    """Versions of the libraries whose decoders make the pixels, for provenance."""
    import torchvision  # slow

    further = {name: version(name) for name in ("pi_heif", "pylibjxl") if find_spec(name)}
    return {"torchvision": str(torchvision.__version__), "pillow": str(PIL.__version__), **further}


@dataclass(frozen=True)
class _Opened:
    """An image whose pixels are not decoded yet, its header, and the file's bytes without metadata."""

    image: Image.Image
    header: Header
    data: bytes


def _open(data: bytes, max_pixels: int) -> _Opened:
    kind = _kind(data)
    parts = _SPLIT[kind](data) if kind in _SPLIT else Parts(data)
    notes = parts.notes
    if max_pixels > MAX_PIXELS and 2 * (Image.MAX_IMAGE_PIXELS or max_pixels) < max_pixels:
        Image.MAX_IMAGE_PIXELS = max_pixels  # Pillow refuses twice as many; it has no limit for a single image
    try:
        image = _identified(parts.data, kind)
    except DataError:
        if kind != "AVIF":
            raise
        # libavif always reads EXIF, and refuses the image if it is invalid
        parts = Parts(avif.without_metadata(data))
        image = _identified(parts.data, kind)
        notes = ("AVIF metadata cannot be read",)
    width, height = image.size
    if width * height > max_pixels:
        raise DataError(
            f"refused: {width}x{height} is {width * height:,} pixels, more than max_pixels={max_pixels:,}",
            "Raise datamodule.max_pixels if the image is genuine.",
        )
    turned, about = _orientation(image, parts)
    frames = int(getattr(image, "n_frames", 1)) if kind == "WEBP" else 1
    plain = image.mode in ("RGB", "L") and kind in _DECODERS and frames == 1
    if turned >= 5:
        width, height = height, width
    return _Opened(image, Header(width, height, kind, image.mode, turned, plain, (*notes, *about)), parts.data)


def _kind(data: bytes) -> str:
    """Format of a file by its first bytes, "" if unknown."""
    if webp.is_webp(data):
        return "WEBP"
    if avif.is_avif(data):
        return "AVIF"
    if plugins.is_heic(data):
        return "HEIF"
    if data.startswith(plugins.JXL):
        return "JXL"
    return next((kind for signature, kind in _SIGNATURES.items() if data.startswith(signature)), "")


def _identified(data: bytes, kind: str) -> Image.Image:
    """The image as Pillow opens it.

    Raises:
        DataError: with the reason from the format's reader if the first bytes are those of a format.
    """
    try:
        if not kind:
            start = f"{len(data)} bytes starting with {data[:8].hex(' ')}" if data else "empty file"
            raise DataError(f"no image of a known format ({start})", f"Known formats: {', '.join(FORMATS)}.")
        if kind == "JPEG":
            _check_samples(data)
        plugins.register(kind)
        return Image.open(io.BytesIO(data), formats=[kind])
    except Image.DecompressionBombError as error:
        limit = str(error).split(",")[0]  # the rest guesses at an attack
        hint = "Raise datamodule.max_pixels if the image is genuine."
        raise DataError(f"refused: {limit}; datamodule.max_pixels raises it", hint) from error
    except PIL.UnidentifiedImageError as error:
        raise DataError(f"damaged {kind} header: {_reason(data, kind)}") from error
    except _BROKEN as error:
        raise DataError(f"damaged {kind} header: {error}") from error


def _check_samples(data: bytes) -> None:
    """Raise a DataError for a JPEG with a bit depth that no decoder here reads."""
    bits = jpeg.sample_bits(data)
    if bits not in (0, 8):
        raise DataError(f"JPEG with {bits} bits per sample; only 8 can be decoded", "Convert it to PNG, or to 8 bits.")


def _reason(data: bytes, kind: str) -> str:
    """The reason why a format's reader refuses a file, which `Image.open` does not give."""
    try:
        Image.OPEN[kind][0](io.BytesIO(data), "")
    except _BROKEN as error:
        return str(error) or type(error).__name__
    return "it cannot be read"


def _orientation(image: Image.Image, parts: Parts) -> tuple[int, tuple[str, ...]]:
    if image.format in ROTATED or image.format == "AVIF":
        return _stored_orientation(image)  # an AVIF container has its own, which Pillow writes into the EXIF
    return orientation(parts)


def _stored_orientation(image: Image.Image) -> tuple[int, tuple[str, ...]]:
    """The orientation that Pillow finds, and notes."""
    if image.format in ROTATED:
        return 1, ()
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except _BROKEN as error:
        return 1, (f"EXIF cannot be read: {error}",)
    return (value if isinstance(value, int) and 1 <= value <= 8 else 1), ()


def _upright(pixels: Tensor, orientation: int) -> Tensor:
    if orientation >= 5:
        pixels = pixels.transpose(1, 2)
    mirrored = {2: (2,), 3: (1, 2), 4: (1,), 6: (2,), 7: (1, 2), 8: (1,)}.get(orientation, ())
    if orientation == 1:
        return pixels
    return pixels.flip(mirrored).permute(1, 2, 0).contiguous().permute(2, 0, 1)


def _to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    image.load()
    if image.mode.startswith("I"):
        samples = np.asarray(image).astype(np.int64)
        if samples.min() < 0 or samples.max() > 0xFFFF:
            raise ValueError(f"samples from {samples.min()} to {samples.max()} are not 16-bit gray")
        gray = (samples >> 8).astype(np.uint8)
        return np.repeat(gray[:, :, None], 3, axis=2)
    if image.mode == "F":
        raise ValueError("floating-point samples have no defined white")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))
