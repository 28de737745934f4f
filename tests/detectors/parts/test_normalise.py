"""Normalisation gives the same bits in every memory format, type and size; large batches take a table."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from detectors.parts import normalise as module
from detectors.parts.normalise import IMAGENET_MEAN, IMAGENET_STD, normalise


def torchvisions(images: Tensor) -> Tensor:
    """ToTensor and Normalize, operation by operation."""
    unit = images.to(torch.float32).div(255) if images.dtype == torch.uint8 else images
    return (unit - torch.tensor(IMAGENET_MEAN).view(3, 1, 1)) / torch.tensor(IMAGENET_STD).view(3, 1, 1)


def every_level(h: int, w: int) -> Tensor:
    """Two uint8 images [2, 3, h, w] that hold every value in every channel."""
    values = torch.arange(2 * 3 * h * w) * 7 % 256
    return values.to(torch.uint8).view(2, 3, h, w)


@pytest.mark.parametrize("large", [0, 1 << 22], ids=["table", "arithmetic"])
@pytest.mark.parametrize(
    "of", [lambda x: x, lambda x: x.contiguous(memory_format=torch.channels_last)], ids=["NCHW", "channels_last"]
)
def test_bits_and_memory_format(of: Callable[[Tensor], Tensor], large: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGE", large)
    for images in (every_level(31, 37), every_level(1, 128), every_level(31, 37).float() / 255):
        given = of(images)
        before, made = given.clone(), normalise(given)
        assert torch.equal(made, torchvisions(images))
        assert made.stride() == given.stride()
        assert torch.equal(given, before)


def test_more_threads_than_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGE", 0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    images = every_level(3, 128).contiguous(memory_format=torch.channels_last)
    assert torch.equal(normalise(images), torchvisions(images))


def test_gradient_of_float_images() -> None:
    images = (every_level(4, 6).float() / 255).contiguous(memory_format=torch.channels_last).requires_grad_()
    normalise(images).sum().backward()
    assert images.grad is not None
    assert torch.allclose(images.grad, (1 / torch.tensor(IMAGENET_STD)).view(3, 1, 1).expand(2, 3, 4, 6))
