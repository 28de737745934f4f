"""The evaluation degradation: bit-identical under `v1`, corrected and keyed by image id under `fixed`."""

import dataclasses
import hashlib
import json
import random
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.ai_genbench.images import jpeg as jpeg_module
from benchmarks.ai_genbench.images.arrays import RgbImage
from benchmarks.ai_genbench.images.cropping import evaluation_crops, train_crop
from benchmarks.ai_genbench.images.degrade import Plan, apply_plan, degrade, draw_plan
from benchmarks.ai_genbench.images.jpeg import Jpeg, codecs_agree, jpeg_round_trip
from benchmarks.ai_genbench.images.noise import GaussianNoise, add_noise, noise_map
from benchmarks.ai_genbench.images.resized_crop import ResizedCrop, apply_resized_crop
from benchmarks.ai_genbench.protocol.seeds import fixed_seeds, v1_seeds
from contracts.errors import ConfigError
from contracts.normalisations import NORMALISATIONS

sys.path.insert(0, str(Path(__file__).parent))
from tests.benchmarks.ai_genbench.plain_chain import plain_chain, plain_input

EXACT = torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
"""The original's float resize differs in the last bits on hosts without these (measured with the golden vectors)."""

STEPS = ("crop", "grayscale", "jpeg_first", "noise", "jpeg_second", "resized_crop", "jpeg_third")


def normalise(values):
    """Values [3, H, W] in 0..1 as the original's models get them."""
    mean, std = (torch.tensor(channel).view(3, 1, 1) for channel in NORMALISATIONS["clip"])
    return values.sub(mean).div_(std)


class Golden:
    def __init__(self, folder):
        facts = json.loads((folder / "cases.json").read_text())
        self.base_seed, self.copy = facts["base_seed"], facts["copy_index"]
        self.maximum_size = facts["maximum_processing_size"]
        self.cases = [case for case in facts["cases"] if (folder / "inputs" / case["image"]).exists()]
        self.arrays = {}
        if (folder / "arrays.npz").exists():
            with np.load(folder / "arrays.npz") as arrays:
                self.arrays = dict(arrays)
        names = {case["image"] for case in self.cases}
        self.images = {name: np.array(Image.open(folder / "inputs" / name).convert("RGB")) for name in names}

    def plan(self, case):
        height, width = self.images[case["image"]].shape[:2]
        seeds = v1_seeds(case["position"], self.copy, self.base_seed)
        assert seeds.torch == case["seed"]
        return draw_plan(height, width, seeds, "v1", self.maximum_size)

    def corner(self, case, name):
        return self.arrays.get(f"c{case['case']:02}_{name}")


@pytest.fixture(scope="module")
def golden(golden_path):
    loaded = Golden(golden_path("aigenbench_degrade/cases.json").parent)
    if not loaded.cases:
        pytest.skip("aigenbench_degrade: none of the cases' input images is there")
    return loaded


def sha(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def stored(image):
    """As the vectors hold an image: levels where every value is one."""
    if not isinstance(image.pixels, torch.Tensor):
        return image.pixels
    values = image.pixels.numpy()
    levels = np.rint(values * 255)
    if np.array_equal(levels.astype(np.float32) / np.float32(255), values):
        return levels.astype(np.uint8).transpose(1, 2, 0)
    return values


def photo(height, width, seed=0):
    draw = np.random.default_rng(seed)
    small = draw.integers(0, 256, (height // 8 + 2, width // 8 + 2, 3), dtype=np.uint8)
    smooth = np.array(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    return np.clip(smooth + draw.integers(-20, 21, smooth.shape), 0, 255).astype(np.uint8)


@pytest.mark.golden
def test_draws(golden):
    for case in golden.cases:
        plan = golden.plan(case)
        fired = {step + 1 for step, name in enumerate(STEPS) if getattr(plan, name)}
        assert fired == {op["step"] for op in case["ops"]}, case["case"]
        for op in case["ops"]:
            ours = getattr(plan, STEPS[op["step"] - 1])
            if op["op"] in ("crop_if_large", "rrc_box"):
                box = [op[key] for key in ("top", "left", "height", "width")]
                assert [ours.top, ours.left, ours.height, ours.width] == box
            elif op["op"] == "jpeg":
                assert (ours.codec, ours.quality) == (op["codec"], op["quality_drawn"])
            elif op["op"] == "rrc":
                assert (ours.side, ours.interpolation) == (op["size"], op["interpolation"])
            elif op["op"] == "gauss_noise":
                assert ours.std == op["sigma_fraction"]
                assert sha(noise_map(ours, tuple(case["stages"][2]["shape"]))) == op["noise_map_sha256"]
            else:
                assert op["op"] == "grayscale"


@pytest.mark.golden
def test_every_stage_is_bit_identical(golden):
    for case in golden.cases:
        whole = golden.plan(case)
        firing = [step for step, name in enumerate(STEPS) if getattr(whole, name)]
        for step in {*firing, len(STEPS) - 1}:
            later = {name: False if name == "grayscale" else None for name in STEPS[step + 1 :]}
            result = apply_plan(golden.images[case["image"]], dataclasses.replace(whole, **later))
            fact, pixels = case["stages"][step], stored(result)
            assert (list(pixels.shape), str(pixels.dtype)) == (fact["shape"], fact["dtype"]), case["case"]
            if EXACT or whole.resized_crop is None or whole.resized_crop.interpolation == "lanczos":
                assert sha(pixels) == fact["sha256"], f"case {case['case']} after {fact['after']}"
        corner = golden.corner(case, "mandatory_corner64")
        if corner is not None:
            part = pixels[:64, :64] if pixels.dtype == np.uint8 else pixels[:, :64, :64]
            tolerance = 0 if EXACT else 1e-6 if pixels.dtype != np.uint8 else 3
            np.testing.assert_allclose(part.astype(np.float64), corner.astype(np.float64), atol=tolerance, rtol=0)


@pytest.mark.golden
def test_model_inputs_are_bit_identical(golden):
    for case in golden.cases:
        image = apply_plan(golden.images[case["image"]], golden.plan(case))
        for cropping, facts in case["tail"].items():
            crops = [normalise(crop.values()).numpy() for crop in evaluation_crops(image, cropping)]
            assert [list(crop.shape) for crop in crops] == [fact["shape"] for fact in facts]
            for crop, fact in zip(crops, facts, strict=True):
                if EXACT:
                    assert sha(crop) == fact["sha256"], f"case {case['case']} {cropping}"
                # without these instructions levels differ here and there, as above
                assert crop.mean(dtype=np.float64) == pytest.approx(fact["mean"], abs=1e-5 if EXACT else 2e-3)


@pytest.mark.golden
def test_clamping_fails_exactly_where_values_wrap(golden):
    for case in golden.cases:
        plan = golden.plan(case)
        if not (EXACT and plan.jpeg_third and plan.resized_crop):
            continue
        before = apply_plan(golden.images[case["image"]], dataclasses.replace(plan, jpeg_third=None))
        scaled = before.values() * 255
        clamped = RgbImage(before.values().clamp(0, 1)).levels(wrap=True)
        if isinstance(before.pixels, torch.Tensor):
            wraps = bool((scaled <= -1).any() or (scaled >= 256).any())
            same = sha(jpeg_round_trip(clamped, plan.jpeg_third)) == case["stages"][6]["sha256"]
            assert same != wraps, f"case {case['case']}"


@pytest.mark.golden
def test_jpeg_is_identical_without_the_shortcut_between_codecs(golden, monkeypatch):
    monkeypatch.setattr(jpeg_module, "codecs_agree", lambda: False)
    fired = [case for case in golden.cases if any(op["op"] == "jpeg" and op["codec"] == "pil" for op in case["ops"])]
    for case in fired[:6]:
        image = apply_plan(golden.images[case["image"]], golden.plan(case))
        if EXACT:
            assert sha(stored(image)) == case["stages"][6]["sha256"]


@pytest.mark.parametrize("size", [(90, 70), (140, 61)])
def test_the_plain_chain_gives_the_same_pixels(size):
    """With a small maximum size, so that both the large-image crop and all other steps occur."""
    levels = photo(*size)
    for position in range(70):
        plain = plain_chain(Image.fromarray(levels), position, maximum_size=80)
        ours = degrade(levels, v1_seeds(position), "v1", maximum_size=80)
        if isinstance(plain, torch.Tensor):
            assert torch.equal(plain, ours.values()), position
        else:
            assert ours.pil
            np.testing.assert_array_equal(np.array(plain), ours.pixels)
        (crop,) = evaluation_crops(ours, "resize")
        assert torch.equal(plain_input(plain), normalise(crop.values())), position


def test_global_generators_are_left_alone():
    torch.manual_seed(1)
    random.seed(1)
    before = torch.get_rng_state(), random.getstate()
    for position in range(12):
        degrade(photo(40, 40), v1_seeds(position), "v1")
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()


def test_fixed_depends_on_the_id_alone_and_stays_in_levels():
    levels = photo(120, 90)
    results = {name: degrade(levels, fixed_seeds(name), "fixed") for name in map(str, range(80))}
    for name in reversed(list(results)):
        again = degrade(levels, fixed_seeds(name), "fixed")
        np.testing.assert_array_equal(again.pixels, results[name].pixels)
        assert not again.pil
        assert again.pixels.dtype == np.uint8
    assert len({sha(image.pixels) for image in results.values()}) > 60


def test_fixed_corrects_the_draws():
    plans = [draw_plan(1200, 1500, fixed_seeds(str(number)), "fixed") for number in range(3000)]
    assert {(plan.crop.top, plan.crop.left) for plan in plans} == {(60, 210)}
    qualities = [plan.jpeg_first.quality for plan in plans if plan.jpeg_first]
    assert set(qualities) == set(range(50, 101))

    def rate(plans):
        noisy = [plan.jpeg_first.codec == "cv2" for plan in plans if plan.jpeg_first and plan.noise]
        return np.mean(noisy)

    v1 = [draw_plan(300, 300, v1_seeds(row), "v1") for row in range(3000)]
    assert {plan.jpeg_first.quality for plan in v1 if plan.jpeg_first} == {50, 101}
    assert rate(plans) == pytest.approx(0.5, abs=0.08)
    assert rate(v1) == pytest.approx(0.83, abs=0.05), "the original's noise repeats the draws of its codecs"


@pytest.mark.parametrize("protocol", ["v1", "fixed"])
def test_rates_are_those_of_the_protocol(protocol):
    seeds = [v1_seeds(n) if protocol == "v1" else fixed_seeds(str(n)) for n in range(4000)]
    plans = [draw_plan(300, 300, one, protocol) for one in seeds]
    expected = {"grayscale": 0.1, "jpeg_first": 0.5, "noise": 0.3, "jpeg_second": 0.2, "resized_crop": 0.25}
    for name, probability in {**expected, "jpeg_third": 0.1}.items():
        assert np.mean([bool(getattr(plan, name)) for plan in plans]) == pytest.approx(probability, abs=0.03), name


def test_bicubic_wraps_under_v1_and_clamps_under_fixed():
    step = np.zeros((64, 64, 3), np.uint8)
    step[:, 32:] = 255
    crop = ResizedCrop(0, 0, 64, 64, 256, "bicubic")
    floats = apply_resized_crop(RgbImage(step), crop, in_floats=True)
    assert floats.pixels.max() > 1.01
    assert floats.pixels.min() < -0.01
    assert floats.levels(wrap=True)[0, :128].max() > 240, "just below 0 wraps to just below 256"
    whole = apply_plan(step, Plan("fixed", None, resized_crop=crop))
    assert whole.pixels[0, :124].max() == 0
    assert (np.diff(whole.pixels[0, :, 0].astype(int)) >= 0).all(), "a clamped step rises and never wraps"


def test_noise_truncation_and_rounding():
    grey = np.full((200, 200, 3), 128, np.uint8)
    noise = GaussianNoise(0.02, 7)
    exact = noise_map(noise, grey.shape)
    np.testing.assert_array_equal(add_noise(grey, noise), 128 + np.trunc(exact).astype(int))
    np.testing.assert_array_equal(add_noise(grey, noise, truncate=False), 128 + np.rint(exact).astype(int))
    assert exact.std() == pytest.approx(0.02 * 255, rel=0.02)
    dark = add_noise(np.zeros_like(grey), GaussianNoise(0.4, 1))
    assert dark.max() > 200, "the sum is clipped, not wrapped"
    assert (dark == 0).mean() == pytest.approx(0.5, abs=0.01)


def test_codecs_and_quality():
    levels = photo(50, 60)
    assert codecs_agree() in (True, False)
    np.testing.assert_array_equal(jpeg_round_trip(levels, Jpeg("cv2", 101)), jpeg_round_trip(levels, Jpeg("cv2", 100)))
    worse, better = (jpeg_round_trip(levels, Jpeg("pil", quality)).astype(int) - levels for quality in (50, 100))
    assert np.abs(worse).mean() > np.abs(better).mean() > 0


def test_crops_of_a_known_image():
    levels = np.arange(300 * 250 * 3, dtype=np.uint32).reshape(300, 250, 3).astype(np.uint8)
    image = RgbImage(levels)
    crops = evaluation_crops(image, "multicrop", 224)
    expected = [levels[:224, :224], levels[:224, -224:], levels[-224:, :224], levels[-224:, -224:]]
    for crop, wanted in zip(crops, [*expected, levels[38:262, 13:237]], strict=True):
        np.testing.assert_array_equal(crop.pixels, wanted)
    assert len(evaluation_crops(RgbImage(levels[:224]), "multicrop")) == 1
    small = evaluation_crops(RgbImage(np.full((101, 250, 3), 9, np.uint8)), "crop")[0].pixels
    assert small.shape == (224, 224, 3)
    assert (small[:61] == 0).all()
    assert (small[61:162] == 9).all()
    assert (small[162:] == 0).all()
    (whole,) = evaluation_crops(image, "as_is")
    assert whole is image
    with pytest.raises(ConfigError, match="'fivecrop' is unknown"):
        evaluation_crops(image, "fivecrop")


def test_train_crops_are_torchvisions():
    from torchvision.transforms import v2

    values = torch.rand(3, 60, 300)
    for seed in range(8):
        torch.manual_seed(seed)
        wanted = v2.RandomCrop(224, pad_if_needed=True)(values)
        generator = torch.Generator().manual_seed(seed)
        assert torch.equal(train_crop(RgbImage(values), "random_crop", generator).values(), wanted)
    centre = train_crop(RgbImage(values), "center_crop", torch.Generator())
    assert torch.equal(centre.values(), v2.CenterCrop(224)(values))
    resized = train_crop(RgbImage(values), "resize", torch.Generator())
    assert torch.equal(resized.values(), v2.Resize((224, 224), antialias=True)(values))
    with pytest.raises(ConfigError, match="'multicrop' is unknown"):
        train_crop(RgbImage(values), "multicrop", torch.Generator())


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"float64 \(8, 8, 3\) is not uint8 RGB"):
        degrade(np.zeros((8, 8, 3)), v1_seeds(0), "v1")
    with pytest.raises(ValueError, match=r"\(8, 8\)"):
        degrade(np.zeros((8, 8), np.uint8), v1_seeds(0), "v1")
    with pytest.raises(ConfigError, match=r"(?s)'v2' is unknown.*fixed, v1"):
        degrade(np.zeros((8, 8, 3), np.uint8), v1_seeds(0), "v2")
