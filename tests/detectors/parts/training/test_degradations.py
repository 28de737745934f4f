from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from contracts.errors import ConfigError
from detectors.parts.training.degradations import blur, jpeg, sometimes_blurred, sometimes_jpeg

IMAGE = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 40, 48), np.uint8))


def test_a_flat_image_stays() -> None:
    flat = torch.full((3, 24, 32), 130, dtype=torch.uint8)
    assert torch.equal(blur(flat, 2), flat)
    assert int((jpeg(flat, 90, "opencv").int() - 130).abs().max()) <= 1
    assert torch.equal(blur(IMAGE, 0.0), IMAGE)


@pytest.mark.parametrize("codec", ["pillow", "opencv"])
def test_channels_keep_their_order(codec: str) -> None:
    red = torch.zeros(3, 32, 32, dtype=torch.uint8)
    red[0] = 200
    assert jpeg(red, 95, codec).float().mean((1, 2)).argmax() == 0  # type: ignore[arg-type]


def test_probabilities_and_ranges() -> None:
    rng = np.random.default_rng(1)
    assert torch.equal(sometimes_blurred(IMAGE, rng, p=0), IMAGE)
    assert torch.equal(sometimes_jpeg(IMAGE, rng, p=0), IMAGE)
    assert torch.equal(sometimes_blurred(IMAGE, rng, p=1, sigmas=(2, 2)), blur(IMAGE, 2))
    ends = {q: jpeg(IMAGE, q) for q in (30, 100)}
    for _ in range(6):
        made = sometimes_jpeg(IMAGE, rng, p=1, between=False, codecs=["pillow"])
        assert any(torch.equal(made, end) for end in ends.values())
    with pytest.raises(ConfigError, match="pilow"):
        sometimes_jpeg(IMAGE, rng, codecs=["pilow"])  # type: ignore[list-item]


@pytest.mark.parametrize("change", [sometimes_blurred, sometimes_jpeg])
def test_a_float_image_is_changed_as_its_bytes(change: Callable[..., Tensor]) -> None:
    pixels = torch.randint(0, 256, (3, 20, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    wanted = change(pixels, np.random.default_rng(1), p=1.0)
    found = change(pixels / 255 * 1.0001, np.random.default_rng(1), p=1.0)
    assert found.dtype == torch.float32
    assert torch.equal((found * 255).round().to(torch.uint8), wanted)
    assert not torch.equal(wanted, pixels)
