"""HEIC and JPEG XL, which Pillow reads with plugins: pi-heif (libheif, decoders only) and pylibjxl (libjxl)."""

from functools import cache

from contracts.errors import DataError

JXL = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")  # First bytes of a JPEG XL codestream, and of its container
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs")
"""Brands of images coded by HEVC (ISO/IEC 23008-12); AVIF has the same container and others."""


def is_heic(data: bytes) -> bool:
    """Whether a file has one of HEIC's brands."""
    brands = data[8 : min(int.from_bytes(data[:4], "big"), 256)]
    return data[4:8] == b"ftyp" and any(brands[k : k + 4] in _HEIC for k in range(0, len(brands), 4))


@cache
def register(kind: str) -> None:
    """Register the plugin of a format, which is imported only when a file of that format is read.

    Args:
        kind: ``HEIF`` or ``JXL``; nothing is done for other formats.

    Raises:
        DataError: its plugin is not installed.
    """
    try:
        if kind == "HEIF":
            import pi_heif

            pi_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)
        elif kind == "JXL":
            import pylibjxl

            pylibjxl.register_pillow()
    except ImportError as error:
        raise DataError(f"{kind} needs {error.name}", f"Install it: pip install {error.name}.") from error
