"""Pairs differ in nothing but what the autoencoder does, are made once, and train any detector."""

import io
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import zoo_commands as zoo
from PIL import Image
from torch import Tensor

from contracts.errors import ConfigError, DataError
from contracts.keys import generator
from contracts.stage import Stage
from contracts.view import View
from datamodules.pairing.pair import Pair
from datamodules.sample import SampleDataModule
from detectors.tracer.autoencoders import DiffusersVae, Tokenizer
from tests.detectors.tracer import tracer_zoo


class Darker:
    """An autoencoder that halves the range, and counts what it sees."""

    exact: int | None = None
    multiple = 8

    def __init__(self, factor: float = 0.5) -> None:
        self.factor = factor
        self.settings: dict[str, Any] = {"factor": factor}
        self.seen = 0

    def __call__(self, images: Tensor) -> Tensor:
        self.seen += 1
        return images * self.factor


def _image(side: int = 43) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (side, side + 5, 3), np.uint8)


def _png(pixels: np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def _prepared(folder: Path, autoencoder: Darker, stored: bytes, **options: Any) -> tuple[Pair, Tensor]:
    pair = Pair([autoencoder], folder=folder / "pairs", **options)
    decoded = torch.from_numpy(np.array(Image.open(io.BytesIO(stored)))).permute(2, 0, 1)
    pair.prepare(lambda _: (stored, decoded), 1, torch.device("cpu"))
    return pair, decoded


OFF: dict[str, Any] = {"p_jpeg": 0.0, "p_pixel": 0.0, "p_frequency": 0.0}


def test_nothing_else_differs(tmp_path: Path) -> None:
    stored = _png(_image())
    pair, decoded = _prepared(tmp_path, Darker(1.0), stored, **OFF)
    made = pair.made(stored, decoded, generator(3))
    assert [label for label, _ in made] == [0, 1, 0, 1, 0, 1]
    for (_, real), (_, fake) in zip(made[::2], made[1::2], strict=True):
        assert torch.equal(real, fake)
    assert made[0][1].shape == (3, 40, 48)
    assert torch.equal(made[0][1], decoded[:, 1:41])
    assert made[2][1].shape[1] <= 40 <= made[4][1].shape[1]
    again = pair.made(stored, decoded, generator(3))
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(made, again, strict=True))


def test_reconstructions_are_kept_by_content(tmp_path: Path) -> None:
    autoencoder, stored = Darker(), _png(_image())
    _prepared(tmp_path, autoencoder, stored)
    _prepared(tmp_path, autoencoder, stored)
    assert autoencoder.seen == 1
    _prepared(tmp_path, autoencoder, _png(255 - _image()))
    assert autoencoder.seen == 2
    other = Darker(0.25)
    _prepared(tmp_path, other, stored)
    assert other.seen == 1


def test_quality_and_mixes(tmp_path: Path) -> None:
    stored = _png(_image(), "JPEG", quality=60)
    pair, decoded = _prepared(tmp_path, Darker(), stored, **{**OFF, "p_jpeg": 1.0}, scaled=False)
    (_, real), (_, fake) = pair.made(stored, decoded, generator(0))
    buffer = io.BytesIO()
    plain = np.rint((real.permute(1, 2, 0).numpy() / 127.5 - 1) * 0.5 * 127.5 + 127.5).clip(0, 255).astype(np.uint8)
    Image.fromarray(plain).save(buffer, "JPEG", quality=60)
    off = np.asarray(Image.open(buffer)).astype(int) - fake.permute(1, 2, 0).numpy()
    assert np.abs(off).mean() < 1  # up to rounding before the file
    mixed, _ = _prepared(tmp_path, Darker(), stored, **{**OFF, "p_pixel": 1.0, "p_frequency": 1.0}, scaled=False)
    (_, real), (_, fake) = mixed.made(stored, decoded, generator(0))
    spread = [float(x.float().std()) for x in (real, fake)]
    assert 0.5 * spread[0] < spread[1] < spread[0]


def test_small_images_are_named(tmp_path: Path) -> None:
    stored = _png(_image()[:6])
    pair, decoded = _prepared(tmp_path, Darker(), stored)
    with pytest.raises(DataError, match="48x6 pixels are too small"):
        pair.made(stored, decoded, generator(0))


@pytest.mark.parametrize("options", [{"p_jpeg": 1.5}, {"r_pixel": -1}, {"missing_quality": 0}])
def test_bad_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        Pair([Darker()], **options)
    with pytest.raises(ConfigError, match="autoencoders is empty"):
        Pair([])


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_hold_pairs_of_real_images(tmp_path: Path, workers: int) -> None:
    pair = Pair([Darker()], folder=tmp_path / "pairs", scaled=False, **OFF)
    module = SampleDataModule(batch_size=3, num_workers=workers, pair=pair)
    module.use(View(crop=32, flip=0.5), View(crop=32))
    manifest = module.manifest()
    stage = module.paired(Stage(0, "all", manifest.rows("train")[:20], manifest.rows("valid")))
    assert set(manifest.labels[stage.train].tolist()) == {0}
    module.enter(stage)
    loader = module.train_dataloader()
    batches = [batch for batch in loader if batch is not None]
    loader.close()
    assert sum(len(batch.label) for batch in batches) == 2 * len(stage.train)
    for batch in batches:
        assert batch.label.tolist() == [0, 1] * (len(batch.label) // 2)
        real, fake = batch.images[::2].float() - 127.5, batch.images[1::2].float() - 127.5
        assert float((fake - real / 2).abs().max()) <= 1  # the same crop and flip
        assert torch.equal(batch.key[::2], batch.key[1::2])


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tracer_zoo.zoo(tmp_path_factory.mktemp("zoo"))


@pytest.mark.parametrize(("file", "side"), [("var_vqvae", None), ("rar_vqgan", tracer_zoo.SIDE)])
def test_the_tracers_tokenizers_reconstruct(tokenizers: Path, file: str, side: int | None) -> None:
    autoencoder = Tokenizer(str(tokenizers / f"{file}.safetensors"), side)
    made = autoencoder(torch.rand(2, 3, tracer_zoo.IMAGE, tracer_zoo.IMAGE) * 2 - 1)
    assert made.shape == (2, 3, tracer_zoo.IMAGE, tracer_zoo.IMAGE)
    assert -1 - 1e-5 <= float(made.min()) < float(made.max()) <= 1 + 1e-5


def test_a_vae_of_diffusers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The package itself is optional; what is asked of it are four of its names."""

    class AutoencoderKL(torch.nn.Module):
        @classmethod
        def from_pretrained(cls, path: Path, local_files_only: bool) -> "AutoencoderKL":
            assert local_files_only
            if not (path / "config.json").exists():
                raise OSError("no config.json")
            return cls()

        def encode(self, x: Tensor) -> Any:
            return SimpleNamespace(latent_dist=SimpleNamespace(mode=lambda: x / 2))

        def decode(self, z: Tensor) -> Any:
            return SimpleNamespace(sample=2 * z)

    monkeypatch.setitem(sys.modules, "diffusers", SimpleNamespace(AutoencoderKL=AutoencoderKL))
    with pytest.raises(ConfigError, match="holds no VAE"):
        DiffusersVae(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    vae = DiffusersVae(str(tmp_path))
    before = vae.settings
    x = torch.rand(1, 3, 16, 8)
    assert torch.equal(vae(x), x)
    (tmp_path / "config.json").write_text("{ }")
    assert DiffusersVae(str(tmp_path)).settings != before
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(ConfigError, match="needs diffusers"):
        DiffusersVae(str(tmp_path))


@pytest.mark.filterwarnings("ignore")
def test_dda_trains_and_predicts(tokenizers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tokenizers / "var_vqvae.safetensors"
    small = (
        f"detector.backbone=timm/test_vit detector.weights={zoo.backbone(tmp_path)} detector.image_size=64 "
        "detector.positions=timm detector.train_view.crop=64 detector.eval_view.crop=64 trainer.limit_train_batches=2"
    )
    words = f"experiment=dda experiment_id=dda {small} datamodule.pair.autoencoders="
    zoo.run(words + f"[{{_target_:detectors.tracer.autoencoders.Tokenizer,weights:{file}}}]")
    assert len(list((tmp_path / "pairs").rglob("*.png"))) > 20
    assert zoo.area_of_twins(tmp_path, "dda") == 0.5
