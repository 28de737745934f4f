"""SAFE, FerretNet, LaDeDa, Tiny-LaDeDa and FreqNet against the numbers of their authors' code."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zoo_golden as zoo
from torch import Tensor, nn

from contracts.view import View
from datamodules.loading.transforms import evaluation_views
from detectors.parts.normalise import normalise
from detectors.residual.bodies import ShallowResNet
from detectors.residual.detector import Residual
from detectors.residual.frequencies import channel_high_pass, high_pass
from detectors.residual.front_ends import make_front_end
from detectors.residual.haar_detail import detail_at_image_size, diagonal_detail
from detectors.residual.neighbourhood import neighbourhood
from detectors.residual.patch_nets import PatchNet

pytestmark = pytest.mark.golden

CROP = View(crop=256, fill="zero")
STATISTICS = {
    "median": "zeroed", "excmed": "excluded", "retmed": "whole", "avg": "mean", "min": "min", "max": "max",
    "origin": "none",
}  # fmt: skip
GRADIENTS = {f"{ours}_{end}": f"{ours}" for ours in "xy" for end in ("grad",)} | {
    "left_diag": "left_diagonal",
    "right_diag": "right_diagonal",
}

Golden = dict[str, Any]
Load = Callable[[str], Golden]


@pytest.fixture
def load(golden_path: Callable[[str], Path]) -> Load:
    def loaded(name: str) -> Golden:
        with np.load(golden_path(f"zoo_{name}.npz"), allow_pickle=False) as stored:
            return dict(stored)

    return loaded


def filled(detector: Residual, golden: Golden, name: str) -> Residual:
    """A detector with a file's weights, its keys in the file's order."""
    state = zoo.weights(golden, name)
    own = detector.net.state_dict()
    assert list(own) == list(state)
    assert [",".join(map(str, value.shape)) for value in own.values()] == golden[f"{name}_shapes"].tolist()
    assert [str(value.dtype).removeprefix("torch.") for value in own.values()] == golden[f"{name}_dtypes"].tolist()
    assert sum(p.numel() for p in detector.net.parameters()) == int(golden[f"{name}_n_parameters"])
    detector.net.load_state_dict(state)
    detector.configure_model()
    return detector.eval()


def with_net(other: Residual, detector: Residual) -> Residual:
    """A detector with another one's network."""
    other.net = detector.net
    return other.eval()


def logit(detector: Residual, image: Tensor) -> float:
    with torch.inference_mode():
        return float(detector(image[None]))


def cropped(image: Tensor) -> Tensor:
    """As the authors crop and pad in their tests."""
    return evaluation_views(image, CROP, 0)[0]


def seen(net: nn.Module, x: Tensor, places: dict[str, str]) -> dict[str, Tensor]:
    """Outputs [C, h, w] of a network's parts, by name."""
    found: dict[str, Tensor] = {}
    hooks = [
        net.get_submodule(place).register_forward_hook(
            lambda _module, _inputs, out, name=name: found.update({name: out.detach().clone()})
        )
        for name, place in places.items()
    ]
    with torch.inference_mode():
        net(x)
    for hook in hooks:
        hook.remove()
    return {name: value[0].double() for name, value in found.items()}


def channel_means(found: dict[str, Tensor], golden: Golden, prefix: str, tolerance: float) -> None:
    for name, value in found.items():
        zoo.close(value.mean((1, 2)), golden[f"{prefix}_{name}_channel_mean_f64"], tolerance, name)
        if f"{prefix}_{name}_hw" in golden:
            assert list(value.shape[1:]) == golden[f"{prefix}_{name}_hw"].tolist()


@pytest.mark.parametrize(("exact", "tolerance"), [(True, 3e-6), (False, 1e-5)])
def test_safe(load: Load, exact: bool, tolerance: float) -> None:
    golden = load("safe")
    detector = filled(Residual(View(), CROP, "dwt_hh", "safe", normalisation="unit", exact=exact), golden, "safe")
    net = detector.net
    assert isinstance(net, ShallowResNet)
    for index, image in enumerate(zoo.images(golden)):
        for kind, one in (("crop256", cropped(image)), ("native", image)):
            with torch.inference_mode():
                outputs = net.outputs(detector.residual(one[None]))[0]
            zoo.close(outputs, golden[f"{kind}_logits_f32"][index], tolerance, f"{kind} {index}")
            zoo.close(outputs, golden[f"{kind}_logits_f64"][index], tolerance, f"{kind} {index}")
            assert logit(detector, one) == pytest.approx(float(outputs[1] - outputs[0]), abs=1e-6)
        score = torch.tensor(logit(detector, cropped(image))).sigmoid()
        zoo.close(score, golden["crop256_score_f32"][index], tolerance)


def test_safe_details(load: Load) -> None:
    golden = load("safe")
    detector = filled(Residual(View(), CROP, "dwt_hh", "safe", normalisation="unit", exact=True), golden, "safe")
    image = zoo.images(golden)[int(golden["detail_index"])][None] / 255
    zoo.close(diagonal_detail(image)[0], golden["detail_HH_f32"], 1e-6)
    zoo.close(detail_at_image_size(image)[0], golden["detail_front_f32"], 1e-6)
    for index in range(3):
        small = torch.from_numpy(golden[f"small{index}_in"])[None]
        zoo.close(diagonal_detail(small)[0], golden[f"small{index}_HH_f32"], 2e-4)
        zoo.close(detail_at_image_size(small)[0], golden[f"small{index}_front_f32"], 2e-4)
    net = detector.net
    assert isinstance(net, ShallowResNet)
    residual = detector.residual(cropped(zoo.images(golden)[0])[None])
    first: list[Tensor] = []
    net.layer1[0].register_forward_pre_hook(lambda _, inputs: first.append(inputs[0][0].double()))
    found = seen(net, residual, {"layer1": "layer1.2"})
    channel_means({**found, "maxpool": first[0]}, golden, "image0", 3e-6)
    with torch.inference_mode():
        zoo.close(net.features(residual)[0], golden["image0_pooled512_f32"], 3e-6)


@pytest.mark.parametrize(("exact", "tolerance"), [(True, 3e-6), (False, 1e-5)])
@pytest.mark.parametrize(("size", "width"), [("s", 32), ("b", 96)])
def test_ferretnet(load: Load, size: str, width: int, exact: bool, tolerance: float) -> None:
    golden = load("ferretnet")
    zeroed, options = {"statistic": "zeroed"}, {"width": width}
    made = Residual(View(), CROP, "median", "ferretnet", zeroed, options, normalisation="clip", exact=exact)
    detector = filled(made, golden, size)
    for index, image in enumerate(zoo.images(golden)):
        for kind, one in (("crop256", cropped(image)), ("native", image)):
            for precision in ("f32", "f64"):
                wanted = golden[f"{size}_{kind}_logits_{precision}"][index]
                zoo.close(logit(detector, one), wanted, tolerance, f"{kind} {index}")
    if exact:
        places = {"stage0": "feature.0.1", "feature": "feature.2"}
        residual = detector.residual(cropped(zoo.images(golden)[0])[None])
        inputs: dict[str, Tensor] = {}
        for name, place in (("cbr1", "cbr2.0"), ("cbr2", "feature.0.0")):
            detector.net.get_submodule(place).register_forward_pre_hook(
                lambda _, given, name=name: inputs.update({name: given[0][0].double()})
            )
        channel_means({**seen(detector.net, residual, places), **inputs}, golden, f"{size}_image0", tolerance)


def test_ferretnet_statistics(load: Load) -> None:
    golden = load("ferretnet")
    normalised = torch.from_numpy(golden["detail_normalised_input_f32"])[None]
    image = zoo.images(golden)[int(golden["detail_index"])]
    detector = Residual(View(), CROP, "median", "ferretnet", normalisation="clip")
    assert detector.normalisation is not None
    assert np.array_equal(normalise(image[None], *detector.normalisation)[0], golden["detail_normalised_input_f32"])
    maps = [key for key in golden if key.startswith("detail_lpd_")]
    assert len(maps) >= 8
    for key in maps:
        _, _, name, window, _ = key.split("_")
        rows, columns = golden[key].shape[1:]
        found = neighbourhood(normalised, STATISTICS[name], int(window))[0, :, :rows, :columns]
        assert np.array_equal(found.numpy(), golden[key]), key
    filled(detector, golden, "b")
    native = zoo.images(golden)[3]
    variants = golden["b_image3_native_variants"].tolist()
    assert len(variants) == 13
    for variant, wanted in zip(variants, golden["b_image3_native_variant_logits_f32"], strict=True):
        name, window = variant.split("-")
        options = {"statistic": STATISTICS[name], "window": int(window)}
        other = Residual(View(), CROP, "median", "ferretnet", options, normalisation="clip")
        zoo.close(logit(with_net(other, detector), native), wanted, 3e-6, variant)


def gradient(name: str) -> tuple[str, dict[str, str]]:
    """Front end and options of a preprocessing type of LaDeDa's."""
    if name in GRADIENTS:
        return "gradient", {"direction": GRADIENTS[name]}
    return {"NPR": "npr", "npr_plain": "npr", "raw": "raw"}[name], {}


@pytest.mark.parametrize(("exact", "tolerance"), [(True, 2e-5), (False, 5e-5)])
def test_ladeda(load: Load, exact: bool, tolerance: float) -> None:
    golden = load("ladeda")
    square = golden["square_index"].tolist()
    detector = filled(Residual(View(), View(), "npr", "ladeda", two_thirds=True, exact=exact), golden, "ladeda")
    net, images = detector.net, zoo.images(golden)
    assert isinstance(net, PatchNet)
    for row, index in enumerate(square):
        for precision in ("f32", "f64"):
            wanted = golden[f"ladeda_npr23_logits_{precision}"][row]
            zoo.close(logit(detector, images[index]), wanted, tolerance, f"{index}")
    for index, image in enumerate(images):
        with torch.inference_mode():
            found = net.score_map(detector.residual(image[None]))[0]
        zoo.close(found, golden[f"ladeda_npr23_map_{index}_f32"], tolerance, f"map {index}")
    for name in ("npr_plain", "raw", *GRADIENTS):
        front_end, options = gradient(name)
        other = with_net(Residual(View(), View(), front_end, "ladeda", options, exact=exact), detector)
        wanted = golden[f"ladeda_{name}_logits_f32"]
        for index, value in zip(square[-len(wanted) :], wanted, strict=True):
            zoo.close(logit(other, images[index]), value, tolerance, name)


def test_ladeda_details(load: Load) -> None:
    golden = load("ladeda")
    detector = filled(Residual(View(), View(), "npr", "ladeda", two_thirds=True, exact=True), golden, "ladeda")
    residual = detector.residual(zoo.images(golden)[0][None])
    places = {"conv2": "conv2", "layer1": "layer1.2", "layer2": "layer2.3", "layer3": "layer3.5", "layer4": "layer4.2"}
    channel_means(seen(detector.net, residual, places), golden, "ladeda_image0", 2e-5)
    image = zoo.images(golden)[int(golden["ladeda_detail_index"])][None]
    normalised = normalise(image)
    assert np.array_equal(normalised[0], golden["detail_normalised_input_f32"])
    for name in ("NPR", *GRADIENTS):
        found = make_front_end(*gradient(name))(normalised)[0]
        zoo.close(found, golden[f"detail_{name}_f32"], 0.0 if name == "NPR" else 2e-6, name)
    pixels = torch.zeros(1, 3, 64, 64, requires_grad=True)
    detector.net.score_map(pixels)[0, 3, 3].backward()  # type: ignore[operator]
    assert pixels.grad is not None
    rows, columns = (pixels.grad[0].abs().sum((0, axis)).nonzero().flatten() for axis in (2, 1))
    touched = [int(each) for each in (rows[0], rows[-1], columns[0], columns[-1])]
    assert touched == golden["rf_raw_unit33_rows_cols"].tolist()


@pytest.mark.parametrize(("exact", "tolerance"), [(True, 3e-6), (False, 1e-5)])
def test_tiny_ladeda(load: Load, exact: bool, tolerance: float) -> None:
    golden = load("ladeda")
    images = zoo.images(golden)
    detector = filled(Residual(View(), View(), "npr", "tiny_ladeda", exact=exact), golden, "tiny")
    for name in ("right_diag", "NPR", "raw"):
        front_end, options = gradient(name)
        other = with_net(Residual(View(), View(), front_end, "tiny_ladeda", options, exact=exact), detector)
        for index, wanted in zip(golden["square_index"].tolist(), golden[f"tiny_{name}_logits_f32"], strict=True):
            zoo.close(logit(other, images[index]), wanted, tolerance, name)
        for index in (2, 3, 4) if name == "right_diag" else ():
            with torch.inference_mode():
                found = other.net.score_map(other.residual(images[index][None]))[0]  # type: ignore[operator]
            zoo.close(found, golden[f"tiny_right_diag_map_{index}_f32"], tolerance, f"map {index}")


@pytest.mark.parametrize(("exact", "tolerance"), [(True, 1e-6), (False, 1e-5)])
def test_freqnet(load: Load, exact: bool, tolerance: float) -> None:
    golden, published = load("freqnet"), {"symmetric": False}
    made = Residual(View(), View(), "fft_high_pass", "freqnet", published, published, exact=exact)
    detector = filled(made, golden, "freqnet")
    for index, image in enumerate(zoo.images(golden)):
        for precision in ("f32", "f64"):
            zoo.close(logit(detector, image), golden[f"logits_{precision}"][index], tolerance, f"{index}")


def test_freqnet_details(load: Load) -> None:
    golden, published = load("freqnet"), {"symmetric": False}
    made = Residual(View(), View(), "fft_high_pass", "freqnet", published, published, exact=True)
    detector = filled(made, golden, "freqnet")
    image = zoo.images(golden)[int(golden["detail_index"])][None]
    zoo.close(detector.residual(image)[0], golden["detail_hfri_f32"], 2e-6)
    for index in range(3):
        small = torch.from_numpy(golden[f"small{index}_in"])[None]
        zoo.close(high_pass(small, symmetric=False)[0], golden[f"small{index}_hfreqWH4_f32"], 1e-6)
        channels = torch.from_numpy(golden[f"smallC{index}_in"])[None]
        zoo.close(channel_high_pass(channels, symmetric=False)[0], golden[f"smallC{index}_hfreqC4_f32"], 1e-6)
    residual = detector.residual(zoo.images(golden)[0][None])
    first: list[Tensor] = []
    detector.net.get_submodule("layer1.0").register_forward_pre_hook(
        lambda _, inputs: first.append(inputs[0][0].double())
    )
    spectra = [key.split("_")[1] for key in golden if key.startswith("image0_") and "conv" in key and "_hw" not in key]
    assert len(spectra) == 5
    places = {"layer1": "layer1.2", "layer2": "layer2.3", **{name: name for name in spectra}}
    found = seen(detector.net, residual, places)
    channel_means(
        {"maxpool": first[0], **{name: found.pop(name) for name in ("layer1", "layer2")}}, golden, "image0", 1e-6
    )
    for name, half in found.items():  # half a spectrum: its other columns are the same with the rows turned round
        height, width = golden[f"image0_{name}_hw"].tolist()
        assert list(half.shape[1:]) == [height, width // 2 + 1]
        sign = -1 if name.startswith("imag") else 1
        mirrored = sign * half[..., 1 : (width + 1) // 2].flip((1, 2)).roll(1, 1)
        whole = torch.cat([half, mirrored], 2)
        zoo.close(whole.mean((1, 2)), golden[f"image0_{name}_channel_mean_f64"], 1e-6, name)
