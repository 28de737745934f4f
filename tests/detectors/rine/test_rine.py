"""RINE and UnivFD train on kept features, score live images, and give copies equal scores."""

import math
from pathlib import Path

import pytest
import timm
import torch
import zoo_commands as zoo

from benchmarks.predictions import read_predictions
from conf.build import build_for_scoring
from conf.compose import compose
from contracts.errors import ConfigError
from detectors.backbones.tokens import BlockTokens
from detectors.rine.net import supervised_contrast

KEPT = (
    "benchmark.features=kept detector.train_view.crop_at=centre detector.train_view.flip=0 "
    "detector.train_view.before_crop=[] detector.train_view.crop=32 detector.eval_view.crop=32 datamodule.batch_size=32"
)
SMALL = "detector.backbone=timm/test_vit detector.image_size=32"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept")


def test_a_tap_sits_inside_the_block() -> None:
    torch.manual_seed(0)
    net = timm.create_model("test_vit", num_classes=0, img_size=32).eval()
    x = torch.randn(2, 3, 32, 32)
    tokens = BlockTokens(net, "test_vit")(x)
    block = net.blocks[0]
    inside = net.norm_pre(net._pos_embed(net.patch_embed(x)))
    inside = block.norm2(inside + block.attn(block.norm1(inside)))
    assert tokens.shape == (2, len(net.blocks), 64)
    assert torch.allclose(tokens[:, 0], inside[:, 0], atol=1e-6)
    with pytest.raises(ConfigError, match="no blocks with a second LayerNorm"):
        BlockTokens(timm.create_model("test_resnet"), "timm/test_resnet")


def test_the_contrast_of_two_pairs() -> None:
    x = torch.tensor([[1.0, 0], [2, 0], [0, 1], [0, 3]])
    far = math.log(math.exp(1 / 0.07) + 2) - 1 / 0.07
    assert float(supervised_contrast(x, torch.tensor([0, 0, 1, 1]))) == pytest.approx(far, abs=1e-6)
    assert float(supervised_contrast(x[:2], torch.tensor([0, 1]))) == 0


@pytest.mark.parametrize("name", ["rine", "univfd"])
@pytest.mark.filterwarnings("ignore")
def test_it_trains_on_kept_features(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    weights = f"detector.weights={zoo.backbone(folder)}"
    more = "detector.layers=1 detector.dim=8" if name == "rine" else "detector.train_view.short_side=[64,64]"
    zoo.run(f"detector={name} experiment_id={name} {SMALL} {weights} {more} {KEPT}")
    window = folder / f"experiments_data/{name}/window_0"
    best = torch.load(window / "checkpoints/best.ckpt", weights_only=True)
    assert not any("backbone" in key for key in best["state_dict"])
    assert best["backbone"]["name"] == "timm/test_vit"
    kept = read_predictions(window / "predictions_validate_all.npz")
    zoo.run(f"task=validate experiment_id={name} {SMALL} {weights} benchmark.features=null")
    live = read_predictions(window / "predictions_validate_all.npz")
    assert abs(kept.crop_logits - live.crop_logits).max() < 1e-4
    assert zoo.area_of_twins(folder, name) == 0.5


@pytest.mark.filterwarnings("ignore")
def test_random_views_cannot_be_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(AssertionError):
        zoo.run(f"detector=rine {SMALL} detector.weights={zoo.backbone(folder)} benchmark.features=kept")
    said = capsys.readouterr().err
    assert all(word in said for word in ("crop_at is random", "flip is above 0", "before_crop is random"))


def test_a_checkpoint_needs_no_functions_of_training(folder: Path) -> None:
    words = ["detector=rine", "detector.backbone=timm/test_vit", f"detector.weights={zoo.backbone(folder)}"]
    node = compose([*words, "detector.image_size=32"]).resolved["detector"]
    assert len(node["train_view"]["before_crop"]) == 2
    assert build_for_scoring(node, from_checkpoint=True).train_view.before_crop == ()
