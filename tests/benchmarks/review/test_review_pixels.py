import base64
import io

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from synthetic_predictions import draw

from benchmarks.review.pixels import PixelReader, page_image
from contracts.errors import DataError

RNG = np.random.default_rng(3)
PIXELS = [RNG.integers(0, 256, (24, 32, 3), dtype=np.uint8) for _ in range(4)]


def encoded(pixels, kind="PNG", **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def decoded(shown) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(shown.src.split(",")[1]))).convert("RGB"))


def seen(where, row, **columns) -> list[np.ndarray]:
    reader = PixelReader(draw(images=4, where=where, row=np.array(row), **columns))
    return [decoded(page_image(reader.read(i))) for i in range(4)]


def test_pixels_come_back_exactly_from_files_parquet_and_hdf5(tmp_path):
    for i, pixels in enumerate(PIXELS):
        (tmp_path / f"{i}.png").write_bytes(encoded(pixels))
    cells = [{"bytes": encoded(p), "path": None} for p in PIXELS]
    pq.write_table(pa.table({"page_image": cells}), tmp_path / "set.parquet", row_group_size=3)
    ids = draw(images=4).fused_ids.tolist()
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["test/id"] = ids
        file["test/image"] = np.stack(PIXELS)
        whole = [encoded(p) for p in PIXELS]
        file["valid/bytes"] = np.frombuffer(b"".join(whole), np.uint8)
        file["valid/length"] = [len(w) for w in whole]
        file["valid/offset"] = np.cumsum([0] + [len(w) for w in whole[:-1]])
    about = {"provenance": {"images": {"column": "page_image"}}}
    for found in (
        seen([str(tmp_path / f"{i}.png") for i in range(4)], [-1] * 4),
        seen([str(tmp_path / "set.parquet")] * 4, range(4), **about),
        seen([f"{tmp_path}/data.h5::test"] * 4, range(4)),
        seen([f"{tmp_path}/data.h5::valid"] * 4, range(4)),
    ):
        assert all(np.array_equal(a, b) for a, b in zip(found, PIXELS, strict=True))


def test_another_image_is_never_shown(tmp_path):
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["test/id"] = draw(images=4).fused_ids.tolist()[::-1]
        file["test/image"] = np.stack(PIXELS)
    reader = PixelReader(draw(images=4, where=[f"{tmp_path}/data.h5::test"] * 4, row=np.arange(4)))
    with pytest.raises(DataError, match="prepared again"):
        reader.read(0)


def test_what_cannot_be_found_says_so(tmp_path):
    with pytest.raises(DataError, match="does not record where"):
        PixelReader(draw(images=4)).read(0)
    with pytest.raises(DataError, match=r"gone\.png does not exist"):
        PixelReader(draw(images=4, where=[str(tmp_path / "gone.png")] * 4)).read(2)
    for content in (
        b"",
        b"\x89PNG\r\n\x1a\nhalf",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        encoded(PIXELS[0], "BMP")[:60],
    ):
        with pytest.raises(DataError):
            page_image(content)


def test_small_originals_stay_byte_for_byte():
    for kind, mime in (("JPEG", "image/jpeg"), ("PNG", "image/png"), ("WEBP", "image/webp")):
        content = encoded(PIXELS[0], kind)
        shown = page_image(content)
        assert shown.src == f"data:{mime};base64,{base64.b64encode(content).decode()}"
        assert (shown.width, shown.height, shown.whole, shown.format, shown.size) == (32, 24, True, kind, len(content))


def test_the_centre_of_larger_images_is_kept_without_loss():
    big = RNG.integers(0, 256, (700, 900, 3), dtype=np.uint8)
    for shown in (page_image(encoded(big)), page_image(big)):
        assert (shown.width, shown.height, shown.whole) == (900, 700, False)
        assert np.array_equal(decoded(shown), big[190:510, 290:610])
    assert np.array_equal(decoded(page_image(encoded(PIXELS[1], "BMP"))), PIXELS[1]), "browsers are given PNG, not BMP"


def test_orientation_is_applied_and_bombs_are_refused(monkeypatch):
    big = RNG.integers(0, 256, (700, 400, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    assert (page_image(encoded(big, exif=exif.tobytes())).width, page_image(encoded(big)).width) == (700, 400)
    monkeypatch.setattr("benchmarks.review.pixels.MAX_PIXELS", 100)
    with pytest.raises(DataError, match="too many"):
        page_image(encoded(big))


def test_sixteen_bits_keep_their_tones():
    deep = np.linspace(0, 65535, 700 * 10).reshape(10, 700).astype(np.uint16)
    file = io.BytesIO()
    Image.fromarray(deep).save(file, "PNG")
    assert np.array_equal(decoded(page_image(file.getvalue()))[..., 0], (deep >> 8)[:, 190:510])
