"""HEIC and JPEG XL, and photographs of more pixels than Pillow opens by default.

The files in ``phone`` were encoded by libheif and libjxl from eight squares of one colour each. Independent decoders
(FFmpeg through PyAV for HEIC, imagecodecs for JPEG XL) gave the same pixels, after FFmpeg's were rotated by hand.
"""

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pylibjxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from contracts.errors import DataError
from datamodules.loading import decode as module
from datamodules.loading.containers.plugins import JXL
from datamodules.loading.decode import check_max_pixels, decode, read_header

PHONE = Path(__file__).parent / "phone"
COLOURS = [
    [[230, 30, 30], [30, 200, 41], [40, 60, 219], [240, 240, 240]],
    [[20, 20, 20], [221, 200, 31], [120, 40, 161], [59, 180, 189]],
]
"""Of the centres of the squares, as FFmpeg decodes ``upright.heic``."""


def centres(name: str) -> list[Any]:
    pixels = decode((PHONE / name).read_bytes())
    assert pixels.shape == (3, 64, 128)
    found: list[Any] = pixels[:, 16::32, 16::32].permute(1, 2, 0).tolist()
    return found


def test_colours_of_heic_are_those_of_another_decoder() -> None:
    assert centres("upright.heic") == COLOURS
    header = read_header((PHONE / "upright.heic").read_bytes())
    assert (header.width, header.height, header.format) == (128, 64, "HEIF")


@pytest.mark.parametrize("name", ["turned.heic", "turned.jxl", "lossless.jxl", "turned.jpg"])
def test_orientation_is_applied_once(name: str) -> None:
    np.testing.assert_allclose(centres(name), COLOURS, atol=2)
    header = read_header((PHONE / name).read_bytes())
    assert (header.width, header.height) == (128, 64)


def test_transparent_pixels_become_white() -> None:
    found = centres("alpha.heic")
    assert [row[:2] for row in found] == [row[:2] for row in COLOURS]
    assert [row[2:] for row in found] == [[[255] * 3] * 2] * 2


@pytest.mark.parametrize("name", ["upright.heic", "lossless.jxl"])
def test_the_size_is_checked_first(name: str) -> None:
    with pytest.raises(DataError, match=r"128x64 is 8,192 pixels, more than max_pixels=8,191"):
        decode((PHONE / name).read_bytes(), max_pixels=8191)


@pytest.mark.parametrize("name", ["upright.heic", "turned.jxl"])
def test_truncated_files_are_refused(name: str) -> None:
    data = (PHONE / name).read_bytes()
    for length in range(0, len(data) - 20, 60):
        with pytest.raises(DataError):
            decode(data[:length])


@settings(max_examples=60)
@given(name=st.sampled_from(["upright.heic", "turned.jxl", "alpha.heic"]), data=st.data())
def test_damage_is_reported_as_data_error(name: str, data: st.DataObject) -> None:
    broken = bytearray((PHONE / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    try:
        image = decode(bytes(broken), max_pixels=10**6)
    except DataError:
        return
    assert image.shape[0] == 3


def test_gray_jpeg_xl_has_three_channels() -> None:
    gray = np.arange(256, dtype=np.uint8).reshape(16, 16)
    data = pylibjxl.encode(gray[..., None], lossless=True)
    assert data.startswith(JXL)
    assert (decode(data).numpy() == gray).all()


def large_jpeg(width: int, height: int) -> bytes:
    """A JPEG that announces this size, with the pixels of a small one."""
    buffer = io.BytesIO()
    Image.new("L", (16, 16), 128).save(buffer, "JPEG")
    data = bytearray(buffer.getvalue())
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def test_200_megapixels_are_read_once_the_limit_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    data = large_jpeg(16384, 12288)
    with pytest.raises(DataError, match="refused") as refusal:
        read_header(data)
    assert "datamodule.max_pixels" in refusal.value.step
    check_max_pixels(210_000_000)
    header = read_header(data, 210_000_000)
    assert (header.width, header.height) == (16384, 12288)
    with pytest.raises(DataError, match=r"201,326,592 pixels, more than max_pixels=200,000,000"):
        read_header(data, 200_000_000)


@pytest.mark.parametrize("form", ["PNG", "TIFF", "BMP", "GIF", "WEBP", "JPEG", "AVIF"])
def test_every_format_is_decoded_above_the_default_limit(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    monkeypatch.setattr(module, "MAX_PIXELS", 1000)
    buffer = io.BytesIO()
    Image.new("RGB", (60, 40), (200, 200, 200)).save(buffer, form)
    with pytest.raises(DataError, match="refused"):
        decode(buffer.getvalue(), max_pixels=1000)
    assert decode(buffer.getvalue(), max_pixels=2400).shape == (3, 40, 60)
