"""The compiled steps have the bytes of the libraries that they stand in for: Pillow, SciPy and torch."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import gaussian_filter
from torchvision.transforms.v2 import functional as F

from benchmarks.ai_genbench.images.arrays import RgbImage
from benchmarks.ai_genbench.images.cropping import resize
from benchmarks.ai_genbench.images.jitter_numba import BRIGHTNESS, CONTRAST, HUE, SATURATION, adjust
from benchmarks.ai_genbench.images.resized_crop import ResizedCrop, apply_resized_crop, resize_values
from benchmarks.ai_genbench.images.squash import squash_levels, taps
from benchmarks.ai_genbench.images.train_augmentations import blur

ADJUSTMENTS = {
    BRIGHTNESS: F.adjust_brightness,
    CONTRAST: F.adjust_contrast,
    SATURATION: F.adjust_saturation,
    HUE: F.adjust_hue,
}


def every_colour():
    """All 2^24 colours, as an image of 4096 x 4096."""
    codes = np.arange(2**24, dtype=np.uint32)
    return np.stack([codes >> 16, codes >> 8 & 255, codes & 255], -1).astype(np.uint8).reshape(4096, 4096, 3)


def adjusted(levels, step, factor):
    flat = levels.reshape(-1)
    out, steps = np.empty_like(flat), np.array([step], np.int32)
    luma = adjust(flat, out, np.zeros(0, np.int32), np.zeros(4, np.float32), 0, 0.0)
    mean = float(int(luma / (flat.size // 3) + 0.5))
    adjust(flat, out, steps, np.full(4, factor, np.float32), int(factor * 255), mean)
    return out.reshape(levels.shape)


@pytest.mark.parametrize(
    ("step", "factors"),
    [(BRIGHTNESS, (0.6, 1.37)), (CONTRAST, (0.71, 1.4)), (SATURATION, (0.6, 1.31)), (HUE, (0.0, -0.1, 0.0713))],
)
def test_every_colour_is_adjusted_as_by_pillow(step, factors):
    levels = every_colour()
    image = Image.fromarray(levels)
    for factor in factors:
        expected = np.asarray(ADJUSTMENTS[step](image, factor))
        assert np.array_equal(adjusted(levels, step, factor), expected)


def test_every_shift_of_hue_is_as_by_pillow():
    """All 256 shifts of 16,384 colours; the test above has all colours."""
    levels = np.random.default_rng(0).permutation(every_colour().reshape(-1, 3))[: 2**14].reshape(128, 128, 3)
    hue, saturation, value = Image.fromarray(levels).convert("HSV").split()
    for shift in range(-127, 129):
        shifted = Image.fromarray((np.asarray(hue).astype(int) + shift & 255).astype(np.uint8))
        expected = np.asarray(Image.merge("HSV", (shifted, saturation, value)).convert("RGB"))
        out, no_factor = np.empty(levels.size, np.uint8), np.zeros(4, np.float32)
        adjust(levels.reshape(-1), out, np.array([HUE], np.int32), no_factor, shift, 0.0)
        assert np.array_equal(out.reshape(levels.shape), expected)


@given(
    st.integers(1, 70), st.integers(1, 70), st.floats(0, 3), st.sampled_from(["noise", "ends", "flat"]),
    st.integers(0, 2**32 - 1),
)  # fmt: skip
@settings(deadline=None, max_examples=60)
def test_blur_has_scipys_bytes(height, width, sigma, kind, seed):
    """Also where the kernel is wider than the image, and on flat images, whose sums are within 1e-13 of a level."""
    levels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    if kind == "ends":
        levels = np.where(levels > 200, np.uint8(255), np.uint8(0))
    elif kind == "flat":
        levels = np.broadcast_to(levels[0, 0], levels.shape)
    cut = np.stack([gaussian_filter(levels[:, :, channel], sigma) for channel in range(3)], -1)
    np.testing.assert_array_equal(blur(levels, sigma, truncate=True), cut)
    smooth = gaussian_filter(levels, (sigma, sigma, 0), output=np.float32)
    np.testing.assert_array_equal(blur(levels, sigma, truncate=False), np.clip(np.rint(smooth), 0, 255))


def resized(levels, size, way="bilinear"):
    """By way of float planes."""
    return resize_values(RgbImage(np.ascontiguousarray(levels)).values(), size, size, way)


@given(
    st.integers(1, 400), st.integers(1, 400), st.sampled_from([224, 96, 31]), st.integers(0, 3), st.booleans(),
    st.integers(0, 2**32 - 1),
)  # fmt: skip
@settings(deadline=None, max_examples=40)
def test_levels_are_resized_with_torchs_bytes(height, width, size, turns, mirrored, seed):
    levels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    image = RgbImage(levels).rotate(turns)
    image = image.flip() if mirrored else image
    assert torch.equal(resize(image, size).values(), resized(image.pixels, size))


@given(
    st.integers(1, 400), st.integers(1, 400), st.integers(1, 512), st.sampled_from(["bilinear", "bicubic"]),
    st.integers(0, 2**32 - 1),
)  # fmt: skip
@settings(deadline=None, max_examples=60)
def test_a_box_is_resized_with_torchs_bytes(height, width, side, way, seed):
    levels = np.random.default_rng(seed).integers(0, 256, (height + 5, width + 9, 3), dtype=np.uint8)
    crop = ResizedCrop(3, 4, height, width, side, way)
    box = levels[3 : 3 + height, 4 : 4 + width]
    assert torch.equal(apply_resized_crop(RgbImage(levels), crop, in_floats=True).pixels, resized(box, side, way))


@pytest.mark.parametrize(
    ("side", "size", "way"), [(1080, 224, "bilinear"), (800, 384, "bicubic"), (60, 384, "bicubic")]
)
@pytest.mark.skipif(torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"), reason="other instructions")
def test_compiled_sums_agree_with_torchs_where_products_are_fused(side, size, way):
    """The tests above would pass by way of torch."""
    assert taps(side, size, way).agree


@pytest.mark.parametrize("shape", [(1080, 1080), (1024, 613), (31, 1080), (224, 500), (500, 224)])
def test_large_levels_are_resized_with_torchs_bytes(shape):
    levels = np.random.default_rng(3).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert torch.equal(squash_levels(levels, 224, 224), resized(levels, 224))


def test_torch_resizes_where_its_sums_are_others(monkeypatch):
    """On a processor, or in a build, with other instructions."""
    levels = np.random.default_rng(3).integers(0, 256, (50, 40, 3), dtype=np.uint8)
    other = taps(40, 32)._replace(agree=False, weights=np.zeros_like(taps(40, 32).weights))
    monkeypatch.setattr("benchmarks.ai_genbench.images.squash.taps", lambda *_: other)
    assert torch.equal(squash_levels(levels, 32, 32), resized(levels, 32))
