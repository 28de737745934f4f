"""PNG (W3C PNG Specification, third edition): the chunks that determine pixels, and orientation."""

import zlib
from collections.abc import Iterator

from datamodules.loading.containers.parts import Parts, printable, remarks

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PIXELS = (b"IHDR", b"PLTE", b"IDAT")
_TEXT = (b"tEXt", b"zTXt", b"iTXt")
_XMP = b"XML:com.adobe.xmp"
_RAW_EXIF = b"Raw profile type exif"
_MAX_TEXT = 2**20
# minimum lengths in bytes, from the specification
_LENGTHS = {b"gAMA": 4, b"pHYs": 9, b"cHRM": 32, b"sRGB": 1, b"tIME": 7, b"cICP": 4, b"acTL": 8, b"fcTL": 26}
_TRANSPARENCY = {0: 2, 2: 6, 3: 1}  # Bytes of tRNS by colour type; colour types with an alpha channel have none

_END = b"\0\0\0\0IEND\xaeB`\x82"


def split(data: bytes) -> Parts:
    """Split a PNG: IHDR, PLTE, IDAT and a valid tRNS are kept; of an animation only the default image is kept."""
    kept: list[bytes | memoryview] = [SIGNATURE]
    exif: list[bytes] = []
    texts: dict[bytes, tuple[bytes, bytes]] = {}
    notes: list[str] = []
    view = memoryview(data)
    colour = data[25] if len(data) > 25 else -1
    pixels = False
    place, name = len(SIGNATURE), b""
    for name, start, end in _chunks(data):
        place = end + 4
        pixels = pixels or name == b"IDAT"
        if name in _PIXELS:
            kept.append(view[start - 8 : place])
            continue
        shown = f"PNG chunk {printable(name)}"
        if end + 4 > len(data):
            break
        if end - start < _LENGTHS.get(name, 0):
            notes.append(f"{shown} of {end - start} bytes is too short")
        elif zlib.crc32(view[start - 4 : end]).to_bytes(4, "big") != data[end:place]:
            notes.append(f"{shown} has a wrong CRC")
        elif name == b"tRNS":
            if end - start >= _TRANSPARENCY.get(colour, 0):
                kept.append(view[start - 8 : place])
            else:
                notes.append(f"{shown} of {end - start} bytes is too short")
        elif name == b"eXIf":
            exif.insert(0, data[start:end])
        elif name in _TEXT:
            key, found, _ = data[start : min(start + 80, end)].partition(b"\0")
            if not found:
                notes.append(f"{shown} has no keyword")
            elif key in (_XMP, _RAW_EXIF) and not pixels:
                texts[key] = name, data[start + len(key) + 1 : end]
            elif key.lower() in (b"exif", b"xmp"):
                notes.append(f"{shown} is called {printable(key)}, but does not contain it")
    if not pixels or (place > len(data) and name in _PIXELS):
        return Parts(data)  # nothing after the damage can be trusted
    if place > len(data):
        notes.append(f"PNG chunk {printable(name)} is truncated")
    raw, xmp = _text(texts.get(_RAW_EXIF), notes), _text(texts.get(_XMP), notes)
    if raw:
        exif += _raw_profile(raw, notes)
    return Parts(b"".join((*kept, _END)), tuple(exif), xmp, remarks(notes))


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of each chunk's data up to IEND, or up to broken framing."""
    place = len(SIGNATURE)
    while place + 8 <= len(data):
        length, name = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
        if name == b"IEND" or not name.replace(b"_", b"0").isalnum():  # the names that Pillow accepts
            return
        yield name, place + 8, place + 8 + length
        place += 12 + length


def _text(found: tuple[bytes, bytes] | None, notes: list[str]) -> bytes:
    """The decompressed text of a chunk after its keyword; b"" if it cannot be decompressed."""
    if found is None:
        return b""
    kind, text = found
    packed = kind == b"zTXt"
    if kind == b"iTXt":
        packed = text[:1] == b"\1"
        _, _, text = text[2:].partition(b"\0")  # the language
        _, _, text = text.partition(b"\0")  # the keyword in that language
    elif packed:
        text = text[1:]
    if not packed:
        return text
    unpacker = zlib.decompressobj()
    try:
        unpacked = unpacker.decompress(text, _MAX_TEXT)
    except zlib.error:
        notes.append(f"PNG chunk {printable(kind)} cannot be decompressed")
        return b""
    if unpacker.unconsumed_tail:
        notes.append(f"PNG chunk {printable(kind)} is longer than {_MAX_TEXT} bytes")
        return b""
    return unpacked


def _raw_profile(text: bytes, notes: list[str]) -> list[bytes]:
    """EXIF as ImageMagick writes it: a line feed, the name, the length, then hexadecimal lines."""
    try:
        return [bytes.fromhex("".join(text.decode("latin-1").split("\n")[3:]))]
    except ValueError:
        notes.append("PNG text 'Raw profile type exif' is not hexadecimal")
        return []
