import math

import pytest
import torch
import torchvision.transforms.v2.functional as TF
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms import RandomResizedCrop

from contracts.errors import ConfigError
from detectors.classifier.device_augment import (
    DeviceAugment,
    adjust_contrast,
    random_crops,
    sample_boxes,
    sharpen,
    uniform,
)

EVERYTHING = DeviceAugment(30, 0.3, 0.3, 0.5, 0.5, use_crop=True)
KEYS = st.integers(0, 2**63 - 1)


def _images(b: int, h: int = 20, w: int = 24) -> Tensor:
    return torch.rand(b, 3, h, w, generator=torch.Generator().manual_seed(b))


@settings(max_examples=25)
@given(st.lists(KEYS, min_size=2, max_size=6), st.randoms())
def test_an_image_does_not_depend_on_its_batch(keys: list[int], random: object) -> None:
    images, key = _images(len(keys)), torch.tensor(keys)
    together = EVERYTHING(images, key)
    order = list(range(len(keys)))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert torch.allclose(EVERYTHING(images[order], key[order]), together[order], atol=1e-6)
    for i in range(len(keys)):
        assert torch.allclose(EVERYTHING(images[i : i + 1], key[i : i + 1])[0], together[i], atol=1e-6)


def test_keys_differ_and_repeat() -> None:
    image = _images(1)
    one, two = (EVERYTHING(image, torch.tensor([key])) for key in (1, 2))
    assert not torch.equal(one, two)
    assert torch.equal(one, EVERYTHING(image, torch.tensor([1])))


def test_draws_are_uniform_and_independent() -> None:
    keys = torch.arange(20000)
    a, b = uniform(keys, 0), uniform(keys, 1)
    for draw in (a, b):
        assert draw.dtype == torch.float32
        assert 0 <= draw.min() < 0.001
        assert 0.999 < draw.max() < 1
        assert torch.histc(draw, 10, 0, 1).sub(2000).abs().max() < 200
    assert abs(float(torch.corrcoef(torch.stack([a, b]))[0, 1])) < 0.03
    assert abs(float(torch.corrcoef(torch.stack([a[1:], a[:-1]]))[0, 1])) < 0.03


def test_splitmix64_by_python_integers() -> None:
    def reference(key: int, stream: int) -> float:
        mask = 2**64 - 1
        z = (key + (stream + 1) * 0x9E3779B97F4A7C15) & mask
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return ((z ^ (z >> 31)) >> 40) / 2**24

    for key in (0, 1, 12345678901234567, 2**63 - 1):
        for stream in (0, 7, 49):
            assert float(uniform(torch.tensor([key]), stream)) == reference(key, stream)


def test_flips_are_exact_and_as_frequent_as_asked() -> None:
    image = _images(1).expand(2000, -1, -1, -1)[..., :4, :4].contiguous()
    out = DeviceAugment(flip_p=0.3)(image, torch.arange(2000) * 31 + 5)
    kinds = torch.stack([(out == image.flip(axes)).all((1, 2, 3)) for axes in ((), (-1,), (-2,), (-1, -2))])
    assert kinds.any(0).all()
    shares = kinds.float().mean(1)
    for share, expected in zip(shares, (0.49, 0.21, 0.21, 0.09), strict=True):
        assert abs(float(share) - expected) < 0.04


def test_colours_are_torchvisions() -> None:
    images = _images(3)
    for factor in (0.6, 1.0, 1.4):
        expected = TF.adjust_contrast(images, factor)
        assert torch.allclose(adjust_contrast(images, torch.full((3, 1, 1, 1), factor)), expected, atol=1e-3)
        assert torch.allclose(sharpen(images, factor), TF.adjust_sharpness(images, factor), atol=1e-5)


def test_brightness_and_contrast_stay_within_their_bounds() -> None:
    grey = torch.full((200, 3, 4, 4), 0.5)
    out = DeviceAugment(max_brightness=0.2)(grey, torch.arange(200))
    assert 0.4 - 1e-6 <= float(out.min()) < 0.42
    assert 0.58 < float(out.max()) <= 0.6 + 1e-6
    assert torch.allclose(DeviceAugment(max_contrast=0.4)(grey, torch.arange(200)), grey, atol=1e-3)


def test_rotation_is_torchvisions_bilinear_one() -> None:
    image = _images(1, 21, 21)
    box = torch.tensor([[0, 0, 21, 21]])
    for degrees in (0.0, 90.0, -37.0):
        ours = sample_boxes(image, box, torch.tensor([math.radians(degrees)]))
        theirs = TF.rotate(image, degrees, interpolation=TF.InterpolationMode.BILINEAR)
        assert torch.allclose(ours[..., 6:15, 6:15], theirs[..., 6:15, 6:15], atol=1e-4), degrees
    corner = sample_boxes(image + 1, box, torch.tensor([math.radians(45)]))[0, :, 0, 0]
    assert (corner == 0).all()


def test_crop_is_torchvisions_enlargement() -> None:
    image = _images(1, 20, 24)
    ours = sample_boxes(image, torch.tensor([[3, 5, 10, 12]]), torch.zeros(1))
    theirs = TF.resized_crop(image, 3, 5, 10, 12, [20, 24], antialias=False)
    assert torch.allclose(ours[..., 1:-1, 2:-2], theirs[..., 1:-1, 2:-2], atol=1e-5)


@settings(max_examples=30)
@given(KEYS, st.integers(2, 400), st.integers(2, 400))
def test_crops_lie_within_the_image(key: int, h: int, w: int) -> None:
    top, left, tall, wide = random_crops(torch.tensor([key]), h, w)[0].tolist()
    assert 0 <= top <= top + tall <= h
    assert 0 <= left <= left + wide <= w
    assert tall > 0
    assert wide > 0


def test_crops_are_distributed_like_torchvisions() -> None:
    box = random_crops(torch.arange(4000), 200, 256).double()
    torch.manual_seed(0)
    image = torch.empty(3, 200, 256)
    theirs = torch.tensor([RandomResizedCrop.get_params(image, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(4000)])
    assert torch.allclose(box.mean(0), theirs.double().mean(0), atol=3)
    assert torch.allclose(box.std(0), theirs.double().std(0), atol=3)


@pytest.mark.parametrize(
    ("name", "value"),
    [("use_crop", "False"), ("flip_p", 1.5), ("max_rotation", -1), ("max_contrast", "0.4"), ("sharpness_p", True)],
)
def test_bad_values_are_refused(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"detector.augment.{name}="):
        DeviceAugment(**{name: value})  # type: ignore[arg-type]
