"""Image files with metadata of every kind: sound, short, damaged, unknown, long, repeated, before and behind pixels."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from hypothesis import strategies as st
from PIL import Image

Draw = Any

TAGS = Image.Exif()
TAGS[0x0131] = "drawn"
EXIF = TAGS.tobytes()
"""Sound, without an orientation."""
PROFILE = b"\nexif\n      %d\n%s\n"


def image(seed: int, height: int = 12, width: int = 17) -> Image.Image:
    """Smooth noise."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height))


def encoded(picture: Image.Image, form: str, **options: Any) -> bytes:
    """The bytes of a file."""
    stream = io.BytesIO()
    picture.save(stream, form, **options)
    return stream.getvalue()


def chunk(name: bytes, body: bytes, crc: int | None = None) -> bytes:
    """A PNG chunk, with a CRC of its own or the right one."""
    return (
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body) if crc is None else crc)
    )


def png_with(data: bytes, before: bytes = b"", behind: bytes = b"") -> bytes:
    """A PNG with chunks before its first IDAT and behind its last."""
    first, end = data.index(b"IDAT") - 4, data.index(b"IEND") - 4
    return data[:first] + before + data[first:end] + behind + data[end:]


def segment(marker: int, body: bytes, length: int | None = None) -> bytes:
    """A JPEG segment, with a length of its own or the right one."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2 if length is None else length) + body


def jpeg_with(data: bytes, segments: bytes) -> bytes:
    """A JPEG with segments right behind its start."""
    return data[:2] + segments + data[2:]


def riff(name: bytes, body: bytes, length: int | None = None) -> bytes:
    """A WebP chunk, with a length of its own or the right one."""
    return name + struct.pack("<I", len(body) if length is None else length) + body + bytes(len(body) % 2)


def webp_with(data: bytes, before: bytes = b"", behind: bytes = b"", flags: int = 0x2C) -> bytes:
    """A plain WebP in an extended container that announces ICC, EXIF and XMP."""
    size = (17 - 1).to_bytes(3, "little") + (12 - 1).to_bytes(3, "little")
    head = riff(b"VP8X", bytes([flags, 0, 0, 0]) + size)
    body = b"WEBP" + head + before + data[12:] + behind
    return b"RIFF" + struct.pack("<I", len(body)) + body


bodies = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([EXIF, EXIF[6:], b"Exif\0\0", b"b'Exif\\x00\\x00'", b"II*\0\xff\xff\xff\xff", b"<x:xmpmeta", b""]),
    st.integers(0, 300_000).map(lambda size: b"x" * size),
)
packed = st.one_of(bodies, st.just(bytes(2**21))).map(zlib.compress)
keys = st.sampled_from(
    [b"exif", b"xmp", b"XML:com.adobe.xmp", b"Raw profile type exif", b"parameters", b"workflow", b"", b"k" * 90]
)
_png_texts = st.one_of(
    st.tuples(st.just(b"tEXt"), st.tuples(keys, bodies).map(b"\0".join)),
    st.tuples(st.just(b"zTXt"), st.tuples(keys, st.one_of(packed, bodies)).map(b"\0\0".join)),
    st.tuples(st.just(b"iTXt"), st.tuples(keys, st.one_of(packed, bodies)).map(b"\0\1\0\0\0".join)),
    st.tuples(st.just(b"iCCP"), packed.map(lambda body: b"profile\0\0" + body)),
)
_png_others = st.tuples(
    st.sampled_from([b"eXIf", b"gAMA", b"pHYs", b"cHRM", b"sRGB", b"iCCP", b"tIME", b"bKGD", b"sBIT", b"zzZz"]),
    bodies,
)
_short = st.tuples(st.sampled_from([b"gAMA", b"pHYs", b"cHRM", b"tRNS", b"sRGB", b"acTL"]), st.binary(max_size=1))
_wrong = st.integers(0, 2**32 - 1)


@st.composite
def _png_chunks(draw: Draw) -> bytes:
    found = b""
    for name, body in draw(st.lists(st.one_of(_png_texts, _png_others, _short), max_size=4)):
        crc = draw(_wrong) if draw(st.booleans()) else None
        found += chunk(name, body, crc) * draw(st.integers(1, 2))
    return found


_segments = st.one_of(
    st.tuples(st.sampled_from([*range(0xE1, 0xEE), 0xEF, 0xFE]), bodies.map(lambda body: body[:60_000])),
    st.tuples(st.just(0xE1), bodies.map(lambda body: b"Exif\0\0" + body[:60_000])),
    st.tuples(st.just(0xE1), bodies.map(lambda body: b"http://ns.adobe.com/xap/1.0/\0" + body[:60_000])),
    st.tuples(st.just(0xE2), st.binary(max_size=6).map(lambda body: b"ICC_PROFILE\0" + body)),
    st.tuples(st.just(0xE2), st.binary(max_size=9).map(lambda body: b"MPF\0" + body)),
    st.tuples(st.just(0xED), st.binary(max_size=9).map(lambda body: b"Photoshop 3.0\x008BIM" + body)),
    st.sampled_from([(0xE0, b"JFIF\0"), (0xEE, b"Adobe"), (0xEE, b"Adobe\0\0")]),
)
_riffs = st.tuples(st.sampled_from([b"EXIF", b"XMP ", b"ICCP", b"junk", b"\xff\xff\xff\xff"]), bodies)


@st.composite
def files(draw: Draw) -> tuple[str, bytes, bytes]:
    """Format, a file with metadata, and the same file without any."""
    form = draw(st.sampled_from(["PNG", "JPEG", "WEBP"]))
    plain = encoded(image(draw(st.integers(0, 50))), form, **({"lossless": True} if form == "WEBP" else {}))
    if form == "PNG":
        return form, png_with(plain, draw(_png_chunks()), draw(_png_chunks())), plain
    if form == "JPEG":
        return form, jpeg_with(plain, b"".join(segment(*part) for part in draw(st.lists(_segments, max_size=5)))), plain
    before, behind = (b"".join(riff(*part) for part in draw(st.lists(_riffs, max_size=3))) for _ in range(2))
    cut = riff(b"EXIF", EXIF, length=draw(st.integers(len(EXIF) + 3, 10**6))) if draw(st.booleans()) else b""
    return form, webp_with(plain, before, behind + cut, flags=draw(st.integers(0, 63)) & 0x2C), plain
