"""Front ends and small networks: closed forms, receptive fields, options, checkpoints, and the command line."""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import zoo_commands as zoo
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage
from torch import Tensor

from contracts.batch import Batch
from contracts.errors import ConfigError
from contracts.keys import generator
from contracts.view import View
from detectors.npr.detector import NPR
from detectors.parts.training.optimisers import adamw_without_vector_decay
from detectors.parts.weights import load_weights
from detectors.residual import frequencies
from detectors.residual.augment import ColourJitter, MaskCells, Rotate
from detectors.residual.detector import Residual
from detectors.residual.ferret import FerretNet
from detectors.residual.freqnet import FreqNet
from detectors.residual.frequencies import channel_high_pass, high_pass
from detectors.residual.front_ends import FRONT_ENDS, make_front_end
from detectors.residual.haar_detail import detail_at_image_size, diagonal_detail
from detectors.residual.neighbourhood import neighbourhood
from detectors.residual.patch_nets import LaDeDa, PatchNet, TinyLaDeDa

SIDES = st.integers(3, 12)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def images(count: int, side: int) -> Tensor:
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def made(*names: str, **options: Any) -> Residual:
    torch.manual_seed(0)
    return Residual(View(), View(), *names, **options).eval()


@given(SIDES, SIDES, st.sampled_from(("excluded", "zeroed", "whole", "min", "max", "mean")), st.sampled_from((3, 5)))
@settings(max_examples=20)
def test_neighbourhoods_are_those_of_scipy(height: int, width: int, statistic: str, window: int) -> None:
    x = noise(1, 2, height, width, seed=height + 20 * width)
    around = np.ones((window, window), bool)
    around[window // 2, window // 2] = statistic == "whole"
    rank = {"excluded": window**2 // 2 - 1, "whole": window**2 // 2, "min": 0, "max": -1}
    outside = {"min": np.inf, "max": -np.inf}.get(statistic, 0.0)

    def expected(values: np.ndarray) -> np.ndarray:
        if statistic == "mean":
            return ndimage.convolve(values, around / window**2, mode="constant")
        if statistic in rank:
            return ndimage.rank_filter(values, rank[statistic], footprint=around, mode="constant", cval=outside)
        function = lambda others: np.median([*others, 0.0])  # noqa: E731
        return ndimage.generic_filter(values, function, footprint=around, mode="constant")

    found = neighbourhood(x, statistic, window)
    wanted = np.stack([expected(channel) for channel in x[0].numpy()])
    np.testing.assert_allclose(found[0].numpy(), wanted, rtol=0, atol=1e-6 if statistic == "mean" else 0)


@given(st.integers(1, 12), st.integers(1, 12))
@settings(max_examples=20)
def test_the_diagonal_detail_is_that_of_mirrored_pixels(height: int, width: int) -> None:
    x = noise(1, 1, height, width)
    padded = np.pad(x[0, 0].numpy(), ((2, height + 4), (2, width + 4)), mode="symmetric")
    rows, columns = ((side + 5) // 2 for side in (height, width))
    wanted = [
        [
            (padded[2 * i, 2 * j] - padded[2 * i + 1, 2 * j] - padded[2 * i, 2 * j + 1] + padded[2 * i + 1, 2 * j + 1])
            / 2
            for j in range(columns)
        ]
        for i in range(rows)
    ]
    np.testing.assert_allclose(diagonal_detail(x)[0, 0].numpy(), np.array(wanted), atol=1e-6)
    assert detail_at_image_size(x).shape == x.shape
    assert not detail_at_image_size(torch.full((1, 3, height, width), 0.3)).any()


@given(SIDES, SIDES, st.booleans())
@settings(max_examples=20)
def test_high_passes_are_those_of_shifted_spectra(height: int, width: int, symmetric: bool) -> None:
    x = noise(2, 3, height, width).double()
    h, w = (side // 4 for side in (height, width))
    more = int(symmetric)
    spectrum = torch.fft.fftshift(torch.fft.fft2(x), dim=(-2, -1))
    middle = (height // 2, width // 2)
    if h and w:
        spectrum[..., middle[0] - h : middle[0] + h + more, middle[1] - w : middle[1] + w + more] = 0
    wanted = torch.fft.ifft2(torch.fft.ifftshift(spectrum, dim=(-2, -1))).real.relu()
    assert torch.allclose(high_pass(x.float(), symmetric), wanted.float(), atol=1e-6)
    features = noise(2, height, 3, 2)
    spectrum = torch.fft.fftshift(torch.fft.fft(features.double(), dim=1), dim=1)
    if h:
        spectrum[:, middle[0] - h : middle[0] + h + more] = 0
    wanted = torch.fft.ifft(torch.fft.ifftshift(spectrum, dim=1), dim=1).real.relu()
    assert torch.allclose(channel_high_pass(features, symmetric), wanted.float(), atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (9, 12), (7, 5), (1, 2)])
def test_convolved_spectra_are_convolved_images_and_reflections(height: int, width: int) -> None:
    torch.manual_seed(0)
    plain, merged = FreqNet(exact=True), FreqNet()
    merged.load_state_dict(plain.state_dict())
    x = noise(2, 64, height, width)
    with torch.inference_mode():
        assert torch.allclose(merged.spectral(1, x), plain.spectral(1, x), atol=1e-5)
    merged.spectral(1, x).sum().backward()
    assert merged.get_parameter("imagconv1.weight").grad is not None


def test_a_filter_first_used_by_a_validation_can_be_trained_with() -> None:
    frequencies._circulant.cache_clear()
    frequencies._rectangle.cache_clear()
    with torch.inference_mode():
        channel_high_pass(high_pass(noise(1, 4, 6, 6)))
    x = noise(1, 4, 6, 6).requires_grad_()
    channel_high_pass(high_pass(x)).sum().backward()
    assert x.grad is not None
    assert x.grad.any()


def test_all_bit_planes_together_are_the_image() -> None:
    pixels = images(2, 5)
    planes = make_front_end("bit_planes", {"planes": 8})(pixels / 255).view(2, 3, 8, 5, 5)
    assert torch.equal((planes * 2 ** torch.arange(8.0).view(8, 1, 1)).sum(2), pixels.float())


@pytest.mark.parametrize("side", [37, 260])
def test_ferretnets_merged_layers_are_the_plain_ones(side: int) -> None:
    torch.manual_seed(0)
    plain, merged = FerretNet(width=8, exact=True), FerretNet(width=8)
    x = noise(5, 3, side, side)
    plain(x)  # batch norms that are not the identity
    merged.load_state_dict(plain.state_dict())
    with torch.inference_mode():
        assert torch.allclose(merged.eval()(x), plain.eval()(x), atol=1e-6)
    merged(x[:1]).sum().backward()  # a map of its gradient is that of all its weights
    assert all(weight.grad is not None and weight.grad.any() for weight in merged.parameters())


@pytest.mark.parametrize(("net", "patch", "step"), [(LaDeDa(), 9, 8), (TinyLaDeDa(), 5, 2)])
def test_a_unit_of_the_map_sees_its_patch_alone(net: PatchNet, patch: int, step: int) -> None:
    x = noise(1, 3, 50, 42).requires_grad_()
    found = net.eval().score_map(x)
    assert found.shape[1:] == tuple((side - patch) // step + 1 for side in (50, 42))
    unit = (found.shape[1] - 1, 1)
    found[0, unit[0], unit[1]].backward()
    assert x.grad is not None
    seen = x.grad[0].abs().sum(0).nonzero()
    assert seen.amin(0).tolist() == [step * place for place in unit]
    assert seen.amax(0).tolist() == [step * place + patch - 1 for place in unit]
    assert torch.allclose(net(x), found.mean((1, 2)), atol=1e-5)


@pytest.mark.parametrize("body", ["ladeda", "tiny_ladeda"])
def test_the_map_lies_where_its_patches_are(body: str) -> None:
    detector = made("raw", body)
    image = images(1, 44)[0, :, :, :37]
    values = detector.maps(image)["patches"]
    assert values.shape == (44, 37)
    net = detector.net
    assert isinstance(net, PatchNet)
    units = net.score_map(detector.residual(image[None]))[0]
    middle = net.patch // 2
    assert torch.equal(values[middle :: net.step, middle :: net.step][: len(units), : units.shape[1]], units)
    with pytest.raises(ConfigError, match="has no maps"):
        made("raw", "npr").maps(image)


def test_npr_is_one_of_them() -> None:
    detector = made("npr", "npr", two_thirds=True, exact=True)
    other = NPR(View(), View(), exact=True).eval()
    other.net.load_state_dict(detector.net.state_dict())
    assert torch.equal(detector(images(2, 33)), other(images(2, 33)))


def test_two_outputs_are_trained_as_by_their_cross_entropy() -> None:
    detector = made("dwt_hh", "safe", normalisation="unit", label_smoothing=0.1)
    pixels, rows = images(4, 32), torch.arange(4)
    loss = detector.loss(Batch(pixels, rows % 2, rows, rows, rows, rows))
    outputs = detector.net.outputs(detector.residual(pixels))  # type: ignore[operator]
    assert torch.allclose(loss, F.cross_entropy(outputs, rows % 2, label_smoothing=0.1), atol=1e-6)


@pytest.mark.parametrize("front_end", FRONT_ENDS)
def test_every_front_end_feeds_every_kind_of_body(front_end: str) -> None:
    unit = "unit" if FRONT_ENDS[front_end].needs_unit else "imagenet"
    for body in ("npr", "ferretnet", "tiny_ladeda", "freqnet"):
        detector = made(front_end, body, normalisation=unit)
        assert detector(images(2, 24)).shape == (2,)
        assert detector.artefact_maps(images(1, 24)).shape == (1, 1, 24, 24)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"front_end": "medien"}, "front_end='medien' is unknown\n.*did you mean 'median'"),
        ({"body": "resnet"}, "body='resnet' is unknown"),
        (
            {"front_end": "median", "front_end_options": {"size": 3}},
            "front_end_options.size: .*no such option\n.*window",
        ),
        ({"front_end": "npr", "front_end_options": {"window": 3}}, "no such option\n.*front_end_options=null"),
        ({"front_end": "median", "front_end_options": {"window": 4}}, "window=4"),
        ({"front_end": "median", "front_end_options": {"statistic": "mode"}}, "statistic='mode'"),
        ({"front_end": "gradient", "front_end_options": {"direction": "z"}}, "direction='z'"),
        ({"front_end": "bit_planes", "front_end_options": {"planes": 9}, "normalisation": "unit"}, "planes=9"),
        ({"front_end": "bit_planes"}, "normalisation=imagenet\n.*normalisation=unit"),
        ({"normalisation": "imagnet"}, "normalisation='imagnet' is unknown"),
        ({"label_smoothing": 1.0}, "label_smoothing=1.0"),
        ({"exact": True, "compile": True}, "exact=true"),
    ],
)
def test_mistakes_are_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Residual(View(), View(), **options)


def test_released_files_load_as_they_are(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source, target = made("dwt_hh", "safe"), made("dwt_hh", "safe")
    torch.nn.init.normal_(source.net.fc1.weight)  # type: ignore[union-attr, arg-type]
    args = argparse.Namespace(blr=1e-2, output_dir="out")
    torch.save({"model": source.net.state_dict(), "args": args, "epoch": "best"}, tmp_path / "checkpoint-best.pth")
    with caplog.at_level("INFO"):
        load_weights(target, tmp_path / "checkpoint-best.pth")
    assert torch.equal(target(images(1, 32)), source(images(1, 32)))
    assert "read 146 tensors of its entry 'model'" in caplog.text
    tiny = made("gradient", "tiny_ladeda")
    torch.save({f"module.{key}": value for key, value in tiny.net.state_dict().items()}, tmp_path / "tiny.pth")
    load_weights(made("npr", "tiny_ladeda"), tmp_path / "tiny.pth")


def test_augmentations_are_the_images_own() -> None:
    image = images(1, 48)[0].clamp(1)
    for augment in (Rotate(90), ColourJitter(), MaskCells(1.0)):
        first, again, other = (augment(image, generator(key)) for key in (3, 3, 4))
        assert first.shape == image.shape
        assert first.dtype == torch.uint8
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
    assert torch.equal(Rotate(0)(image, generator(1)), image)
    assert torch.equal(ColourJitter(0, 0, 0)(image, generator(1)), image)
    for key in range(20):
        masked = (MaskCells(1.0, most=1.0)(image, generator(key)) == 0).all(0).float()
        cells = F.avg_pool2d(masked[None], 16)
        assert set(cells.unique().tolist()) <= {0.0, 1.0}
        assert masked.sum() == cells.sum() * 256 == (image == 0).sum() + masked.sum()
    assert torch.equal(MaskCells(0.0)(image, generator(1)), image)
    for wrong in (
        lambda: Rotate(181),
        lambda: ColourJitter(contrast=2),
        lambda: MaskCells(most=2),
        lambda: MaskCells(cell=0),
    ):
        with pytest.raises(ConfigError):
            wrong()


def test_vectors_do_not_decay() -> None:
    net = made("median", "ferretnet").net
    optimizer = adamw_without_vector_decay(net.parameters(), lr=1e-3, weight_decay=0.01)
    decayed, others = optimizer.param_groups
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.01, 0.0)
    assert {p.ndim for p in decayed["params"]} == {2, 4}
    assert {p.ndim for p in others["params"]} == {1}
    assert len(decayed["params"]) + len(others["params"]) == len(list(net.parameters()))


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few images of the sample corpus."""
    folder = tmp_path_factory.mktemp("sample")
    zoo.run(f"task=prepare datamodule=sample prepare.limit=40 prepare.out={folder / 'data.h5'}")
    return folder / "data.h5"


SMALL = {
    "safe": "crop=48",
    "ferretnet": "crop=48",
    "ladeda": "resize=40 detector.train_view.crop=33",
    "tiny_ladeda": "resize=40 detector.train_view.crop=33",
    "freqnet": "resize=40 detector.train_view.crop=32",
    "residual": "crop=48",
}


@pytest.mark.parametrize("preset", SMALL)
@pytest.mark.filterwarnings("ignore")
def test_a_preset_trains_and_predicts(
    preset: str, sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = SMALL[preset].split()[0]
    views = f"detector.train_view.{SMALL[preset]} detector.eval_view.{first}"
    data = f"datamodule=hdf5 datamodule.path={sample} datamodule.batch_size=4"
    zoo.run(f"detector={preset} experiment_id={preset} {data} {views} trainer.limit_train_batches=1")
    best = torch.load(tmp_path / f"experiments_data/{preset}/window_0/checkpoints/best.ckpt", weights_only=True)
    named = best["pixelproof"]["detector"]
    key, _, side = first.partition("=")
    assert named["eval_view"][key] == int(side)
    assert zoo.area_of_twins(tmp_path, preset) == 0.5


@pytest.mark.filterwarnings("ignore")
def test_the_score_map_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(made("gradient", "tiny_ladeda").net.state_dict(), "tiny.pth")
    Path("images").mkdir()
    Image.fromarray(images(1, 70)[0].permute(1, 2, 0).numpy()).save("images/a.png")
    zoo.run("task=predict detector=tiny_ladeda ckpt=tiny.pth datamodule=folder datamodule.path=images",
            "experiment_id=p predict.maps=1 detector.eval_view.resize=64")  # fmt: skip
    folder = tmp_path / "experiments_data/p/maps"
    file = json.loads((folder / "index.json").read_text())["a.png"]["patches"]
    assert Image.open(folder / file).size == (64 + 90, 64 + 22)
