"""Making pairs as DDA's authors' code does."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import features

from contracts.view import View
from datamodules.loading.transforms import evaluation_views
from datamodules.pairing import mixing
from datamodules.pairing.mixing import frequency_mix, pixel_mix, rebuilt, resized

pytestmark = pytest.mark.golden


@pytest.fixture(scope="module")
def golden(golden_path: Callable[[str], Path]) -> dict[str, Any]:
    with np.load(golden_path("zoo_dda.npz"), allow_pickle=False) as file:
        return dict(file)


def off(found: np.ndarray, wanted: np.ndarray) -> int:
    assert found.dtype == np.uint8
    assert found.shape == wanted.shape
    return int(np.abs(found.astype(int) - wanted.astype(int)).max())


@pytest.mark.parametrize("k", [0, 1, 2])
def test_mixes(golden: dict[str, Any], k: int) -> None:
    real, fake = golden[f"pair{k}_real"], golden[f"pair{k}_fake"]
    for share in golden["ratios"].tolist():
        assert off(pixel_mix(real, fake, share, truncate=True), golden[f"pair{k}_pixelmix_r{share}_u8"]) == 0
        assert off(frequency_mix(real, fake, share), golden[f"pair{k}_freqmix_whole_r{share}_u8"]) <= 1
        rounded = pixel_mix(real, fake, share).astype(int) - pixel_mix(real, fake, share, truncate=True)
        assert set(np.unique(rounded).tolist()) <= {0, 1}
    share = golden["ratios"].tolist()[1]
    whole = frequency_mix(real, fake, share)
    # blocks do not change a linear mix; overlapping ones are counted twice, clipped, which we do not offer
    assert off(whole, golden[f"pair{k}_freqmix_patch8_r{share}_u8"]) <= 1
    double = np.clip(2 * whole.astype(int), 0, 255).astype(np.uint8)
    inside = (slice(8, whole.shape[0] // 16 * 16 - 8), slice(8, whole.shape[1] // 16 * 16 - 8))
    assert off(double[inside], golden[f"pair{k}_freqmix_patch16_r{share}_u8"][inside]) <= 2


def test_kernels(golden: dict[str, Any]) -> None:
    share = golden["ratios"].tolist()[1]
    stored = [key for key in golden if re.fullmatch(r"pair\d_pixelmix_[A-Z]+_u8", key)]
    assert sorted(key.split("_")[2].lower() for key in stored) == sorted(mixing.KERNELS)
    for key in stored:
        pair, _, name, _ = key.split("_")
        found = pixel_mix(golden[f"{pair}_real"], golden[f"{pair}_fake"], share, name.lower(), truncate=True)
        assert off(found, golden[key]) == 0
    image = golden["pair2_real"]
    for key in (key for key in golden if key.startswith("resize_x")):
        factor = float(key.removeprefix("resize_x").removesuffix("_u8"))
        height, width = (int(side * factor) for side in image.shape[:2])
        found = {kernel: off(resized(image, width, height, kernel), golden[key]) for kernel in mixing.KERNELS}
        assert [kernel for kernel, most in found.items() if most == 0] in (["box"], ["hamming"])


def test_files(golden: dict[str, Any]) -> None:
    same = features.version("jpg") == str(golden["jpeg_libjpeg_turbo"])
    for key in (key for key in golden if key.startswith("jpeg_q")):
        quality = int(key.removeprefix("jpeg_q").removesuffix("_u8"))
        assert off(mixing.jpeg(golden["pair0_fake"], quality), golden[key]) <= (0 if same else 2)


def test_reconstructions(golden: dict[str, Any]) -> None:
    for k in (0, 1):
        gain, offset = (np.float32(value) for value in golden[f"rebuild{k}_gain_offset"])
        real, fake = rebuilt(golden["pair1_real"], lambda x: gain * x + offset, truncate=True)  # noqa: B023
        assert off(real, golden["rebuild_real_u8"]) == 0
        wanted = golden[f"rebuild{k}_u8"]
        assert off(fake, wanted) <= 1  # values that lie on integers are cut off to either side, by float32's last bit
        assert (fake != wanted).mean() < 0.05
        assert (fake.astype(int) - real).mean() == pytest.approx((wanted.astype(int) - real).mean(), abs=0.02)
    real, fake = rebuilt(golden["pair1_real"], lambda x: x)
    assert off(fake, real) == 0  # rounded, an autoencoder that changes nothing gives the image back


def test_augmentations(golden: dict[str, Any]) -> None:
    image = golden["pair0_fake"]
    padded = torch.from_numpy(golden["pair1_real"]).permute(2, 0, 1)
    make: dict[str, Callable[[float], np.ndarray]] = {
        "aug_median": lambda side: mixing.median(image, int(side)),
        "aug_sharpen": lambda strength: mixing.sharpened(image, strength),
        "aug_motion5_angle": lambda angle: mixing.motion(image, angle),
        "padcrop": lambda side: (
            evaluation_views(padded, View(crop=int(side), fill="zero"), 0)[0].permute(1, 2, 0).numpy()
        ),
    }
    for key in (key for key in golden if key.startswith(("aug_", "padcrop"))):
        (start,) = (start for start in make if key.startswith(start))
        assert off(make[start](float(key.removeprefix(start).removesuffix("_u8"))), golden[key]) == 0
