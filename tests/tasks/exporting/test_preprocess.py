"""The reference of the preprocessing in NumPy gives the views that detectors get."""

import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from contracts.view import View
from datamodules.loading.decode import decode
from datamodules.loading.transforms import evaluation_views
from tasks.exporting.preprocess import bilinear, crops, pixels

SIZES = ((40, 30), (17, 64), (100, 80), (61, 61))
VECTORS = any(word in torch.backends.cpu.get_cpu_capability() for word in ("AVX2", "AVX512"))


@pytest.mark.parametrize(
    "view",
    [
        {}, {"resize": 48}, {"resize": 32, "interpolation": "bicubic"}, {"crop": 33}, {"crop": 32, "fill": "zero"},
        {"crop": 24, "crops": "five", "fill": "zero"}, {"resize": 40, "crop": 24, "crops": "ten"},
    ],
)  # fmt: skip
def test_views_are_equal(view: dict[str, Any]) -> None:
    rng = np.random.default_rng(1)
    for height, width in SIZES:
        image = rng.integers(0, 256, (height, width, 3), np.uint8)
        wanted = torch.stack(evaluation_views(torch.from_numpy(image).permute(2, 0, 1), View(**view), 0)).numpy()
        found = crops(image, view)
        assert found.dtype == np.uint8
        # without AVX2, torchvision resizes in floats, which rounds a few values otherwise
        exact = VECTORS or "resize" not in view or "interpolation" in view
        assert np.abs(found.astype(int) - wanted).max() <= (0 if exact else 1)


def test_what_is_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match="too small"):
        crops(np.zeros((3, 9, 3), np.uint8), {"least": 4})
    with pytest.raises(ValueError, match="smaller than the crop"):
        crops(np.zeros((3, 9, 3), np.uint8), {"crop": 4, "fill": "error"})


def test_a_flat_image_stays_flat() -> None:
    assert (bilinear(np.full((31, 17, 3), 200, np.uint8), 64) == 200).all()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "I;16"])
def test_files_are_decoded_alike(mode: str) -> None:
    rng = np.random.default_rng(2)
    if mode == "I;16":
        made = Image.fromarray(rng.integers(0, 1 << 16, (9, 7), np.uint16))
    else:
        made = Image.fromarray(rng.integers(0, 256, (9, 7, 4), np.uint8), "RGBA").convert(mode)
    buffer = io.BytesIO()
    made.save(buffer, "PNG")
    wanted = decode(buffer.getvalue(), "pillow").permute(1, 2, 0).numpy()
    assert (pixels(io.BytesIO(buffer.getvalue())) == wanted).all()


def test_orientation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.fromarray(np.arange(60, dtype=np.uint8).reshape(4, 5, 3)).save(buffer, "PNG", exif=exif)
    wanted = decode(buffer.getvalue(), "pillow").permute(1, 2, 0).numpy()
    assert (pixels(io.BytesIO(buffer.getvalue())) == wanted).all()
    assert wanted.shape == (5, 4, 3)
