"""Pyramid: exact rounding, exact reconstruction, and every size."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from detectors.zed.models.pyramid import build_pyramid, pad_to_even, subimages, upsample_nearest


def block(*pixels: int) -> torch.Tensor:
    return torch.tensor(pixels, dtype=torch.uint8).view(1, 2, 2)


@pytest.mark.parametrize(
    ("pixels", "average", "down", "even"),
    [((10, 11, 12, 14), 11.75, 12, 12), ((11, 11, 12, 12), 11.5, 11, 12), ((12, 12, 13, 13), 12.5, 12, 12)],
)
def test_ties_go_down_or_to_even_by_name(pixels, average, down, even):
    for rounding, expected in (("ties_down", down), ("half_even", even)):
        pyramid = build_pyramid(block(*pixels), 1, rounding)
        assert pyramid.y[0].item() == average
        assert pyramid.x[1].item() == expected


@given(st.integers(1, 19), st.integers(1, 19), st.integers(0, 1000))
@settings(max_examples=40)
def test_every_size_is_rounded_as_the_float_rule_says_and_loses_no_pixel(h, w, seed):
    image = torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (3, h, w), dtype=np.uint8))
    pyramid = build_pyramid(image, 3)
    for fine, coarse, y in zip(pyramid.x, pyramid.x[1:], pyramid.y, strict=False):
        assert coarse.shape[-2:] == ((fine.shape[-2] + 1) // 2, (fine.shape[-1] + 1) // 2)
        assert torch.equal(coarse, torch.round(y - 0.001).to(torch.uint8))
        padded = subimages(pad_to_even(fine))
        assert torch.equal(4 * y - sum(p.float() for p in padded[:3]), padded[3].float())
        assert all(p.shape == coarse.shape for p in subimages(fine))


def test_constant_image_stays_constant():
    pyramid = build_pyramid(torch.full((2, 3, 16, 24), 77, dtype=torch.uint8), 3)
    assert all((x == 77).all() for x in pyramid.x)
    assert all((y == 77).all() for y in pyramid.y)


def test_nearest_upsampling_repeats_and_crops():
    y = torch.tensor([[[[1.0, 2.0]]]])
    assert upsample_nearest(y, (2, 3)).tolist() == [[[[1, 1, 2], [1, 1, 2]]]]


def test_bad_input_is_refused():
    with pytest.raises(TypeError, match="float32"):
        build_pyramid(torch.zeros(3, 8, 8))
    with pytest.raises(ValueError, match="'up' is unknown"):
        build_pyramid(block(1, 2, 3, 4), 1, "up")
    with pytest.raises(ValueError, match="no pixel"):
        build_pyramid(torch.zeros(3, 0, 8, dtype=torch.uint8))


@pytest.mark.golden
@pytest.mark.parametrize(("file", "rounding"), [("srec.npz", "ties_down"), ("zed_rep.npz", "half_even")])
def test_golden_pyramids(golden_path, file, rounding):
    vectors = np.load(golden_path(file), allow_pickle=False)
    names = {"srec.npz": ("image_{}", "im{}_"), "zed_rep.npz": ("small_image", "small_")}[file]
    indices = [k.removeprefix("image_") for k in vectors.files if k.startswith("image_")] if "{}" in names[0] else [""]
    for i in indices:
        image = torch.from_numpy(vectors[names[0].format(i)]).permute(2, 0, 1)
        pyramid = build_pyramid(image, 3, rounding)
        for level in (1, 2, 3):
            prefix = names[1].format(i)
            assert np.array_equal(pyramid.x[level], vectors[f"{prefix}x{level}"])
            assert np.array_equal(pyramid.y[level - 1], vectors[f"{prefix}y{level}"])
            if f"{prefix}roundsym{level}" in vectors:
                symbols = 4 * (pyramid.y[level - 1] - pyramid.x[level].float()) + 1
                assert np.array_equal(symbols, vectors[f"{prefix}roundsym{level}"])
