"""JPEG (ITU-T T.81): the segments that determine pixels (tables, frame, JFIF, Adobe's colour transform), and EXIF."""

from datamodules.loading.containers.parts import Parts, remarks

SIGNATURE = b"\xff\xd8\xff"
_EXIF = b"Exif\0\0"
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_SCAN, _END, _COMMENT = 0xDA, 0xD9, 0xFE
# segments that determine a decoder's colour space, with the bytes that libjpeg requires of them
_COLOURS = {0xE0: (b"JFIF\0", 14), 0xEE: (b"Adobe", 12)}
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}


def split(data: bytes) -> Parts:
    """Split a JPEG: application segments and comments are removed, except complete JFIF and Adobe segments."""
    kept: list[bytes | memoryview] = [data[:2]]
    exif: list[bytes] = []
    notes: list[str] = []
    xmp = b""
    view = memoryview(data)
    place = 2
    while place + 4 <= len(data):
        if data[place] != 0xFF or data[place + 1] in (0, 0xFF):
            place = _next_marker(data, place, notes)
            continue
        marker = data[place + 1]
        if 0xD0 <= marker <= 0xD8 or marker == 0x01:
            kept.append(view[place : place + 2])
            place += 2
            continue
        length = max(int.from_bytes(data[place + 2 : place + 4], "big"), 2)
        if marker in (_SCAN, _END) or (place + 2 + length > len(data)):
            break
        if not (0xE0 <= marker <= 0xEF or marker == _COMMENT):
            kept.append(view[place : place + 2 + length])
        else:
            body = data[place + 4 : place + 2 + length]
            magic, least = _COLOURS.get(marker, (b"\0", 0))
            if body.startswith(magic) and least:
                if len(body) >= least:
                    kept.append(view[place : place + 2 + length])
                else:
                    notes.append(f"JPEG segment {magic.strip(bytes(1)).decode()} of {len(body)} bytes is too short")
            elif marker == 0xE1 and body.startswith(_EXIF):
                exif.append(body)
            elif marker == 0xE1 and body.startswith(_XMP):
                xmp = body[len(_XMP) :]
        place += 2 + length
    kept.append(view[place:])
    # long EXIF is split into segments with the same header
    whole = (exif[0] + b"".join(part[len(_EXIF) :] for part in exif[1:]), *exif) if len(exif) > 1 else exif
    return Parts(b"".join(kept), tuple(whole), xmp, remarks(notes))


def _next_marker(data: bytes, place: int, notes: list[str]) -> int:
    """Position of the next possible marker; bytes between segments are skipped, as in libjpeg."""
    start = place
    while place + 1 < len(data) and not (data[place] == 0xFF and data[place + 1] not in (0, 0xFF)):
        found = data.find(b"\xff", place + 1)
        place = found if found > 0 else len(data)
    if data[start:place].strip(b"\xff"):
        notes.append("JPEG segment has a wrong length")
    return place


def sample_bits(data: bytes) -> int:
    """Bits per sample of a file from `split`; 0 if it has no frame header."""
    place = 2
    while place + 5 <= len(data) and data[place] == 0xFF:
        if data[place + 1] in _FRAMES:
            return data[place + 4]
        place += 2 + max(int.from_bytes(data[place + 2 : place + 4], "big"), 2)
    return 0
