"""Vision transformers as their authors publish them, at the image size of the file and at another."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import open_clip
import pytest
import timm
import torch
from timm.layers.pos_embed import resample_abs_pos_embed
from torch import Tensor, nn
from torchvision.models import vision_transformer

from contracts.errors import CheckpointError, ConfigError
from detectors.backbones.backbones import create_backbone
from detectors.backbones.position_embeddings import resample_dinov2

SMALL = {"depth": 1, "embed_dim": 32, "num_heads": 2}


@pytest.fixture(autouse=True)
def small_nets(monkeypatch: pytest.MonkeyPatch) -> None:
    """timm's and open_clip's transformers with one narrow block, under their own names."""
    create_timm, config_of = timm.create_model, open_clip.factory.get_model_config

    def small_config(name: str) -> Any:
        config = config_of(name)
        if config is not None and name.startswith("ViT-B-32"):
            config["vision_cfg"] |= {"layers": 1, "width": 32, "head_width": 16}
            config["text_cfg"] |= {"layers": 1, "width": 32, "heads": 2, "vocab_size": 16}
        return config

    def small_timm(name: str, **options: Any) -> nn.Module:
        return create_timm(name, **(SMALL | options) if "vit_" in name or "deit" in name else options)

    monkeypatch.setattr(timm, "create_model", small_timm)
    monkeypatch.setattr(open_clip.factory, "get_model_config", small_config)


def _random(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    torch.manual_seed(5)
    return {key: torch.randn_like(value) for key, value in state.items()}


def _as_timm_loads(name: str, state: Mapping[str, Tensor], size: int) -> dict[str, Tensor]:
    """What timm's own loader makes of a state dict."""
    made = timm.create_model(
        name,
        pretrained=True,
        pretrained_cfg_overlay={"state_dict": dict(state)},
        num_classes=0,
        img_size=size,
    )
    return dict(made.state_dict())


def _equal(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        assert torch.equal(found[key], value), key


@pytest.mark.parametrize("size", [518, 224, 28])
@pytest.mark.parametrize("wrapper", ["", "module."])
def test_the_authors_dinov2_loads_at_any_size(tmp_path: Path, size: int, wrapper: str) -> None:
    name = "vit_small_patch14_dinov2.lvd142m"
    published = _random(timm.create_model(name, num_classes=0).state_dict())
    assert published["pos_embed"].shape == (1, 37 * 37 + 1, 32)
    published["mask_token"] = torch.zeros(1, 32)
    torch.save({wrapper + key: value for key, value in published.items()}, tmp_path / "w.pth")
    made = create_backbone("dino/dinov2_vits14", weights=tmp_path / "w.pth", image_size=size)
    _equal(made.module.state_dict(), _as_timm_loads(name, published, size))
    positions = published["pos_embed"]
    if size != 518:
        positions = resample_abs_pos_embed(positions, [size // 14] * 2, num_prefix_tokens=1)
    assert torch.equal(made.module.state_dict()["pos_embed"], positions)


@pytest.mark.parametrize("size", [518, 42])
def test_the_authors_dinov2_with_registers_loads(tmp_path: Path, size: int) -> None:
    name = "vit_small_patch14_reg4_dinov2.lvd142m"
    own = _random(timm.create_model(name, num_classes=0).state_dict())
    published = {k: v for k, v in own.items() if k not in ("reg_token", "cls_token", "pos_embed")}
    published |= {
        "register_tokens": own["reg_token"],
        "cls_token": torch.randn(1, 1, 32),
        "pos_embed": torch.randn(1, 37 * 37 + 1, 32),
        "mask_token": torch.zeros(1, 32),
    }
    torch.save(published, tmp_path / "w.pth")
    made = create_backbone("dino/dinov2_vits14_reg", weights=tmp_path / "w.pth", image_size=size)
    state = made.module.state_dict()
    _equal(state, _as_timm_loads(name, published, size))
    assert torch.equal(state["cls_token"], published["cls_token"] + published["pos_embed"][:, :1])
    assert torch.equal(state["reg_token"], own["reg_token"])


def test_the_authors_giant_dinov2_loads(tmp_path: Path) -> None:
    name = "vit_giant_patch14_dinov2.lvd142m"
    own = _random(timm.create_model(name, num_classes=0).state_dict())
    published = {k.replace("mlp.fc1", "mlp.w12").replace("mlp.fc2", "mlp.w3"): v for k, v in own.items()}
    torch.save({**published, "mask_token": torch.zeros(1, 32)}, tmp_path / "w.pth")
    made = create_backbone("dino/dinov2_vitg14", weights=tmp_path / "w.pth", image_size=518)
    _equal(made.module.state_dict(), own)


@pytest.mark.parametrize(
    ("name", "size", "other"),
    [
        ("vit_tiny_patch16_224.augreg_in21k", 224, 96),
        ("vit_tiny_patch16_224", 224, 320),
        ("deit3_small_patch16_224", 224, 64),
    ],
)
def test_any_vit_of_timm_loads_at_another_size_with_its_classifier(
    tmp_path: Path, name: str, size: int, other: int
) -> None:
    published = _random(timm.create_model(name, img_size=size, num_classes=10).state_dict())
    torch.save({"model": published}, tmp_path / "w.pth")
    made = create_backbone(f"timm/{name}", weights=tmp_path / "w.pth", image_size=other)
    _equal(made.module.state_dict(), _as_timm_loads(name, published, other))


def test_the_authors_layer_scales_of_deit3_are_read(tmp_path: Path) -> None:
    own = _random(timm.create_model("deit3_small_patch16_224", num_classes=0).state_dict())
    published = {k.replace("ls1.gamma", "gamma_1").replace("ls2.gamma", "gamma_2"): v for k, v in own.items()}
    torch.save({"model": published}, tmp_path / "w.pth")
    _equal(create_backbone("timm/deit3_small_patch16_224", weights=tmp_path / "w.pth").module.state_dict(), own)


@pytest.mark.parametrize("size", [224, 64, 96])
def test_open_clips_tower_loads_at_another_size(tmp_path: Path, size: int) -> None:
    tower = _random(create_backbone("open_clip/ViT-B-32:laion2b_s34b_b79k").module.state_dict())
    whole = {**{f"visual.{key}": value for key, value in tower.items()}, "logit_scale": torch.ones(())}
    torch.save({"state_dict": {f"module.{key}": value for key, value in whole.items()}}, tmp_path / "w.pth")
    made = create_backbone("open_clip/ViT-B-32:laion2b_s34b_b79k", weights=tmp_path / "w.pth", image_size=size)
    reference = open_clip.create_model("ViT-B-32", force_image_size=size)
    open_clip.model.resize_pos_embed(whole, reference)
    _equal(made.module.state_dict(), {k.removeprefix("visual."): v for k, v in whole.items() if "visual." in k})


def test_torchvisions_vit_loads_at_another_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = vision_transformer._vision_transformer

    def small(**options: Any) -> nn.Module:
        return make(**(options | {"num_layers": 1, "num_heads": 2, "hidden_dim": 32, "mlp_dim": 64}))

    monkeypatch.setattr(vision_transformer, "_vision_transformer", small)
    state = dict(create_backbone("torchvision/vit_b_32").module.state_dict())
    state["encoder.pos_embedding"] = positions = torch.randn(1, 50, 32)
    head = {"heads.head.weight": torch.zeros(1000, 32), "heads.head.bias": torch.zeros(1000)}
    torch.save(state | head, tmp_path / "w.pth")
    made = create_backbone("torchvision/vit_b_32", weights=tmp_path / "w.pth", image_size=96)
    found = made.module.state_dict()
    assert torch.equal(found["encoder.pos_embedding"], resample_abs_pos_embed(positions, [3, 3]))
    assert torch.equal(found["conv_proj.weight"], state["conv_proj.weight"])


def test_a_grid_that_is_no_square_is_named(tmp_path: Path) -> None:
    state = dict(create_backbone("open_clip/ViT-B-32").module.state_dict())
    state["positional_embedding"] = torch.zeros(7 * 6 + 1, 32)
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"positional_embedding \[43, 32\] instead of \[50, 32\]"):
        create_backbone("open_clip/ViT-B-32:laion2b_s34b_b79k", weights=tmp_path / "w.pth")


def test_a_transformer_of_another_width_is_named(tmp_path: Path) -> None:
    state = timm.create_model("vit_tiny_patch16_224", embed_dim=48, num_heads=3).state_dict()
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"of another shape: .*pos_embed|of another shape: .*bias"):
        create_backbone("timm/vit_tiny_patch16_224", weights=tmp_path / "w.pth", image_size=96)


def test_the_authors_dinov3_loads(tmp_path: Path) -> None:
    name = "vit_small_patch16_dinov3.lvd1689m"
    own = _random(timm.create_model(name, num_classes=0, dynamic_img_size=True).state_dict())
    names = {"reg_token": "storage_tokens", "gamma_1": "ls1.gamma", "gamma_2": "ls2.gamma"}
    published = {"mask_token": torch.zeros(1, 32), "rope_embed.periods": torch.zeros(4)}
    for key, value in own.items():
        for ours, theirs in names.items():
            key = key.replace(ours, theirs)
        published[key] = value
    torch.save(published, tmp_path / "w.pth")
    made = create_backbone("dino/dinov3_vits16", weights=tmp_path / "w.pth", image_size=64)
    _equal(made.module.state_dict(), own)


@pytest.mark.parametrize("registers", [False, True])
def test_dinov2_at_another_size_by_its_authors_rule(tmp_path: Path, registers: bool) -> None:
    name = f"vit_small_patch14{'_reg4' if registers else ''}_dinov2.lvd142m"
    published = _random(timm.create_model(name, num_classes=0).state_dict())
    if registers:
        published["register_tokens"] = published.pop("reg_token")
        published["pos_embed"] = torch.randn(1, 37 * 37 + 1, 32)
    published["mask_token"] = torch.zeros(1, 32)
    torch.save(published, tmp_path / "w.pth")
    hub = f"dino/dinov2_vits14{'_reg' if registers else ''}"
    made = create_backbone(hub, weights=tmp_path / "w.pth", image_size=336, positions="dinov2").module.state_dict()
    wanted = resample_dinov2(published["pos_embed"], 24)
    assert torch.equal(made["pos_embed"], wanted[:, 1:] if registers else wanted)
    by_timm = create_backbone(hub, weights=tmp_path / "w.pth", image_size=336).module.state_dict()
    assert not torch.allclose(made["pos_embed"], by_timm["pos_embed"], atol=1e-2)
    assert torch.equal(resample_dinov2(published["pos_embed"], 37), published["pos_embed"])


def test_the_authors_rule_shifts_the_kernel_by_a_tenth() -> None:
    positions = torch.randn(1, 1 + 7 * 7, 3)
    grid = positions[:, 1:].reshape(1, 7, 7, 3).permute(0, 3, 1, 2)
    factor = 4.1 / 7
    wanted = torch.nn.functional.interpolate(grid, scale_factor=(factor, factor), mode="bicubic")
    found = resample_dinov2(positions, 4)
    assert torch.equal(found[:, :1], positions[:, :1])
    assert torch.equal(found[0, 1:].T.reshape(3, 4, 4), wanted[0])
    with pytest.raises(ConfigError, match="8 positions"):
        resample_dinov2(torch.randn(1, 8, 3), 4)


def test_positions_are_known_and_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'dinov2'"):
        create_backbone("timm/test_vit", positions="dinov")
    torch.save(timm.create_model("test_resnet").state_dict(), tmp_path / "w.pth")
    with pytest.raises(ConfigError, match="without position embeddings"):
        create_backbone("timm/test_resnet", weights=tmp_path / "w.pth", positions="dinov2")
