import hashlib
from pathlib import Path
from urllib.error import URLError

import pytest
import timm
import torch
from safetensors.torch import save_file

from contracts.errors import CheckpointError, ConfigError
from detectors.backbones.backbones import create_backbone, list_backbones


@pytest.mark.parametrize(
    ("name", "pooling", "dim"),
    [
        ("test_resnet", "avg", 96),
        ("timm/test_resnet", "catavgmax", 192),
        ("test_vit", None, 64),
        ("torchvision/resnet18", "catavgmax", 1024),
        ("torchvision/mobilenet_v3_small", "max", 1024),
    ],
)
def test_feature_dim_is_what_comes_out(name: str, pooling: str | None, dim: int) -> None:
    backbone = create_backbone(name, pooling=pooling)
    assert backbone.feature_dim == dim
    side = backbone.image_size if backbone.fixed_size else 64
    assert backbone.module.eval()(torch.zeros(2, 3, side, side)).shape == (2, dim)


def test_normalisation_is_the_librarys_record() -> None:
    assert create_backbone("timm/test_vit").mean == (0.5, 0.5, 0.5)
    resnet = create_backbone("torchvision/resnet18")
    assert list(resnet.mean) == [0.485, 0.456, 0.406]


def test_open_clip_gives_the_image_tower_alone() -> None:
    backbone = create_backbone("open_clip/ViT-S-32-alt", image_size=64)
    assert (backbone.image_size, backbone.fixed_size) == (64, True)
    assert backbone.module.eval()(torch.zeros(1, 3, 64, 64)).shape == (1, backbone.feature_dim)
    assert backbone.mean[0] == pytest.approx(0.48145466)
    with pytest.raises(ConfigError, match="open_clip/ViT-B-32:TAG with one of openai"):
        create_backbone("open_clip/ViT-B-32", pretrained=True)


def test_fixed_size_follows_image_size() -> None:
    assert create_backbone("dinov2_vits14", image_size=28).feature_dim == 384
    with pytest.raises(ConfigError, match="Choose 28 or 42"):
        create_backbone("dinov2_vits14", image_size=32)


def test_patches_may_be_given_by_one_number() -> None:
    assert create_backbone("timm/xcit_nano_12_p16_224", image_size=32).feature_dim == 128
    with pytest.raises(ConfigError, match="image size 40"):
        create_backbone("timm/xcit_nano_12_p16_224", image_size=40)


def test_convnext_pools_by_average_alone() -> None:
    with pytest.warns(UserWarning, match="pooling=avg is used, not catavgmax"):
        assert create_backbone("test_convnext", pooling="catavgmax").feature_dim == 64


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("resnet_18", "did you mean 'resnet18'"),
        ("timm/resnte18", "did you mean 'resnet18'"),
        ("torchvision/vgg61", "or 'vgg16'"),
        ("dino/dinov2_vitx14", "dinov2_vits14"),
    ],
)
def test_unknown_names_bring_the_nearest(name: str, answer: str) -> None:
    with pytest.raises(ConfigError) as caught:
        create_backbone(name)
    assert answer in str(caught.value)


def test_options_a_backbone_cannot_take_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"detector\.pooling='avgmx' is unknown"):
        create_backbone("test_resnet", pooling="avgmx")
    with pytest.raises(ConfigError, match=r"timm/test_vit cannot be created with detector\.pooling=catavgmax"):
        create_backbone("test_vit", pooling="catavgmax")
    with pytest.raises(ConfigError, match="torchvision/densenet121"):
        create_backbone("torchvision/densenet121", pooling="max")


def test_wildcards_search_all_libraries() -> None:
    found = list_backbones("*convnext_tiny*")
    assert {"timm/convnext_tiny", "torchvision/convnext_tiny", "dino/dinov3_convnext_tiny"} <= set(found)
    assert all("convnext_tiny" in name for name in found)
    assert list_backbones("torchvision/resnet*")
    assert {name.split("/")[0] for name in list_backbones("torchvision/*")} == {"torchvision"}
    assert list_backbones("nothing_like_it") == []


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
@pytest.mark.parametrize(("name", "model"), [("timm/test_resnet", "test_resnet"), ("torchvision/resnet18", "resnet18")])
def test_weights_come_from_a_file_with_its_classifier(tmp_path: Path, suffix: str, name: str, model: str) -> None:
    torch.manual_seed(3)
    published = timm.create_model(model).state_dict()
    file = tmp_path / f"w.{suffix}"
    save_file(published, file) if suffix == "safetensors" else torch.save(published, file)
    backbone = create_backbone(name, weights=file)
    assert backbone.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    for key, value in backbone.module.state_dict().items():
        assert torch.equal(value, published[key]), key


def test_weights_of_another_backbone_are_refused(tmp_path: Path) -> None:
    torch.save(timm.create_model("test_vit").state_dict(), tmp_path / "vit.pth")
    with pytest.raises(CheckpointError, match=r"vit\.pth does not fit timm/test_resnet"):
        create_backbone("timm/test_resnet", weights=tmp_path / "vit.pth")


def test_offline_failure_says_what_to_fetch_and_where_to_put_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def unreachable(*_: object, **__: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", unreachable)
    for name, url in (
        (
            "timm/test_resnet.r160_in1k",
            "https://huggingface.co/timm/test_resnet.r160_in1k/resolve/main/model.safetensors",
        ),
        ("torchvision/resnet18", "https://download.pytorch.org/models/resnet18-"),
    ):
        for frozen in (False, True):
            with pytest.raises(CheckpointError) as caught:
                create_backbone(name, pretrained=True, frozen=frozen)
            assert url in str(caught.value)
            assert "detector.weights=FILE" in str(caught.value)
            assert ("train from scratch" in str(caught.value)) is not frozen
