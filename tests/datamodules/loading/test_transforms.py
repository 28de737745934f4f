from math import ceil
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import TenCrop
from torchvision.transforms.v2.functional import center_crop, five_crop

from contracts.errors import ConfigError, DataError
from contracts.view import View
from datamodules.loading.transforms import degraded, evaluation_views, training_views


def image(height: int = 20, width: int = 30, seed: int = 0) -> Tensor:
    array = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return torch.from_numpy(array).permute(2, 0, 1)


def test_the_empty_view_leaves_an_image_alone() -> None:
    for views in (training_views, evaluation_views):
        assert torch.equal(views(image(), View(), 1)[0], image())


@settings(max_examples=30)
@given(height=st.integers(8, 40), width=st.integers(8, 40), side=st.integers(1, 8))
def test_evaluation_crops_are_torchvision_s(height: int, width: int, side: int) -> None:
    picture = image(height, width)
    one = evaluation_views(picture, View(crop=side), 0)
    assert len(one) == 1
    assert torch.equal(one[0], center_crop(picture, [side, side]))
    five = evaluation_views(picture, View(crop=side, crops="five"), 0)
    for own, theirs in zip(five, five_crop(picture, [side, side]), strict=True):
        assert torch.equal(own, theirs)


def test_resize_is_pillow_s_bilinear_within_a_level_and_stays_uint8() -> None:
    smooth = Image.fromarray(image(5, 5).permute(1, 2, 0).numpy()).resize((70, 50))
    picture = torch.from_numpy(np.array(smooth)).permute(2, 0, 1)
    for views in (training_views, evaluation_views):
        resized = views(picture, View(resize=24), 0)[0]
        expected = np.asarray(smooth.resize((24, 24), Image.Resampling.BILINEAR)).astype(int)
        assert resized.dtype == torch.uint8
        assert np.abs(resized.permute(1, 2, 0).numpy() - expected).max() <= 1


@given(height=st.integers(1, 12), width=st.integers(1, 12), key=st.integers(0, 2**63 - 1))
def test_small_images_are_tiled_as_the_npr_authors_do(height: int, width: int, key: int) -> None:
    picture = image(height, width)
    # ForenSynths recipe: if the smaller side is below the crop, repeat ceil(crop / side) times along each axis
    tiled = picture
    if min(height, width) < 8:
        tiled = picture.repeat(1, ceil(8 / height), ceil(8 / width))
    assert torch.equal(evaluation_views(picture, View(crop=8), 0)[0], center_crop(tiled, [8, 8]))
    drawn = training_views(picture, View(crop=8), key)[0]
    places = tiled.unfold(1, 8, 1).unfold(2, 8, 1)
    assert (places == drawn[:, None, None]).all(0).flatten(2).all(-1).any()


def test_small_images_are_padded_or_refused_by_choice() -> None:
    picture = image(5, 20)
    padded = evaluation_views(picture, View(crop=8, fill="zero"), 0)[0]
    assert torch.equal(padded, center_crop(picture, [8, 8]))
    assert padded[:, 0].max() == 0
    for views in (training_views, evaluation_views):
        with pytest.raises(DataError, match="20x5 is smaller than the crop of 8"):
            views(picture, View(crop=8, fill="error"), 0)


def test_random_crops_reach_every_place_and_flips_have_their_probability() -> None:
    picture = torch.arange(5 * 6).reshape(1, 5, 6).repeat(3, 1, 1).to(torch.uint8)
    view = View(crop=3, flip=0.25)
    looks = [training_views(picture, view, key)[0] for key in range(1500)]
    flipped = [bool(look[0, 0, 0] > look[0, 0, 1]) for look in looks]
    corners = {int(look[0].min()) for look in looks}
    assert corners == {6 * top + left for top in range(3) for left in range(4)}
    assert abs(np.mean(flipped) - 0.25) < 0.05
    assert all(look.shape == (3, 3, 3) for look in looks)


def test_random_crops_begin_at_multiples_of_their_step() -> None:
    picture = torch.arange(9 * 10).reshape(1, 9, 10).repeat(3, 1, 1).to(torch.uint8)
    looks = [training_views(picture, View(crop=3, crop_step=4), key)[0] for key in range(300)]
    assert {int(look[0].min()) for look in looks} == {10 * top + left for top in (0, 4) for left in (0, 4)}
    assert all(look.shape == (3, 3, 3) for look in looks)
    with pytest.raises(ConfigError, match="crop_step=0"):
        View(crop_step=0)


def test_draws_belong_to_the_key_alone() -> None:
    view = View(crop=7, flip=0.5)
    first = [training_views(image(), view, key)[0] for key in range(20)]
    torch.manual_seed(1)
    again = [training_views(image(), view, key)[0] for key in reversed(range(20))][::-1]
    assert all(map(torch.equal, first, again))
    assert len({tuple(look.flatten().tolist()) for look in first}) > 15
    unflipped = [training_views(image(), View(crop=7), key)[0] for key in range(20)]
    assert all(torch.equal(a, b) or torch.equal(a, b.flip(-1)) for a, b in zip(first, unflipped, strict=True))


def noise(picture: Tensor, rng: np.random.Generator) -> Tensor:
    drawn = torch.from_numpy(rng.normal(size=tuple(picture.shape)).astype(np.float32))
    return picture.to(torch.float32) / 255 + drawn


def darken(picture: Tensor, rng: np.random.Generator) -> Tensor:
    return (picture * float(rng.uniform(0.5, 1))).to(picture.dtype)


def keep(picture: Tensor, _: np.random.Generator) -> Tensor:
    return picture


def test_a_user_s_functions_come_last_with_streams_of_their_own() -> None:
    view = View(crop=8, augment=(darken, noise))
    look = training_views(image(), view, 3)[0]
    assert look.dtype == torch.float32
    assert torch.equal(look, training_views(image(), view, 3)[0])
    assert not torch.equal(look, training_views(image(), view, 4)[0])
    five = evaluation_views(image(), View(crop=8, crops="five", augment=(noise,)), 3)
    plain = evaluation_views(image(), View(crop=8, crops="five"), 3)
    residues = [crop - before.to(torch.float32) / 255 for crop, before in zip(five, plain, strict=True)]
    assert not torch.equal(residues[0], residues[1])
    # a further function does not change what the first one draws
    only = training_views(image(), View(crop=8, augment=(darken,)), 3)[0]
    same = training_views(image(), View(crop=8, augment=(darken, keep)), 3)[0]
    assert torch.equal(only, same)


def test_degradation_has_a_stream_of_its_own() -> None:
    assert torch.equal(degraded(image(), None, 1), image())
    assert torch.equal(degraded(image(), noise, 1), degraded(image(), noise, 1))
    assert not torch.equal(degraded(image(), noise, 1), degraded(image(), noise, 2))
    assert not torch.equal(degraded(image(), noise, 1), training_views(image(), View(augment=(noise,)), 1)[0])


@pytest.mark.parametrize("wrong", [lambda x: x[0], lambda x: x.double(), lambda x: x[:, :0], lambda x: x[:1]])
def test_a_function_that_returns_no_image_is_named(wrong: Any) -> None:
    def function(picture: Tensor, _: np.random.Generator) -> Tensor:
        result: Tensor = wrong(picture)
        return result

    with pytest.raises(ConfigError, match=r"view\.augment\[0\] returned"):
        training_views(image(), View(augment=(function,)), 0)
    with pytest.raises(ConfigError, match="degradation returned"):
        degraded(image(), function, 0)


def test_the_shorter_side_is_sampled_from_its_range_and_never_enlarged() -> None:
    view = View(short_side=[6, 10])
    sizes = [tuple(training_views(image(20, 30), view, key)[0].shape) for key in range(60)]
    assert {min(size[1:]) for size in sizes} == set(range(6, 11))
    assert all(abs(width - 1.5 * height) <= 0.5 for _, height, width in sizes)
    assert torch.equal(training_views(image(5, 9), view, 1)[0], image(5, 9))
    assert torch.equal(evaluation_views(image(20, 30), view, 1)[0], image(20, 30))
    crops = [training_views(image(20, 30), View(short_side=s, crop=6), 3)[0] for s in (None, [20, 20])]
    assert torch.equal(*crops)  # its draw disturbs no other
    with pytest.raises(ConfigError, match="short_side"):
        View(short_side=[10, 6])


def test_images_below_the_least_side_are_refused() -> None:
    for views in (training_views, evaluation_views):
        assert views(image(2, 30), View(least=2), 0)
        with pytest.raises(DataError, match="30x1 is too small"):
            views(image(1, 30), View(least=2), 0)


def test_ten_crops_are_torchvisions() -> None:
    for crop, wanted in zip(
        evaluation_views(image(), View(crop=16, crops="ten"), 0), TenCrop(16)(image()), strict=True
    ):
        assert torch.equal(crop, wanted)


def test_a_training_crop_can_lie_in_the_centre_and_follow_functions() -> None:
    (central,) = evaluation_views(image(), View(crop=16), 0)
    for key in range(3):
        assert torch.equal(training_views(image(), View(crop=16, crop_at="centre"), key)[0], central)
    sizes: list[tuple[int, ...]] = []

    def note(whole: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:  # noqa: ARG001
        sizes.append(tuple(whole.shape))
        return 255 - whole

    (made,) = training_views(image(), View(crop=16, crop_at="centre", before_crop=[note]), 0)
    assert sizes == [(3, 20, 30)]
    assert torch.equal(made, 255 - central)


def test_bicubic_is_pillows() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (37, 50, 3), np.uint8)
    (made,) = evaluation_views(torch.from_numpy(pixels).permute(2, 0, 1), View(resize=64, interpolation="bicubic"), 0)
    wanted = Image.fromarray(pixels).resize((64, 64), Image.Resampling.BICUBIC)
    assert np.array_equal(made.permute(1, 2, 0).numpy(), np.asarray(wanted))


@pytest.mark.parametrize("view", [View(flip=0.5), View(flip=0.5, crop=20, crop_at="centre")])
def test_half_of_the_images_are_mirrored_with_and_without_a_random_crop(view: View) -> None:
    """By the same random number, so that a detector with random crops mirrors the same images."""
    square = image(20, 20)
    mirrored = [torch.equal(training_views(square, view, key)[0], square.flip(-1)) for key in range(64)]
    cropped = [
        torch.equal(training_views(square, View(flip=0.5, crop=20), key)[0], square.flip(-1)) for key in range(64)
    ]
    assert mirrored == cropped
    assert 16 < sum(mirrored) < 48
