"""Pixels alone decide whether an image can be read: metadata of any kind is passed over, and said."""

import struct
import tracemalloc
import zlib
from typing import Any

import composed
import numpy as np
import pytest
import torch
from composed import EXIF, chunk, encoded, jpeg_with, png_with, riff, segment, webp_with
from hypothesis import given, settings
from PIL import Image

from contracts.errors import DataError
from datamodules.auditing.metadata import read_metadata
from datamodules.loading.containers.tiff import only
from datamodules.loading.decode import decode, read_header

TURNED = Image.Exif()
TURNED[0x0112] = 6
SIDEWAYS = TURNED.tobytes()
PLAIN = {form: encoded(composed.image(0), form) for form in ("PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP", "AVIF")}
MANY = b"x" * 2**21


def same(data: bytes, plain: bytes) -> bool:
    """Whether both give the same pixels by either decoder, and the audit reads both."""
    assert read_metadata(data).width == read_metadata(plain).width
    return all(torch.equal(decode(data, by), decode(plain, by)) for by in ("torchvision", "pillow"))


def raw_profile(exif: bytes) -> bytes:
    return b"\nexif\n%8d\n%s\n" % (len(exif), exif.hex().encode())


@pytest.mark.parametrize(
    ("name", "body", "note"),
    [
        (b"tEXt", b"exif\0b'Exif\\x00\\x00MM'", "called exif"),
        (b"tEXt", b"xmp\0no packet", "called xmp"),
        (b"iTXt", b"xmp\0\0\0\0\0<x", "called xmp"),
        (b"eXIf", b"no directory", "EXIF cannot be read"),
        (b"eXIf", b"", ""),
        (b"eXIf", b"MM\0*\0\0\xff\xff", "EXIF cannot be read"),
        (b"zTXt", b"workflow\0\0" + zlib.compress(MANY), ""),
        (b"iTXt", b"workflow\0\1\0\0\0" + zlib.compress(MANY), ""),
        (b"zTXt", b"XML:com.adobe.xmp\0\0" + zlib.compress(MANY), "longer than"),
        (b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(raw_profile(b"none")), "EXIF cannot be read"),
        (b"tEXt", b"Raw profile type exif\0\nexif\n 4\nzz", "not hexadecimal"),
        (b"zTXt", b"Raw profile type exif\0\0damaged", "cannot be decompressed"),
        (b"iCCP", b"profile\0\0" + zlib.compress(MANY), ""),
        (b"gAMA", b"\0", "too short"),
        (b"pHYs", b"\0\0\0", "too short"),
        (b"cHRM", b"", "too short"),
        (b"tRNS", b"\0", "too short"),
        (b"acTL", b"\0\0", "too short"),
        (b"tEXt", b"no keyword", "no keyword"),
        (b"iTXt", b"parameters\0\7\7", ""),
    ],
)
def test_a_png_is_not_refused_for_its_metadata(name: bytes, body: bytes, note: str) -> None:
    for data in (png_with(PLAIN["PNG"], chunk(name, body)), png_with(PLAIN["PNG"], behind=chunk(name, body))):
        assert same(data, PLAIN["PNG"])
    told = " ".join(read_header(png_with(PLAIN["PNG"], chunk(name, body))).notes)
    assert note in told
    assert bool(note) == bool(told)


@pytest.mark.parametrize("name", [b"tEXt", b"eXIf", b"iCCP", b"tRNS", b"gAMA", b"zzZz"])
def test_a_wrong_crc_in_metadata_is_noted(name: bytes) -> None:
    wrong = chunk(name, SIDEWAYS[6:], crc=1)
    for data in (png_with(PLAIN["PNG"], wrong), png_with(PLAIN["PNG"], behind=wrong)):
        assert same(data, PLAIN["PNG"])
        assert read_header(data).notes == (f"PNG chunk {name.decode()} has a wrong CRC",)
    twice = read_header(png_with(PLAIN["PNG"], wrong * 2)).notes
    assert twice == (f"PNG chunk {name.decode()} has a wrong CRC (2 times)",)


def test_a_chunk_that_is_cut_off_behind_the_pixels() -> None:
    end = PLAIN["PNG"].index(b"IEND") - 4
    data = PLAIN["PNG"][:end] + chunk(b"tEXt", b"a\0" + b"b" * 90)[:50]
    assert same(data, PLAIN["PNG"])
    assert read_header(data).notes == ("PNG chunk tEXt is truncated",)


def test_seventy_megabytes_of_text_cost_no_more_memory_than_they_take() -> None:
    long = 70 * 2**20
    data = png_with(PLAIN["PNG"], chunk(b"tEXt", b"parameters\0" + bytes(long)))
    tracemalloc.start()
    try:
        decode(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < long // 10


def test_a_thousand_exif_tags_of_the_whole_file_are_not_read() -> None:
    tags = b"".join(struct.pack("<HHLL", 40_000 + k, 1, 2**20, 8) for k in range(1000))
    exif = b"II*\0\x08\0\0\0" + struct.pack("<H", 1000) + tags + bytes(4 + 2**20)
    data = png_with(PLAIN["PNG"], chunk(b"eXIf", exif))
    tracemalloc.start()
    try:
        assert same(data, PLAIN["PNG"])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20 * 2**20


@pytest.mark.parametrize(
    "part",
    [
        segment(0xE1, b"Exif\0\0none"),
        segment(0xE1, b"Exif\0\0"),
        segment(0xE1, EXIF[:12]),
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<no xml"),
        segment(0xE2, b"ICC_PROFILE\0"),
        segment(0xE2, b"ICC_PROFILE\0\7\1xx"),
        segment(0xE2, b"MPF\0II*\0"),
        segment(0xED, b"Photoshop 3.0\x008BIM\3"),
        segment(0xE0, b"JFIF"),
        segment(0xE0, b"JFIF\0"),
        segment(0xEE, b"Adobe"),
        segment(0xEE, b"Adobe\0\0\0"),
        segment(0xE5, b"", length=0),
        segment(0xE7, b"four more bytes", length=11),
        segment(0xFE, b"\xff\xd9\xff\xda"),
        segment(0xFE, b""),
    ],
)
def test_a_jpeg_is_not_refused_for_its_metadata(part: bytes) -> None:
    assert same(jpeg_with(PLAIN["JPEG"], part), PLAIN["JPEG"])
    assert same(jpeg_with(PLAIN["JPEG"], part * 3), PLAIN["JPEG"])


def test_adobes_colour_transform_still_says_what_the_colours_are() -> None:
    picture = composed.image(1)
    data = encoded(picture, "JPEG", keep_rgb=True, quality=100, subsampling=0)
    assert b"Adobe" in data
    assert abs(decode(data).permute(1, 2, 0).int() - torch.tensor(np.asarray(picture).astype(int))).max() <= 2


@pytest.mark.parametrize("name", [b"EXIF", b"XMP ", b"ICCP", b"junk"])
def test_a_webp_is_not_refused_for_its_metadata(name: bytes) -> None:
    for body in (b"", b"none", EXIF[:10], bytes(2**20)):
        for data in (
            webp_with(PLAIN["WEBP"], riff(name, body)),
            webp_with(PLAIN["WEBP"], behind=riff(name, body)),
            webp_with(PLAIN["WEBP"], behind=riff(name, body, length=2**21)),
        ):
            assert same(data, PLAIN["WEBP"])
    cut = webp_with(PLAIN["WEBP"], behind=riff(b"EXIF", EXIF, length=10**6))
    assert read_header(cut).notes == ("WebP chunk EXIF is truncated",)


@pytest.mark.parametrize(
    "extension",
    [
        b"\xfe" + b"\xff".join([b"", *[b"a" * 255] * 2000]) + b"\0",
        b"\xff\x0bNETSCAPE2.0\x01\x01\0",
        b"\xff\x03abc\0",
        b"\xff\0",
        b"\x01\x02ab\0",
        b"\xf9\x01\x01\0",
        b"\xf9\0",
    ],
)
def test_a_gif_is_not_refused_for_its_extensions(extension: bytes) -> None:
    data = PLAIN["GIF"]
    place = 13 + (3 << (data[10] & 7) + 1)
    assert same(data[:place] + (b"\x21" + extension) * 2 + data[place:], data)


@pytest.mark.parametrize(
    "tags",
    [{34665: 2**30}, {34675: b"none"}, {700: b"<x"}, {700: 5}, {282: 0, 283: 0}, {330: 2**31}, {37724: b"x" * 99}],
)
def test_a_tiff_is_not_refused_for_its_tags(tags: dict[int, Any]) -> None:
    assert same(encoded(composed.image(0), "TIFF", tiffinfo=tags), PLAIN["TIFF"])
    damaged = encoded(composed.image(0), "TIFF", tiffinfo={305: "x" * 90, 306: "y" * 90})
    for tag in (305, 306):
        entry = damaged.index(struct.pack("<HH", tag, 2))
        damaged = damaged[: entry + 8] + b"\xff" * 4 + damaged[entry + 12 :]
    assert same(damaged, PLAIN["TIFF"])


def test_a_bmp_of_odd_resolution() -> None:
    data = PLAIN["BMP"]
    assert same(data[:38] + b"\xff" * 8 + data[46:], data)


def test_an_avif_is_not_refused_for_its_exif() -> None:
    data = encoded(composed.image(0), "AVIF", exif=EXIF)
    place = data.rindex(EXIF[6:16])
    for damaged in (
        data[:place] + b"no header!" + data[place + 10 :],
        data[: place - 4] + b"\xff" * 4 + data[place:],
    ):
        assert same(damaged, PLAIN["AVIF"])
        assert read_header(damaged).notes == ("AVIF metadata cannot be read",)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_orientation_is_found_wherever_it_is_sound(form: str) -> None:
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    files = {
        "PNG": [
            png_with(PLAIN["PNG"], chunk(b"eXIf", SIDEWAYS[6:])),
            png_with(PLAIN["PNG"], behind=chunk(b"eXIf", SIDEWAYS[6:])),
            png_with(PLAIN["PNG"], chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(raw_profile(SIDEWAYS)))),
            png_with(PLAIN["PNG"], chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)),
            png_with(PLAIN["PNG"], chunk(b"eXIf", SIDEWAYS[6:]) + chunk(b"tEXt", b"exif\0b'Exif'")),
            png_with(PLAIN["PNG"], chunk(b"eXIf", SIDEWAYS[6:]), chunk(b"eXIf", b"none")),
        ],
        "JPEG": [
            jpeg_with(PLAIN["JPEG"], segment(0xE1, SIDEWAYS)),
            jpeg_with(PLAIN["JPEG"], segment(0xE1, SIDEWAYS[:20]) + segment(0xE1, b"Exif\0\0" + SIDEWAYS[20:])),
            jpeg_with(PLAIN["JPEG"], segment(0xE1, b"Exif\0\0none") + segment(0xE1, SIDEWAYS)),
            jpeg_with(PLAIN["JPEG"], segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp)),
        ],
        "WEBP": [
            webp_with(PLAIN["WEBP"], behind=riff(b"EXIF", SIDEWAYS)),
            webp_with(PLAIN["WEBP"], behind=riff(b"EXIF", SIDEWAYS[6:]) + riff(b"XMP ", b"none")),
            webp_with(PLAIN["WEBP"], behind=riff(b"XMP ", xmp)),
        ],
    }
    upright = decode(PLAIN[form]).rot90(-1, (1, 2))
    for number, data in enumerate(files[form]):
        assert torch.equal(decode(data), upright), number
        assert read_header(data).width == 12, number


def test_exif_behind_the_pixels_is_found_before_a_pixel_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    data = png_with(PLAIN["PNG"], behind=chunk(b"eXIf", SIDEWAYS[6:]))
    monkeypatch.setattr(Image.Image, "load", lambda _: pytest.fail("pixels were decoded"))
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", lambda _: pytest.fail("pixels were decoded"))
    assert read_header(data).orientation == 6
    with pytest.raises(DataError, match="more than max_pixels=100"):
        decode(data, max_pixels=100)


def test_twelve_bits_are_called_what_they_are() -> None:
    data = bytearray(PLAIN["JPEG"])
    data[data.index(b"\xff\xc0") + 4] = 12
    with pytest.raises(DataError, match="JPEG with 12 bits per sample; only 8 can be decoded"):
        decode(bytes(data))


def test_a_damaged_header_is_called_damaged_not_unknown() -> None:
    with pytest.raises(DataError, match=r"damaged PNG header: .*IHDR"):
        decode(PLAIN["PNG"][:16] + b"\xff" + PLAIN["PNG"][17:])
    with pytest.raises(DataError, match="damaged JPEG header"):
        decode(PLAIN["JPEG"][:10])


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_damaged_pixels_are_still_refused(form: str) -> None:
    data = PLAIN[form]
    for part in (data[: len(data) // 2], data[: data.index(b"IDAT") + 20] if form == "PNG" else data[:-40]):
        with pytest.raises(DataError):
            decode(part)


def test_bigtiff_and_both_byte_orders_are_cut_down_to_their_tags() -> None:
    for order, mark in (("<", b"II"), (">", b"MM")):
        entry = struct.pack(f"{order}HHQQ", 274, 3, 1, 6 if order == "<" else 6 << 48)
        other = struct.pack(f"{order}HHQQ", 305, 2, 99, 10**9)
        head = mark + struct.pack(f"{order}HHHQ", 43, 8, 0, 16)
        found = only(head + struct.pack(f"{order}Q", 3) + other + entry * 2 + bytes(8), {274})
        assert found is not None
        assert found[: 16 + 8 + 20 + 8] == head + struct.pack(f"{order}Q", 1) + entry + bytes(8)
    assert only(b"no directory", {274}) is None


@settings(max_examples=150)
@given(file=composed.files())
def test_any_metadata_leaves_the_pixels_alone(file: tuple[str, bytes, bytes]) -> None:
    form, data, plain = file
    header = read_header(data)
    assert header.format == form
    assert torch.equal(decode(data), decode(plain))
    assert sum(map(len, header.notes)) < 2000


@settings(max_examples=25)
@given(file=composed.files())
def test_any_metadata_is_read_in_bounded_memory(file: tuple[str, bytes, bytes]) -> None:
    Image.init()
    tracemalloc.start()
    try:
        decode(file[1])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * len(file[1]) + 4 * 2**20
