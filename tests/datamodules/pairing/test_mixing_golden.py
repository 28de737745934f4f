"""Making pairs as DDA's authors' code does."""

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
    real, fake, share = golden["pair1_real"], golden["pair1_fake"], golden["ratios"].tolist()[1]
    stored = [key.split("_")[2] for key in golden if key.startswith("pair1_pixelmix_") and "_r" not in key]
    assert sorted(name.lower() for name in stored) == sorted(mixing.KERNELS)
    for name in stored:
        found = pixel_mix(real, fake, share, name.lower(), truncate=True)
        assert off(found, golden[f"pair1_pixelmix_{name}_u8"]) == 0
    image = golden["pair2_real"]
    for factor, kernel in ((0.37, "box"), (2.3, "hamming")):
        height, width = (int(side * factor) for side in image.shape[:2])
        assert off(resized(image, width, height, kernel), golden[f"resize_x{factor}_u8"]) == 0


def test_files(golden: dict[str, Any]) -> None:
    same = features.version("jpg") == str(golden["jpeg_libjpeg_turbo"])
    for quality in (100, 96, 90, 55):
        assert off(mixing.jpeg(golden["pair0_fake"], quality), golden[f"jpeg_q{quality}_u8"]) <= (0 if same else 2)


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
    assert off(mixing.median(image), golden["aug_median3_u8"]) == 0
    assert off(mixing.sharpened(image, 2), golden["aug_sharpen2_u8"]) == 0
    for key in golden:
        if key.startswith("aug_motion5_angle"):
            angle = float(key.removeprefix("aug_motion5_angle").removesuffix("_u8"))
            assert off(mixing.motion(image, angle), golden[key]) == 0
    padded = torch.from_numpy(golden["pair1_real"]).permute(2, 0, 1)
    (crop,) = evaluation_views(padded, View(crop=96, fill="zero"), 0)
    assert off(crop.permute(1, 2, 0).numpy(), golden["padcrop96_u8"]) == 0
