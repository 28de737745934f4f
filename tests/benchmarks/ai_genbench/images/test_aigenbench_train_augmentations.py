"""Training pipelines: draws of the libraries they name, rates, determinism, limits of the stochastic part."""

import hashlib
import random

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from benchmarks.ai_genbench.images.arrays import RgbImage
from benchmarks.ai_genbench.images.degrade import degrade, draw_size_crop
from benchmarks.ai_genbench.images.noise import LIBRARY_STD_RANGE, add_noise, draw_noise
from benchmarks.ai_genbench.images.train_augmentations import augment, blur, color_jitter, drop_hole, vary
from benchmarks.ai_genbench.protocol.seeds import fixed_seeds, v1_seeds
from contracts.errors import ConfigError
from tests.benchmarks.ai_genbench.plain_chain import plain_training

# albumentations 2.0.8, seeds 4321..4342 that fire: hole (top, left, height, width) in an image of 173 x 151, and sum
# and digest of default GaussNoise on a grey (100) image of 31 x 17
ALBUMENTATIONS = [
    (4325, (33, 131, 41, 12), 156846, "b0f69b47596ca963"),
    (4327, (13, 100, 29, 16), 165685, "024a871a4991462b"),
    (4329, (20, 19, 16, 15), 167080, "161f3a4c0b79d03d"),
    (4334, (142, 105, 25, 40), 161373, "a231b69193ec009f"),
    (4337, (15, 128, 3, 20), 161126, "f36bad1d7dbc4181"),
    (4342, (46, 27, 5, 7), 160894, "3973f57a4e4737e7"),
]


def photo(height=97, width=120, seed=0):
    draw = np.random.default_rng(seed)
    small = Image.fromarray(draw.integers(0, 256, (9, 9, 3), dtype=np.uint8))
    smooth = np.array(small.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    return np.clip(smooth + draw.integers(-15, 16, smooth.shape), 0, 255).astype(np.uint8)


def test_holes_and_noise_are_those_of_albumentations():
    firing = {seed for seed, *_ in ALBUMENTATIONS}
    black, grey = np.zeros((173, 151, 3), np.uint8), np.full((31, 17, 3), 100, np.uint8)
    for seed in range(4321, 4343):
        noise = draw_noise(seed, 0.2, LIBRARY_STD_RANGE)
        assert (noise is not None) == drop_hole(black, seed).any() == (seed in firing)
    for seed, (top, left, height, width), total, digest in ALBUMENTATIONS:
        expected = black.copy()
        expected[top : top + height, left : left + width] = 128
        np.testing.assert_array_equal(drop_hole(black, seed), expected)
        noisy = add_noise(grey, draw_noise(seed, 0.2, LIBRARY_STD_RANGE))
        assert int(noisy.sum()) == total
        assert hashlib.sha256(noisy.tobytes()).hexdigest()[:16] == digest
    tiny = drop_hole(np.zeros((5, 7, 3), np.uint8), 4334)
    assert tiny.shape == (5, 7, 3)
    assert tiny.any()


def test_color_jitter_is_torchvisions():
    levels = photo()
    for seed in range(6):
        torch.manual_seed(seed)
        expected = np.array(v2.ColorJitter(0.4, 0.4, 0.4, 0.1)(Image.fromarray(levels)))
        np.testing.assert_array_equal(color_jitter(levels, torch.Generator().manual_seed(seed)), expected)


def test_blur_truncates_under_v1_and_rounds_under_fixed():
    levels = photo()
    cut = np.stack([gaussian_filter(levels[:, :, c], 1.3) for c in range(3)], -1)
    np.testing.assert_array_equal(blur(levels, 1.3, truncate=True), cut)
    exact = np.stack([gaussian_filter(levels[:, :, c].astype(float), 1.3) for c in range(3)], -1)
    assert np.abs(blur(levels, 1.3, truncate=False) - exact).max() <= 0.501
    assert (cut - exact).mean() < -0.5
    white = np.full((40, 40, 3), 255, np.uint8)
    np.testing.assert_array_equal(blur(white, 2.2, truncate=False), white)


def test_baseline_equals_the_plain_pipeline_without_holes_and_noise():
    """Everything but the two albumentations steps (checked above), with torchvision, Pillow and SciPy directly."""
    levels, compared = photo(), 0
    for position in range(60):
        seeds = v1_seeds(position)
        if draw_noise(seeds.noise, 0.2, LIBRARY_STD_RANGE):
            continue
        torch.manual_seed(seeds.torch)
        random.seed(seeds.python)
        image = v2.RandomApply([v2.RandomResizedCrop(256)], 0.2)(Image.fromarray(levels))
        image = v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], 0.8)(image)
        image = np.array(v2.RandomGrayscale(0.2)(image))
        if torch.rand(1) < 0.5:
            sigma = 3 * random.random()
            image = np.stack([gaussian_filter(image[:, :, c], sigma) for c in range(3)], -1)
        if torch.rand(1) < 0.5:
            continue  # JPEG: covered by the evaluation chain's vectors
        ours = augment(levels, seeds, "baseline", "v1")
        np.testing.assert_array_equal(ours.pixels, image)
        compared += 1
    assert compared > 15


@pytest.mark.parametrize("pipeline", ["baseline", "soft"])
@pytest.mark.parametrize(("height", "width"), [(97, 120), (300, 241)])
def test_training_images_are_those_of_the_plain_pipeline(pipeline, height, width):
    """Every step at once, from the photograph to what the network sees."""
    levels = photo(height, width)
    for row in range(40):
        image = augment(levels, v1_seeds(row), pipeline, "v1")
        plain = plain_training(Image.fromarray(levels), row, pipeline, turn_seed=row)
        assert torch.equal(vary(image, row, "resize").values(), plain)


@pytest.mark.parametrize("protocol", ["v1", "fixed"])
def test_soft_is_the_evaluation_chain(protocol):
    for number in range(20):
        seeds = v1_seeds(number) if protocol == "v1" else fixed_seeds(str(number))
        ours, evaluation = augment(photo(), seeds, "soft", protocol), degrade(photo(), seeds, protocol)
        assert torch.equal(ours.values(), evaluation.values())


@pytest.mark.parametrize(("protocol", "offsets"), [("fixed", {0, 1, 2, 3}), ("v1", {0, 1, 2})])
def test_large_training_images_are_cropped_at_random(protocol, offsets):
    """The original never draws the last offset."""
    boxes = []
    for seed in range(80):
        boxes.append(draw_size_crop(torch.Generator().manual_seed(seed), 30, 21, 27, protocol, train=True))
    assert {box.top for box in boxes} == offsets
    assert {(box.left, box.height, box.width) for box in boxes} == {(0, 27, 21)}
    assert draw_size_crop(torch.Generator(), 27, 27, 27, protocol, train=True) is None
    image = augment(photo(30, 21), fixed_seeds("x"), "baseline", protocol, maximum_size=27)
    assert max(image.height, image.width) <= 256


@pytest.mark.parametrize("pipeline", ["baseline", "soft"])
@pytest.mark.parametrize("protocol", ["v1", "fixed"])
def test_copies_are_deterministic_and_differ(pipeline, protocol):
    levels = photo()
    make = v1_seeds if protocol == "v1" else lambda row, copy: fixed_seeds(f"image {row}", copy)
    images = [augment(levels, make(11, copy), pipeline, protocol).values() for copy in (0, 1, 2, 3, 0)]
    assert torch.equal(images[0], images[4])
    assert sum(not torch.equal(images[0], other) for other in images[1:4]) >= 2


def test_stochastic_part_draws_as_the_original():
    levels = photo(100, 80)
    for seed in range(16):
        torch.manual_seed(seed)
        random.seed(seed)
        values = torch.from_numpy(levels).permute(2, 0, 1).contiguous().float().div(255)
        values = F.rotate(values, random.choice([0, 90, 180, 270]), expand=True)
        torch.rand(1)
        values = v2.RandomCrop(64)(v2.RandomHorizontalFlip(0.5)(values))
        assert torch.equal(vary(RgbImage(levels), seed, "random_crop", 64).values(), values)


def test_stochastic_part_only_turns_mirrors_and_crops():
    levels = photo(64, 64)
    allowed = {np.rot90(side, turns).tobytes() for side in (levels, levels[:, ::-1]) for turns in range(4)}
    seen = {np.ascontiguousarray(vary(RgbImage(levels), seed, "as_is").pixels).tobytes() for seed in range(120)}
    assert seen == allowed


def test_bad_names_are_refused():
    with pytest.raises(ConfigError, match=r"(?s)'mild' is unknown.*baseline, soft"):
        augment(photo(), v1_seeds(0), "mild", "v1")
    for pipeline in ("baseline", "soft"):
        with pytest.raises(ConfigError, match="'v3'"):
            augment(photo(), v1_seeds(0), pipeline, "v3")
