"""Deliveries: names, presets, keyed random numbers, and a cache that changes nothing."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import norm
from torch import Tensor

from contracts.errors import ConfigError
from contracts.keys import generator
from contracts.view import Sizing
from datamodules.deliveries import steps
from datamodules.deliveries.cache import delivered
from datamodules.deliveries.deliveries import ALIASES, KINDS, PRESETS, chosen, delivery, delivery_family


def image(height: int = 40, width: int = 56) -> Tensor:
    """A smooth image with some noise, [3, H, W] uint8."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 200, width)[None, :, None] + np.linspace(0, 40, height)[:, None, None]
    return torch.from_numpy((ramp + rng.integers(0, 12, (height, width, 3))).astype(np.uint8)).permute(2, 0, 1)


@pytest.mark.parametrize("name", [*PRESETS["all"], *ALIASES])
def test_every_delivery_gives_an_image_that_depends_on_its_key_alone(name: str) -> None:
    first, again, other = (delivery(name)(image(), generator(key)) for key in (5, 5, 6))
    assert torch.equal(first, again)
    assert first.dtype == torch.uint8
    assert first.shape[0] == 3
    random = ".." in ALIASES.get(name, name) or any(kind in name for kind in ("noise", "variance", "crop", "cut"))
    assert random or torch.equal(first, other)


@given(st.sampled_from(sorted(KINDS)), st.data(), st.integers(1, 40), st.integers(1, 40))
@settings(deadline=None, max_examples=60)
def test_any_strength_and_size(kind: str, data: st.DataObject, height: int, width: int) -> None:
    limits = KINDS[kind]
    strength = data.draw(st.floats(limits.least, min(limits.most, 100)))
    made = limits.apply(image(height, width).permute(1, 2, 0).numpy(), strength, generator(1))
    assert made.dtype == np.uint8
    assert min(made.shape[:2]) >= 1


@given(st.sampled_from([*PRESETS["all"], *ALIASES]), st.integers(1, 70), st.integers(1, 70), st.integers(0, 2))
@settings(deadline=None, max_examples=60)
def test_the_size_is_known_before_the_image_is_made(name: str, height: int, width: int, key: int) -> None:
    one, before = delivered(chosen([name]), None)[name], image(height, width)
    assert isinstance(one, Sizing)
    after = one(before, generator(key))
    assert one.size(height, width) in (after.shape[1:], None)
    if one.unchanged(height, width):
        assert torch.equal(after, before)


def test_sizes_that_depend_on_a_sampled_strength_are_unknown() -> None:
    assert delivery("resize-0.5..0.9").size(40, 40) is None
    assert delivery("side-50..60+jpeg-50").size(40, 40) == (40, 40)
    assert delivery("cut-5..20").size(40, 40) == (40, 40)
    assert delivery("side-40").unchanged(40, 30)
    assert not delivery("side-40+jpeg-95").unchanged(40, 30)
    assert not delivery("jpeg-100").unchanged(40, 30)
    own = delivered({"darker": darker}, None)["darker"]
    assert isinstance(own, Sizing)
    assert own.size(40, 30) is None
    assert not own.unchanged(40, 30)


def test_strengths_do_what_they_say() -> None:
    pixels = image().permute(1, 2, 0).numpy()
    assert steps.side(pixels, 28, generator(0)).shape == (20, 28, 3)
    assert steps.side(pixels, 999, generator(0)) is pixels
    assert steps.resize(pixels, 2, generator(0)).shape == (80, 112, 3)
    assert steps.centre(pixels, 0.5, generator(0)).shape == (20, 28, 3)
    assert steps.cut(pixels, 20, generator(0)).shape == pixels.shape
    grey = np.full((256, 256, 3), 128, np.uint8)
    assert steps.noise(grey, 4, generator(3)).std() == pytest.approx(np.sqrt(16 + 1 / 12), rel=0.02)
    assert steps.variance(grey, 16, generator(3)).tolist() == steps.noise(grey, 4, generator(3)).tolist()
    edge = np.zeros((9, 80, 3), np.uint8)
    edge[:, 40:] = 255
    across = steps.blur(edge, 4, generator(0))[4, 28:52, 0]
    assert across.tolist() == pytest.approx([255 * norm.cdf((x + 0.5) / 4) for x in range(-12, 12)], abs=1.5)
    recoded = steps.recoded(pixels, "PNG")
    assert recoded.tolist() == pixels.tolist()


def test_jpeg_is_pillows(tmp_path: Path) -> None:
    pixels = image().permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(tmp_path / "a.jpg", quality=50, subsampling="4:2:0")
    expected = np.array(Image.open(tmp_path / "a.jpg"))
    assert delivery("jpeg-50")(image(), generator(0)).permute(1, 2, 0).numpy().tolist() == expected.tolist()


def test_bounds_are_sampled_inclusively(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[float] = set()
    spy = KINDS["jpeg"]._replace(apply=lambda pixels, strength, _: (seen.add(strength), pixels)[1])
    monkeypatch.setitem(KINDS, "jpeg", spy)
    for key in range(60):
        delivery("jpeg-55..57")(image(), generator(key))
    assert seen == {55, 56, 57}


def test_names() -> None:
    assert list(chosen(["sidbench", "jpeg-50", "blur-1+jpeg-40"])) == [*PRESETS["sidbench"], "blur-1+jpeg-40"]
    assert delivery_family("resize-0.5") == ("resize", 0.5)
    assert all(delivery_family(name)[0] == "" for name in ("jpeg-55..60", "blur-2+jpeg-50", "chain-2", "clean"))
    for name, words in {
        "jpg-50": "jpeg", "jpeg": "strength", "jpeg-0": "from 1 to 100", "jpeg-101": "from 1 to 100",
        "jpeg-90..60": "ascending", "sidbenh": "sidbench", "": "not a delivery", "jpeg-50+": "not a delivery",
    }.items():  # fmt: skip
        with pytest.raises(ConfigError, match=words):
            chosen([name])
    with pytest.raises(ConfigError, match="preset"):
        chosen([], {"grid": lambda image, rng: image})  # noqa: ARG005


def darker(image: Tensor, rng: np.random.Generator) -> Tensor:
    """A function of a user's own."""
    return (image // 2 + int(rng.integers(2))).to(torch.uint8)


def test_the_cache_changes_nothing_and_survives_damage(tmp_path: Path) -> None:
    names = ["noise-5", "jpeg-50..90"]
    live = delivered(chosen(names, {"darker": darker}), None)
    kept = delivered(chosen(names, {"darker": darker}), tmp_path)
    for name in (*names, "darker"):
        expected = live[name](image(), generator(7))
        for _ in range(2):
            assert torch.equal(kept[name](image(), generator(7)), expected)
    files = sorted(tmp_path.rglob("*.png"))
    assert len(files) == 3
    for file in files:
        file.write_bytes(file.read_bytes()[:-40])
    assert all(torch.equal(kept[n](image(), generator(7)), live[n](image(), generator(7))) for n in (*names, "darker"))
    assert not torch.equal(kept["noise-5"](image(), generator(8)), kept["noise-5"](image(), generator(7)))
    assert str(kept["darker"]) == f"darker: {__name__}.darker"
