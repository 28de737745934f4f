"""AI-GenBench's names of models."""

import open_clip
import pytest
import torch

from contracts.errors import ConfigError
from contracts.normalisations import NORMALISATIONS
from detectors.backbones.backbones import find_backbone
from detectors.classifier.aliases import OPEN_CLIP, expanded, split_alias
from detectors.classifier.detector import Classifier


@pytest.mark.parametrize(
    ("name", "backbone", "mode"),
    [
        ("dinov2_vitl14_tune", "dino/dinov2_vitl14", "tune"),
        ("RN50_probe", "open_clip/RN50:openai", "probe"),
        ("clipL14commonpool_tune", "open_clip/ViT-L-14:commonpool_xl_s13b_b90k", "tune"),
        ("resnet18_tune", "timm/resnet18", "tune"),
        ("torchvision/resnet50_probe", "torchvision/resnet50", "probe"),
    ],
)
def test_their_names_lead_to_a_backbone_and_a_mode(name: str, backbone: str, mode: str) -> None:
    found = expanded({"backbone": name})
    assert found["mode"] == mode
    prefix, _, model = find_backbone(found["backbone"])
    assert f"{prefix}/{model}" == backbone


def test_open_clip_knows_every_model_and_its_weights() -> None:
    known = set(open_clip.list_pretrained())
    assert len(OPEN_CLIP) == 10
    for word, name in OPEN_CLIP.items():
        assert tuple(name.split(":")) in known, word
        found = expanded({"backbone": f"{word}_probe"})
        assert (found["backbone"], found["mode"], found["unit_features"]) == (f"open_clip/{name}", "probe", True)


def test_names_of_libraries_pass() -> None:
    assert split_alias("timm/resnet18") is None
    assert expanded({"backbone": "timm/resnet18", "mode": "probe"}) == {"backbone": "timm/resnet18", "mode": "probe"}


def test_a_mode_that_contradicts_the_name_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"Omit detector\.mode"):
        expanded({"backbone": "RN50_tune", "mode": "probe"})


def test_a_classifier_takes_them_and_normalises_as_configured() -> None:
    detector = Classifier("test_resnet_tune", pretrained=False, image_size=32, normalisation="half")
    assert detector.record.name == "timm/test_resnet"
    assert detector.mode == "tune"
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    seen: list[torch.Tensor] = []
    detector.net.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    detector(images)
    assert torch.allclose(seen[0], (images / 255 - 0.5) / 0.5, atol=1e-6)
    assert detector.for_checkpoint({"backbone": "RN50_probe"}) == {"backbone": "RN50_probe"}
    assert detector.for_checkpoint({"backbone": "RN50_tune"})["pretrained"] is False
    with pytest.raises(ConfigError, match="did you mean 'clip'"):
        Classifier("test_resnet", pretrained=False, image_size=32, normalisation="clipp")
    assert set(NORMALISATIONS) == {"clip", "imagenet", "half"}


def test_unit_features_and_the_heads_first_weights() -> None:
    torch.manual_seed(0)
    detector = Classifier("test_resnet", pretrained=False, image_size=32, unit_features=True, head_std=5.0)
    features = detector.net.features(torch.randn(3, 3, 32, 32))
    assert torch.allclose(features.norm(dim=1), torch.ones(3), atol=1e-5)
    assert 3 < detector.net.head.weight.std().item() < 7
