"""AVIF (ISO/IEC 23008-12): EXIF and XMP items are renamed to an unknown type so that decoders ignore them."""

import re

_ITEM = re.compile(rb"(?s)(infe(?:\x02.{7}|\x03.{9}))(Exif|mime)")


def is_avif(data: bytes) -> bool:
    """Whether a file has one of AVIF's brands; HEIC uses the same container format."""
    brands = data[8 : min(int.from_bytes(data[:4], "big"), 256)]
    return data[4:8] == b"ftyp" and any(brands[k : k + 4] in (b"avif", b"avis") for k in range(0, len(brands), 4))


def without_metadata(data: bytes) -> bytes:
    """The file with its metadata items under a type that no decoder knows; same length."""
    place = 0
    while place + 8 <= len(data):
        size = int.from_bytes(data[place : place + 4], "big") or len(data) - place
        if size == 1:
            size = int.from_bytes(data[place + 8 : place + 16], "big")
        if data[place + 4 : place + 8] == b"meta":
            boxes = _ITEM.sub(rb"\1none", data[place : place + size])
            return data[:place] + boxes + data[place + size :]
        place += max(size, 8)
    return data
