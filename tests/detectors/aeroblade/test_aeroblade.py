"""AEROBLADE: numbers of the original, what counts as a reconstruction, and the command line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lpips
import numpy as np
import pytest
import torch
import zoo_commands
import zoo_golden as zoo
from torch import Tensor, nn
from torchvision.models.vgg import cfgs, make_layers

from contracts.batch import Batch
from contracts.errors import CheckpointError, ConfigError
from detectors.aeroblade.detector import Aeroblade, Tokenizer
from detectors.aeroblade.lpips_maps import LpipsMaps
from detectors.tracer.models.sizes import VarVqvaeSize
from detectors.tracer.models.var_vqvae import VarVqvae


class Toy(nn.Module):
    """The vectors' autoencoders on unit-range images: means of blocks, or a ripple along the columns."""

    def __init__(self, rows: int = 1, columns: int = 1, ripple: float = 0.0) -> None:
        super().__init__()
        self.rows, self.columns, self.ripple = rows, columns, ripple

    def forward(self, unit: Tensor) -> Tensor:
        x = 2 * unit - 1
        x = self.means(self.means(x, 2, self.rows), 3, self.columns)
        made = x + self.ripple * torch.sin(torch.arange(x.shape[3], dtype=x.dtype))
        return (made / 2 + 0.5).clamp(0, 1)

    @staticmethod
    def means(x: Tensor, axis: int, count: int) -> Tensor:
        whole = x.shape[axis] // count * count
        kept, rest = x.split([whole, x.shape[axis] - whole], axis)
        blocks = kept.unflatten(axis, (-1, count)).mean(axis + 1).repeat_interleave(count, axis)
        return torch.cat([blocks, rest], axis)


TOYS = {"row3": Toy(columns=3), "col4": Toy(rows=4), "ripple": Toy(ripple=0.09)}


@pytest.fixture
def golden(golden_path: Callable[[str], Path]) -> dict[str, Any]:
    with np.load(golden_path("zoo_aeroblade.npz"), allow_pickle=False) as stored:
        return dict(stored)


@pytest.fixture
def vgg(golden: dict[str, Any], tmp_path: Path) -> Path:
    """The vectors' LPIPS as a file: filled, linear weights positive."""
    keys = golden["lpips_keys"].tolist()
    filled = [k for k, key in enumerate(keys) if not key.startswith(("scaling", "lin"))]
    part = {f"lpips_{name}": golden[f"lpips_{name}"][filled] for name in ("keys", "shapes", "fillsum")}
    state = zoo.weights({**golden, **part}, "lpips")
    sums = dict(zip(keys, golden["lpips_fillsum"].tolist(), strict=True))
    for key, shape in zip(keys, golden["lpips_shapes"].tolist(), strict=True):
        if key.startswith("lin"):
            sides = [int(side) for side in shape.split(",")]
            state[key] = torch.from_numpy(np.abs(zoo.draw(key, sides, int(golden["lpips_fillseed"])))).float()
            assert float(state[key].double().sum()) == pytest.approx(sums[key], abs=1e-6)
    torch.save(state, tmp_path / "lpips.pth")
    return tmp_path / "lpips.pth"


def made(vgg: Path, **options: Any) -> Aeroblade:
    return Aeroblade(TOYS, vgg, **options).eval()


@pytest.mark.golden
def test_golden_reconstructions(golden: dict[str, Any]) -> None:
    for k, toy in enumerate(TOYS.values()):
        found = [toy(image[None] / 255)[0] for image in zoo.images(golden)]
        zoo.close(found[0], golden[f"recon_float_im0_ae{k}_f32"], 1e-6)
        for index, each in enumerate(found):
            stored = zoo.image(golden, f"recon_{index}_ae{k}").int()
            truncated = each.mul(255).to(torch.uint8).int()
            assert (truncated - stored).abs().max() <= 1  # a third of the means of three pixels are whole numbers


@pytest.mark.golden
@pytest.mark.parametrize("layer", range(6))
def test_golden_scores(golden: dict[str, Any], vgg: Path, layer: int, monkeypatch: pytest.MonkeyPatch) -> None:
    detector, images = made(vgg, layer=layer), zoo.images(golden)
    for index, image in enumerate(images):
        for k, toy in enumerate(TOYS.values()):  # the stored 8-bit images, whatever the last bit of the toys
            stored = zoo.image(golden, f"recon_{index}_ae{k}") / 255
            monkeypatch.setattr(toy, "forward", lambda _, stored=stored: (stored[None] * 255 + 0.25) / 255)
        found = detector.distances(image[None])[0]
        zoo.close(-found, golden["score_f32_maps_f64_mean"][:, layer, index], 1e-7, f"{index}")
        detector.half_precision = True
        rounded = -detector.distances(image[None])[0].numpy()
        detector.half_precision = False
        wanted = golden["score_f16"][:, layer, index].astype(float)
        np.testing.assert_allclose([*rounded, rounded.max()], wanted, rtol=1e-3, atol=6e-8)  # a step of float16
        if index == 0:
            maps = detector.distance_maps(image[None])["col4"][0]
            zoo.close(maps, golden[f"map_image0_ae1_layer{layer}_f32"], 1e-6)
            zoo.close(-found[1], golden["score_image0_ae1_f64"][layer], 1e-7)
            if layer == 0:
                zoo.close(found[1].float(), golden["lpips_package_non_spatial_image0_ae1_f32"], 1e-7)


@pytest.fixture
def random_vgg(tmp_path: Path) -> Path:
    """The first layers of VGG16 at random, as torchvision names them."""
    torch.manual_seed(0)
    state = {f"features.{key}": value for key, value in LpipsMaps(2).vgg.state_dict().items()}
    torch.save({**state, "classifier.6.bias": torch.zeros(1000)}, tmp_path / "vgg16.pth")
    return tmp_path / "vgg16.pth"


def test_it_is_the_lpips_of_its_package(tmp_path: Path) -> None:
    torch.manual_seed(0)
    package = lpips.LPIPS(net="vgg", pnet_rand=True, verbose=False).eval()
    state = {key: value for key, value in package.state_dict().items() if key.startswith("net.")}
    torch.save(state, tmp_path / "net.pth")
    own = LpipsMaps(0)
    own.load(tmp_path / "net.pth")
    one, other = torch.rand(2, 2, 3, 40, 33)
    with torch.no_grad():
        wanted = package(2 * one - 1, 2 * other - 1).flatten()
        assert torch.allclose(own(one, other).mean((1, 2)), wanted, atol=1e-6)


def test_an_image_that_an_autoencoder_keeps_is_the_most_generated(random_vgg: Path) -> None:
    detector = Aeroblade({"same": nn.Identity(), "mean": Toy(rows=4, columns=4)}, random_vgg).eval()
    images = torch.randint(0, 256, (3, 3, 16, 20), dtype=torch.uint8)
    images[2] = 90
    distances = detector.distances(images)
    assert (distances[:, 0] < 1e-6).all()
    assert (distances[:2, 1] > 1e-4).all()
    rows = torch.arange(3)
    scores = detector.score(Batch(images, rows % 2, rows, rows, rows, rows))
    assert set(scores.extras) == {"distance_same", "distance_mean"}
    overshot = detector.distances(torch.where(images == 255, 1.01, images / 255))  # as after a benchmark's resizing
    assert torch.allclose(overshot, distances)
    maps = detector.maps(images[0])
    assert {name: value.shape for name, value in maps.items()} == {"same": (16, 20), "mean": (16, 20)}
    assert maps["mean"].double().mean() == pytest.approx(float(distances[0, 1]), rel=1e-5)


def test_mistakes_are_named(random_vgg: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="layer=6"):
        Aeroblade({"same": nn.Identity()}, random_vgg, layer=6)
    with pytest.raises(ConfigError, match="autoencoders is empty"):
        Aeroblade({}, random_vgg)
    with pytest.raises(CheckpointError, match="does not fit VGG16"):
        Aeroblade({"same": nn.Identity()}, random_vgg, layer=3)
    with pytest.raises(CheckpointError, match="no weights lin0"):
        Aeroblade({"same": nn.Identity()}, random_vgg, linear=random_vgg)
    for name, patch_nums in (("small", (1, 2)), ("large", (1, 2, 3))):
        torch.save(VarVqvae(VarVqvaeSize(32, 8, 16, patch_nums)).state_dict(), tmp_path / f"{name}.pth")
    with pytest.raises(ConfigError, match=r"different sizes: \{'small': 32, 'large': 48\}"):
        Aeroblade({name: tmp_path / f"{name}.pth" for name in ("small", "large")}, random_vgg)


def test_another_vgg_is_refused(tmp_path: Path) -> None:
    state = {f"features.{key}": value for key, value in make_layers(cfgs["E"], False).state_dict().items()}
    torch.save(state, tmp_path / "vgg19.pth")
    with pytest.raises(CheckpointError, match=r"does not fit VGG16\n.*unexpected: 16\.bias"):
        LpipsMaps(2).load(tmp_path / "vgg19.pth")


@pytest.mark.filterwarnings("ignore")
def test_it_is_fitted_and_predicts(random_vgg: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    torch.save(VarVqvae(VarVqvaeSize(32, 8, 16, (1, 2))).state_dict(), "var.pth")
    assert Tokenizer("var.pth")(torch.rand(2, 3, 32, 32)).shape == (2, 3, 32, 32)
    zoo_commands.run("task=prepare datamodule=sample prepare.limit=40 prepare.out=data.h5")
    words = f"detector=aeroblade detector.autoencoders.var=var.pth detector.vgg={random_vgg} detector.eval_view.crop=32"
    zoo_commands.run(f"experiment_id=a datamodule=hdf5 datamodule.path=data.h5 datamodule.batch_size=4 {words}")
    best = torch.load("experiments_data/a/window_0/checkpoints/best.ckpt", weights_only=True)
    assert set(best["state_dict"]) == {"net.line"}
    assert zoo_commands.area_of_twins(tmp_path, "a") == 0.5
