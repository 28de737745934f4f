"""The augmentation of pairs: each step alone, equal for both images, and in the recipe."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from conf.build import build
from conf.compose import compose
from datamodules.pairing.augment import PairAugment
from datamodules.pairing.mixing import jpeg

STEPS = ("jpeg", "flip", "noise", "pepper", "filter", "sharpen", "jitter", "grey")
IMAGE = torch.randint(1, 256, (3, 37, 50), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


class Only(np.random.Generator):
    """Random numbers that choose one of the eight steps, or none."""

    step: int | None = None

    def random(self, size: object = None, *rest: object, **more: object) -> NDArray[np.float64]:  # type: ignore[override]
        found: NDArray[np.float64] = super().random(size, *rest, **more)  # type: ignore[call-overload]
        return np.where(np.arange(8) == self.step, 0.0, 1.0) if size == 8 else found


def only(step: str | None, seed: int = 0, image: Tensor = IMAGE) -> Tensor:
    rng = Only(np.random.PCG64(seed))
    rng.step = None if step is None else STEPS.index(step)
    return PairAugment()(image, rng)


def test_each_step_does_what_it_says() -> None:
    assert torch.equal(only(None), IMAGE)
    assert torch.equal(only("flip"), IMAGE.flip(1))
    assert 35 < float((only("noise").float() - IMAGE.float()).std()) < 55  # less than 55, since values are clipped
    black = [float((only("pepper", seed) == 0).all(0).float().mean()) for seed in range(20)]
    assert 0.0 < min(black) < 0.05 < max(black) < 0.15
    pixels = IMAGE.permute(1, 2, 0).contiguous().numpy()
    published = [torch.from_numpy(jpeg(pixels, quality).copy()).permute(2, 0, 1) for quality in range(55, 101)]
    coded = [only("jpeg", seed) for seed in range(8)]
    assert all(any(torch.equal(one, other) for other in published) for one in coded)
    assert not all(torch.equal(one, coded[0]) for one in coded)
    grey = only("grey")
    assert torch.equal(grey[0], grey[1])
    assert torch.equal(grey[0], grey[2])
    spread = float(IMAGE.float().std())
    assert float(only("sharpen").float().std()) > spread
    assert all(float(only("filter", seed).float().std()) < spread for seed in range(8))
    assert len({only("filter", seed).float().sum().item() for seed in range(24)}) >= 4
    for step in STEPS:
        changed = only(step)
        assert changed.dtype == torch.uint8
        assert changed.shape == IMAGE.shape
        assert not torch.equal(changed, IMAGE), step


def test_images_of_a_pair_are_degraded_alike() -> None:
    for seed in range(30):
        one, other = (PairAugment()(IMAGE.clone(), np.random.default_rng(seed)) for _ in range(2))
        assert torch.equal(one, other)
        from_float = PairAugment()(IMAGE.float() / 255, np.random.default_rng(seed))
        assert torch.equal((from_float * 255).round().to(torch.uint8), one)


def test_the_steps_are_as_likely_as_published() -> None:
    small = IMAGE[:, :16, :16]
    kept = sum(torch.equal(PairAugment()(small, np.random.default_rng(seed)), small) for seed in range(600))
    wanted = 0.85 * 0.5 * 0.9 * 0.9 * 0.8 * 0.9 * 0.8 * 0.9  # that none of them is chosen: 0.178
    assert kept / 600 == pytest.approx(wanted, abs=0.05)


def test_the_recipe_has_it() -> None:
    words = ["experiment=dda", "datamodule=hdf5", "datamodule.path=data.h5"]
    (step,) = build(compose(words).resolved["detector"]["train_view"]).before_crop
    assert isinstance(step, PairAugment)
