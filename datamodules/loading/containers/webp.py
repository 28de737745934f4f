"""WebP (RFC 9649): the chunks of the image and its frames, and EXIF and XMP if the header announces them."""

import struct

from datamodules.loading.containers.parts import Parts, printable, remarks

_PIXELS = (b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF")
_EXIF, _XMP, _ICC = 0x08, 0x04, 0x20


def is_webp(data: bytes) -> bool:
    """Whether the bytes begin like a RIFF container of WebP."""
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def split(data: bytes) -> Parts:
    """Split a WebP; the extended header no longer announces what is removed."""
    view = memoryview(data)
    end = min(len(data), 8 + int.from_bytes(data[4:8], "little"))
    kept: list[bytes | memoryview] = []
    exif: list[bytes] = []
    notes: list[str] = []
    xmp, flags = b"", 0
    place = 12
    while place + 8 <= end:
        name, size = data[place : place + 4], int.from_bytes(data[place + 4 : place + 8], "little")
        body, after = place + 8, place + 8 + size + size % 2
        if name in _PIXELS:
            if name == b"VP8X" and size >= 1 and body < end:
                flags = data[body]
                kept += [view[place:body], bytes([flags & ~(_EXIF | _XMP | _ICC)]), view[body + 1 : min(after, end)]]
            elif body + size > end:
                return Parts(data)  # the image itself is truncated
            else:
                kept.append(view[place : min(after, end)])
        elif body + size > end:
            notes.append(f"WebP chunk {printable(name).strip()} is truncated")
        elif name == b"EXIF" and flags & _EXIF:
            exif.append(data[body : body + size])
        elif name == b"XMP " and flags & _XMP:
            xmp = xmp or data[body : body + size]
        place = after
    image = b"".join(kept)
    return Parts(b"RIFF" + struct.pack("<I", 4 + len(image)) + b"WEBP" + image, tuple(exif), xmp, remarks(notes))
