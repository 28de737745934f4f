"""Every odd form of image, against Pillow or against pixels known beforehand."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from torch import Tensor

from contracts.errors import ConfigError, DataError
from datamodules.loading.decode import LARGEST, check_max_pixels, decode, read_header


def pixels(height: int = 20, width: int = 30, channels: int = 3, seed: int = 0) -> np.ndarray[Any, Any]:
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 5, channels), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse.squeeze()).resize((width, height))).reshape(height, width, channels)


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def png(width: int, height: int, bits: int, colour: int, rows: list[bytes]) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    return b"\x89PNG\r\n\x1a\n" + header + body + chunk(b"IEND", b"")


def same(image: Tensor, array: np.ndarray[Any, Any], levels: int = 0) -> bool:
    assert image.dtype == torch.uint8
    return bool(np.abs(image.permute(1, 2, 0).numpy().astype(int) - array.astype(int)).max() <= levels)


@settings(max_examples=60)
@given(
    form=st.sampled_from(["JPEG", "PNG", "WEBP"]),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    gray=st.booleans(),
    seed=st.integers(0, 10**6),
    options=st.sampled_from([{}, {"quality": 30}, {"quality": 95, "subsampling": 0}, {"progressive": True}]),
)
def test_both_backends_give_the_same_pixels(
    form: str, height: int, width: int, gray: bool, seed: int, options: dict[str, Any]
) -> None:
    image = Image.fromarray(pixels(height, width, seed=seed))
    data = encoded(image.convert("L") if gray else image, form, **options)
    fast, reference = decode(data), decode(data, backend="pillow")
    assert read_header(data).plain == (form != "PNG")
    assert fast.shape == reference.shape == (3, height, width)
    assert same(fast, reference.permute(1, 2, 0).numpy(), levels=1)
    assert same(reference, np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


def test_lossless_pixels_come_back() -> None:
    array = pixels()
    for form, options in (("PNG", {}), ("WEBP", {"lossless": True}), ("BMP", {}), ("TIFF", {})):
        assert same(decode(encoded(Image.fromarray(array), form, **options)), array), form


def test_pixels_lie_channels_last() -> None:
    for form in ("JPEG", "PNG", "WEBP", "BMP"):
        assert decode(encoded(Image.fromarray(pixels()), form)).stride() == (1, 90, 3)


def test_alpha_is_composited_on_white() -> None:
    array = pixels(channels=4)
    alpha = array[..., 3:].astype(float) / 255
    expected = array[..., :3] * alpha + 255 * (1 - alpha)
    for form, options in (("PNG", {}), ("WEBP", {"lossless": True, "exact": True})):
        assert same(decode(encoded(Image.fromarray(array), form, **options)), np.rint(expected), levels=1), form


def test_gray_with_alpha_is_composited_on_white() -> None:
    array = pixels(channels=2)
    alpha = array[..., 1:].astype(float) / 255
    expected = np.repeat(array[..., :1] * alpha + 255 * (1 - alpha), 3, axis=2)
    assert same(decode(encoded(Image.fromarray(array, "LA"), "PNG")), np.rint(expected), levels=1)


def test_a_transparent_colour_becomes_white() -> None:
    array = np.zeros((2, 3, 3), np.uint8)
    array[0, 0] = 9, 8, 7
    array[1] = 50, 60, 70
    expected = np.where((array == [9, 8, 7]).all(-1, keepdims=True), 255, array)
    assert same(decode(encoded(Image.fromarray(array), "PNG", transparency=(9, 8, 7))), expected)
    gray = Image.fromarray(array[..., 0])
    white = np.where(array[..., :1] == 9, 255, array[..., :1]).repeat(3, 2)
    assert same(decode(encoded(gray, "PNG", transparency=9)), white)


def test_palettes() -> None:
    image = Image.fromarray(pixels()).quantize(16)
    expected = np.asarray(image.convert("RGB"))
    for form in ("PNG", "GIF", "BMP"):
        assert same(decode(encoded(image, form)), expected), form
    transparent = decode(encoded(image, "PNG", transparency=3))
    assert same(transparent, np.where(np.asarray(image)[..., None] == 3, 255, expected))


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_gray_of_few_bits_spans_black_to_white(bits: int) -> None:
    levels = np.arange(2**bits, dtype=np.uint8)[None].repeat(2, 0)
    image = Image.fromarray(levels * (255 // (2**bits - 1)))
    data = encoded(image.convert("1"), "PNG") if bits == 1 else gray_png(levels, bits)
    expected = (levels * (255 // (2**bits - 1)))[..., None].repeat(3, 2)
    assert same(decode(data), expected)


def gray_png(levels: np.ndarray[Any, Any], bits: int) -> bytes:
    height, width = levels.shape
    spread = np.unpackbits(levels[..., None], axis=2)[..., -bits:].reshape(height, -1)
    return png(width, height, bits, 0, [np.packbits(row).tobytes() for row in spread])


def test_sixteen_bits_keep_the_high_byte() -> None:
    samples = np.random.default_rng(0).integers(0, 2**16, (7, 9), dtype=np.uint16)
    expected = (samples >> 8).astype(np.uint8)[..., None].repeat(3, 2)
    gray = Image.fromarray(samples)
    for form in ("PNG", "TIFF"):
        assert same(decode(encoded(gray, form)), expected), form


def test_sixteen_bit_colour_keeps_the_high_byte() -> None:
    samples = np.random.default_rng(0).integers(0, 2**16, (4, 5, 3), dtype=np.uint16)
    data = png(5, 4, 16, 2, [row.astype(">u2").tobytes() for row in samples])
    assert same(decode(data), (samples >> 8).astype(np.uint8))


def test_cmyk_is_converted_as_pillow_does() -> None:
    image = Image.fromarray(pixels()).convert("CMYK")
    for form in ("JPEG", "TIFF"):
        data = encoded(image, form)
        assert not read_header(data).plain
        assert same(decode(data), np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))), form


def test_floating_point_samples_are_refused() -> None:
    with pytest.raises(DataError, match="floating-point"):
        decode(encoded(Image.fromarray(np.ones((3, 3), np.float32)), "TIFF"))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("backend", ["torchvision", "pillow"])
def test_exif_orientation_is_applied(form: str, orientation: int, backend: Any) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {"WEBP": {"lossless": True}}.get(form, {})
    data = encoded(Image.fromarray(pixels()), form, exif=exif, **options)
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    upright = decode(data, backend)
    header = read_header(data)
    assert (header.height, header.width) == upright.shape[1:] == expected.shape[:2]
    assert same(upright, expected)


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG"])
def test_the_first_frame_of_an_animation(form: str) -> None:
    frames = [Image.fromarray(np.full((6, 8, 3), level, np.uint8)) for level in (40, 200)]
    options = {"WEBP": {"lossless": True}}.get(form, {})
    data = encoded(frames[0], form, save_all=True, append_images=frames[1:], **options)
    assert not read_header(data).plain
    assert same(decode(data), np.full((6, 8, 3), 40))


def test_a_bomb_is_refused_before_its_pixels_are_decoded() -> None:
    data = encoded(Image.new("1", (20_000, 20_000)), "PNG")
    assert len(data) < 100_000
    for function in (decode, read_header):
        with pytest.raises(DataError, match=r"400000000 pixels.*datamodule.max_pixels"):
            function(data)
    with pytest.raises(DataError, match=r"30x20 is 600 pixels, more than max_pixels=599"):
        decode(encoded(Image.fromarray(pixels()), "PNG"), max_pixels=599)
    decode(encoded(Image.fromarray(pixels()), "PNG"), max_pixels=600)


def test_other_formats_are_refused() -> None:
    ppm = encoded(Image.fromarray(pixels()), "PPM")
    for data in (ppm, b"", b"<html>"):
        with pytest.raises(DataError, match="no image of a known format"):
            decode(data)


@pytest.mark.parametrize("backend", ["torchvision", "pillow"])
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_truncated_image_is_refused_never_filled_up(form: str, backend: Any) -> None:
    data = encoded(Image.fromarray(pixels()), form)
    whole = decode(data, backend)
    refused = 0
    for length in range(0, len(data), max(1, len(data) // 100)):
        try:
            part = decode(data[:length], backend)
        except DataError:
            refused += 1
        else:  # only bytes after the pixels were missing
            assert torch.equal(part, whole), length
    assert refused > 80


@settings(max_examples=200)
@given(data=st.data())
def test_damage_is_reported_as_data_error(data: st.DataObject) -> None:
    form = data.draw(st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"]))
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {"exif": exif} if form in ("JPEG", "PNG", "WEBP", "TIFF") else {}
    broken = bytearray(encoded(Image.fromarray(pixels()), form, **options))
    for _ in range(data.draw(st.integers(1, 5))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    try:
        image = decode(bytes(broken), max_pixels=10**6)
    except DataError:
        return
    header = read_header(bytes(broken))
    assert image.shape == (3, header.height, header.width)


def test_damaged_pixels_of_a_png_do_not_end_the_process() -> None:
    data = bytearray(encoded(Image.fromarray(pixels()), "PNG"))
    data[data.index(b"IDAT") + 40] ^= 0xFF
    for backend in ("torchvision", "pillow"):
        with pytest.raises(DataError, match="damaged"):
            decode(bytes(data), backend)


def test_names_and_bounds() -> None:
    with pytest.raises(ConfigError, match="did you mean 'pillow'"):
        decode(b"", backend="pilow")  # type: ignore[arg-type]
    for wrong in (0, LARGEST + 1):
        with pytest.raises(ConfigError, match="max_pixels"):
            check_max_pixels(wrong)
