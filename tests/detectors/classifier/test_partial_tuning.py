"""Backbones tuned by singular directions or adapters: equal to the plain net at the start and after merging."""

from pathlib import Path
from typing import Any

import pytest
import torch
import zoo_commands as zoo
from torch import nn

from contracts.batch import Batch
from contracts.errors import CheckpointError, ConfigError
from detectors.classifier.detector import Classifier
from detectors.classifier.svd import merged_splits, split_attention
from detectors.parts.weights import load_weights

RANKS = {"svd": 1, "lora": 2}
WAYS: list[dict[str, Any]] = [
    {"tune": "svd"},
    {"tune": "svd", "rank": 3, "regulariser": 0.1},
    {"tune": "lora"},
    {"tune": "lora", "rank": 2, "alpha": 8, "rank_stabilised": True, "tuned_modules": r"blocks\.0\.mlp\.fc\d"},
]


def _batch() -> Batch:
    order = torch.arange(4)
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    return Batch(images, order % 2, order, order, order, order)


def _make(folder: Path, **way: Any) -> Classifier:
    return Classifier("timm/test_vit", weights=zoo.backbone(folder), pretrained=False, image_size=32, **way).eval()


@pytest.mark.parametrize("way", WAYS)
def test_start_training_and_merging(tmp_path: Path, way: dict[str, Any]) -> None:
    plain, tuned, batch = _make(tmp_path), _make(tmp_path, **way), _batch()
    tuned.net.head.load_state_dict(plain.net.head.state_dict())
    before = plain.score(batch).logits.detach()
    difference = float((tuned.score(batch).logits.detach() - before).abs().max())
    assert difference == 0 if way["tune"] == "lora" else difference < 1e-5
    trained = {name for name, p in tuned.named_parameters() if p.requires_grad}
    assert {"net.head.weight", "net.head.bias"} < trained
    parts = ("lora_A", "lora_B") if way["tune"] == "lora" else (".0.U", ".0.S", ".0.V")
    assert all(any(part in name for part in parts) for name in trained - {"net.head.weight", "net.head.bias"})
    kept = {name: p.clone() for name, p in tuned.named_parameters() if name not in trained}
    optimizer = torch.optim.SGD(tuned.trainable(), 0.1)
    for _ in range(2):
        optimizer.zero_grad()
        tuned.train().loss(batch).backward()
        optimizer.step()
    assert all(torch.equal(p, kept[name]) for name, p in tuned.named_parameters() if name in kept)
    after = tuned.eval().score(batch).logits
    assert float((after - before).detach().abs().max()) > 1e-3
    state = tuned.merged()
    assert state.keys() == plain.net.state_dict().keys()
    plain.net.load_state_dict(state)
    assert torch.allclose(plain.score(batch).logits, after, atol=1e-5)
    assert torch.equal(tuned.score(batch).logits, after)


def test_open_clips_attention_is_split_in_three() -> None:
    torch.manual_seed(0)
    attention = nn.ModuleDict({"attn": nn.MultiheadAttention(16, 2, batch_first=True)}).eval()
    x = torch.randn(2, 5, 16)
    before = attention["attn"](x, x, x)[0]
    split_attention(attention, "toy", 1, False)
    assert {p.shape for p in attention.parameters() if p.requires_grad} == {
        (3, 16, 1), (3, 1), (3, 1, 16), (1, 16, 1), (1, 1), (1, 1, 16)
    }  # fmt: skip
    assert torch.allclose(attention["attn"](x, x, x)[0], before, atol=1e-6)
    state = merged_splits(attention)
    attention = nn.ModuleDict({"attn": nn.MultiheadAttention(16, 2, batch_first=True)}).eval()
    attention.load_state_dict(state)
    assert torch.allclose(attention["attn"](x, x, x)[0], before, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tune": "loar"}, "did you mean 'lora'"),
        ({"tune": "svd", "rank": 64}, "Give 1 to 63"),
        ({"rank": 2}, "rank=2 with detector.tune=all"),
        ({"tune": "svd", "alpha": 1}, "alpha=1 with detector.tune=svd"),
        ({"tune": "lora", "regulariser": 1.0}, "regulariser=1.0"),
        ({"tune": "lora", "rank": 0}, "positive rank"),
        ({"tune": "lora", "tuned_modules": "blocks.9.attn"}, "Name linear layers of timm/test_vit"),
        ({"tune": "svd", "mode": "probe"}, "mode=probe"),
    ],
)
def test_bad_options_are_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _make(tmp_path, **options)


def test_a_net_without_attention_is_refused(tmp_path: Path) -> None:
    weights = zoo.backbone(tmp_path, "test_resnet")
    for tune in ("svd", "lora"):
        with pytest.raises(ConfigError, match=r"no attention projections|tuned_modules"):
            Classifier("timm/test_resnet", weights=weights, tune=tune)


def test_adapters_alone_are_no_checkpoint(tmp_path: Path) -> None:
    tuned = _make(tmp_path, tune="lora")
    state = {k: v for k, v in tuned.net.backbone.state_dict().items() if "lora_" in k}
    saved = {f"base_model.model.{key.replace('.default', '')}": value for key, value in state.items()}
    saved |= {"base_model.model.head.weight": torch.zeros(1, 64), "base_model.model.head.bias": torch.zeros(1)}
    torch.save(saved, tmp_path / "adapters.pth")
    with pytest.raises(CheckpointError, match="missing"):
        load_weights(tuned, tmp_path / "adapters.pth")


@pytest.mark.parametrize("tune", ["svd", "lora"])
@pytest.mark.filterwarnings("ignore")
def test_it_trains_and_predicts(tune: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    detector = "detector=effort" if tune == "svd" else "detector=classifier detector.tune=lora detector.rank=2"
    zoo.run(
        f"{detector} detector.backbone=timm/test_vit detector.weights={zoo.backbone(tmp_path)} detector.image_size=32",
        "detector.train_view.crop=32 detector.eval_view.crop=32" if tune == "svd" else "",
        f"experiment_id={tune} trainer.limit_train_batches=2 datamodule.batch_size=8",
    )
    weights = zoo.backbone(tmp_path).rename(tmp_path / "gone.pth")  # the checkpoint holds the backbone, too
    assert zoo.area_of_twins(tmp_path, tune) == 0.5
    best = tmp_path / f"experiments_data/{tune}/window_0/checkpoints/best.ckpt"
    zoo.run(f"task=export ckpt={best} export.out=merged.safetensors")
    plain = Classifier("timm/test_vit", weights=weights, image_size=32).eval()
    load_weights(plain, tmp_path / "merged.safetensors")
    tuned = Classifier("timm/test_vit", weights=weights, image_size=32, tune=tune, rank=RANKS[tune]).eval()
    load_weights(tuned, best)
    assert torch.allclose(plain.score(_batch()).logits, tuned.score(_batch()).logits, atol=1e-5)
    with pytest.raises(AssertionError):
        zoo.run(f"task=export ckpt={best} export.out=merged.safetensors")
