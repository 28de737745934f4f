"""From encoded bytes to uint8 RGB: torchvision for plain JPEG and WebP, Pillow as reference and for everything else.

One policy for every image, whatever its class: EXIF orientation is applied, alpha is composited on white, 16-bit
samples keep their high byte, animations give their first frame, colour profiles are ignored. The header is read first,
so that no pixel of a decompression bomb is ever allocated.
"""

import io
import struct
import warnings
import zlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
import PIL
import torch
import torchvision
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchvision.io import ImageReadMode, decode_jpeg, decode_webp

from contracts.errors import ConfigError, DataError, nearest

Backend = Literal["torchvision", "pillow"]
BACKENDS = ("torchvision", "pillow")

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
"""Formats ever opened; Pillow's many others are attack surface without images behind it."""

MAX_PIXELS = 178_956_970
"""Largest image decoded by default: where Pillow itself refuses, about 13377 squared (half a GiB of RGB)."""

# not decode_png: in torchvision 0.29.2 one damaged byte among a PNG's pixels ends the process with a segmentation
# fault, and Pillow, equal pixel by pixel, takes only a tenth longer
_DECODERS = {"JPEG": decode_jpeg, "WEBP": decode_webp}
_ORIENTATION = 0x0112
_PNG_EXIF_KEYS = {"exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp"}
# what Pillow's plugins raise on damaged files, from reading the plugins and from fuzzing them
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error, zlib.error)

# sizes are checked here, against a cap of our own, so Pillow's advice at half of it is noise
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
# torchvision 0.29 announces that its decoders will move to torchcodec, and says so at every call
warnings.filterwarnings("ignore", message="The image decoding and encoding capabilities of TorchVision are deprecated")


@dataclass(frozen=True)
class Header:
    """What a file says of itself before a pixel is decoded.

    Attributes:
        width: columns of the image as displayed, after EXIF orientation.
        height: rows of the image as displayed.
        format: Pillow's name, one of `FORMATS`.
        mode: Pillow's mode (``RGB``, ``L``, ``P``, ``CMYK``, ``I;16``, …).
        orientation: EXIF orientation 1..8; 1 needs nothing done.
        plain: a JPEG or WebP of one frame, RGB or gray without alpha, which torchvision decodes as Pillow does.
    """

    width: int
    height: int
    format: str
    mode: str
    orientation: int
    plain: bool


def read_header(data: bytes, max_pixels: int = MAX_PIXELS) -> Header:
    """Read a header.

    Raises:
        DataError: if the bytes are no image of a known format, or it has more than ``max_pixels`` pixels.
    """
    return _open(data, max_pixels)[1]


def decode(data: bytes, backend: Backend = "torchvision", max_pixels: int = MAX_PIXELS) -> Tensor:
    """Decode the first frame.

    Returns:
        [3, H, W] uint8 RGB, stored row by row with the three channels of a pixel side by side (channels last).

    Raises:
        DataError: as `read_header`, or if the file is damaged or truncated.
    """
    check_backend(backend)
    image, header = _open(data, max_pixels)
    if backend == "torchvision" and header.plain:
        try:
            pixels = _DECODERS[header.format](torch.frombuffer(bytearray(data), dtype=torch.uint8), ImageReadMode.RGB)
            return _upright(pixels, header.orientation)
        except RuntimeError:
            pass  # Pillow reads some forms torchvision does not, or says better what is wrong
    try:
        array = _to_rgb(image)
    except (*_BROKEN, MemoryError) as error:
        raise DataError(f"damaged or truncated {header.format} image: {error}") from error
    return _upright(torch.from_numpy(array).permute(2, 0, 1), header.orientation)


def check_backend(backend: str) -> None:
    """Raise a ConfigError unless a decoder has this name."""
    if backend not in BACKENDS:
        raise ConfigError(f"datamodule.decoder={backend!r} is unknown", nearest(backend, BACKENDS))


def check_max_pixels(max_pixels: int) -> None:
    """Raise a ConfigError for a cap that is no size, or above the one Pillow sets whatever is asked for."""
    if not 1 <= max_pixels <= MAX_PIXELS:
        raise ConfigError(f"datamodule.max_pixels={max_pixels} is out of range", f"Give 1 to {MAX_PIXELS}.")


def versions() -> dict[str, str]:
    """Versions of the libraries whose decoders make the pixels, for provenance."""
    return {"torchvision": str(torchvision.__version__), "pillow": str(PIL.__version__)}


def _open(data: bytes, max_pixels: int) -> tuple[Image.Image, Header]:
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        orientation = _orientation(image, data)
        frames = int(getattr(image, "n_frames", 1)) if image.format == "WEBP" else 1
    except Image.DecompressionBombError as error:
        raise DataError(f"refused: {error}") from error
    except PIL.UnidentifiedImageError as error:
        start = f"{len(data)} bytes starting with {data[:8].hex(' ')}" if data else "empty file"
        raise DataError(f"no image of a known format ({start})", f"Known: {', '.join(FORMATS)}.") from error
    except _BROKEN as error:
        raise DataError(f"damaged image header: {error}") from error
    width, height = image.size
    if width * height > max_pixels:
        raise DataError(
            f"refused: {width}x{height} is {width * height:,} pixels, more than max_pixels={max_pixels:,}",
            "Raise datamodule.max_pixels if the image is genuine.",
        )
    kind = "JPEG" if image.format == "MPO" else str(image.format)
    plain = image.mode in ("RGB", "L") and kind in _DECODERS and frames == 1
    if orientation >= 5:
        width, height = height, width
    return image, Header(width, height, kind, image.mode, orientation, plain)


def _orientation(image: Image.Image, data: bytes) -> int:
    if image.format == "TIFF":
        return 1  # Pillow turns it while loading
    # Pillow decodes a whole PNG to look for a chunk after the pixels, so only where there is one
    if image.format == "PNG" and not (_PNG_EXIF_KEYS & image.info.keys() or b"eXIf" in data):
        return 1
    value = image.getexif().get(_ORIENTATION, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


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
            raise ValueError(f"samples from {samples.min()} to {samples.max()} are no 16-bit gray")
        gray = (samples >> 8).astype(np.uint8)
        return np.repeat(gray[:, :, None], 3, axis=2)
    if image.mode == "F":
        raise ValueError("floating-point samples have no agreed white")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return np.array(image.convert("RGB"))
