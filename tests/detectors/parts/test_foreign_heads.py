"""Published detectors, a backbone and a linear head under names of their own, read as checkpoints of a classifier."""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn
from torchvision import models

from contracts.errors import CheckpointError
from detectors.classifier.detector import Classifier
from detectors.parts.normalise import normalise
from detectors.parts.weights import load_weights

IMAGES = torch.randint(0, 256, (3, 3, 64, 64), generator=torch.Generator().manual_seed(2), dtype=torch.uint8)
Rename = Callable[[dict[str, Tensor]], dict[str, object]]


def _resnet(outputs: int) -> nn.Module:
    torch.manual_seed(4)
    net: nn.Module = models.resnet18(num_classes=outputs)
    return net.eval()


def _loaded(path: Path, backbone: str = "torchvision/resnet18", **options: object) -> Classifier:
    torch.manual_seed(9)
    detector = Classifier(backbone, pretrained=False, **options).eval()  # type: ignore[arg-type]
    load_weights(detector, path)
    return detector


FORMS: dict[str, Rename] = {
    "bare": lambda state: dict(state),
    "CNNDetection": lambda state: {"model": state, "optimizer": {"state": {}, "param_groups": []}, "total_steps": 7},
    "DataParallel": lambda state: {"net": {f"module.{k}": v for k, v in state.items()}, "acc": np.float64(99.0)},
    "ema": lambda state: {"state_dict_ema": state, "args": argparse.Namespace(lr=1e-4)},
    "wrapped": lambda state: {"state_dict": {f"model.encoder.{k}": v for k, v in state.items()}},
    "surrounded": lambda state: {k if k.startswith("fc.") else f"backbone.{k}": v for k, v in state.items()},
    "old torch": lambda state: {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")},
    "ours": lambda state: {
        k.replace("fc.", "head.") if k.startswith("fc.") else f"backbone.{k}": v for k, v in state.items()
    },
}


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("form", FORMS)
def test_a_published_resnet_scores_as_it_does_itself(tmp_path: Path, form: str, outputs: int) -> None:
    net = _resnet(outputs)
    torch.save(FORMS[form](dict(net.state_dict())), tmp_path / "w.pth")
    detector = _loaded(tmp_path / "w.pth")
    with torch.no_grad():
        own = net(normalise(IMAGES, detector.mean, detector.std))
        expected = own[:, 0] if outputs == 1 else torch.logit(own.double().softmax(1)[:, 1]).float()
        assert torch.allclose(detector(IMAGES), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("backbone", "model"),
    [("timm/test_resnet", "test_resnet"), ("timm/test_vit", "test_vit"), ("timm/test_convnext", "test_convnext")],
)
def test_a_published_net_of_timm_scores_as_it_does_itself(tmp_path: Path, backbone: str, model: str) -> None:
    torch.manual_seed(4)
    net = timm.create_model(model, num_classes=2).eval()
    torch.save({"state_dict": net.state_dict()}, tmp_path / "w.pth")
    detector = _loaded(tmp_path / "w.pth", backbone)
    images = torch.randint(0, 256, (2, 3, 160, 160), dtype=torch.uint8)
    with torch.no_grad():
        own = net(normalise(images, detector.mean, detector.std))
        assert torch.allclose(detector(images), own[:, 1] - own[:, 0], atol=1e-4)


def test_a_head_that_is_a_convolution_is_flattened(tmp_path: Path) -> None:
    state = dict(_resnet(1).state_dict())
    state["fc.weight"] = state["fc.weight"][:, :, None, None]
    torch.save(state, tmp_path / "w.pth")
    assert torch.equal(_loaded(tmp_path / "w.pth").net.head.weight, state["fc.weight"].flatten(1))


def test_one_line_says_what_the_file_was(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    torch.save({"model": _resnet(2).state_dict()}, tmp_path / "w.pth")
    with caplog.at_level("INFO"):
        _loaded(tmp_path / "w.pth")
    wanted = "read 122 tensors of its entry 'model'; the head is 'fc' of two outputs, taken as real and generated"
    assert [line for line in caplog.messages if "w.pth" in line] == [f"{tmp_path / 'w.pth'}: {wanted}"]


def test_a_head_without_a_bias_is_announced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    state = dict(_resnet(1).state_dict())
    del state["fc.bias"]
    torch.save(state, tmp_path / "w.pth")
    with caplog.at_level("INFO"):
        assert _loaded(tmp_path / "w.pth").net.head.bias.tolist() == [0]
    assert "the head is 'fc', without a bias" in caplog.text


def test_a_classifier_of_a_thousand_classes_is_pointed_to_its_key(tmp_path: Path) -> None:
    torch.save(_resnet(1000).state_dict(), tmp_path / "w.pth")
    with pytest.raises(
        CheckpointError, match=r"w\.pth: its classifier 'fc' has 1000 outputs.*\n.*detector\.weights=FILE"
    ):
        _loaded(tmp_path / "w.pth")
    Classifier("torchvision/resnet18", weights=tmp_path / "w.pth")


def test_a_head_alone_fits_a_probe(tmp_path: Path) -> None:
    torch.save(timm.create_model("test_resnet").state_dict(), tmp_path / "backbone.pth")
    head = nn.Linear(96, 1)
    torch.save(head.state_dict(), tmp_path / "fc_weights.pth")
    torch.save({"model": {f"fc.{key}": value for key, value in head.state_dict().items()}}, tmp_path / "named.pth")
    for name in ("fc_weights.pth", "named.pth"):
        detector = _loaded(tmp_path / name, "timm/test_resnet", mode="probe", weights=tmp_path / "backbone.pth")
        assert torch.equal(detector.net.head.weight, head.weight)
        assert torch.equal(detector.net.head.bias, head.bias)


def test_a_probe_takes_a_whole_net_of_its_own_backbone_alone(tmp_path: Path) -> None:
    torch.manual_seed(4)
    net = timm.create_model("test_resnet", num_classes=1)
    torch.save(net.state_dict(), tmp_path / "w.pth")
    detector = _loaded(tmp_path / "w.pth", "timm/test_resnet", mode="probe", weights=tmp_path / "w.pth")
    assert torch.equal(detector.net.head.weight, net.fc.weight)
    half = {key: value.half() if value.is_floating_point() else value for key, value in net.state_dict().items()}
    torch.save(half, tmp_path / "half.pth")
    detector = _loaded(tmp_path / "half.pth", "timm/test_resnet", mode="probe", weights=tmp_path / "w.pth")
    assert torch.equal(detector.net.head.weight, net.fc.weight.half().float())
    torch.save(timm.create_model("test_resnet").state_dict(), tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"w\.pth: it contains another backbone.*\n.*mode=tune"):
        _loaded(tmp_path / "w.pth", "timm/test_resnet", mode="probe", weights=tmp_path / "other.pth")


def test_a_net_of_another_kind_is_named(tmp_path: Path) -> None:
    torch.save(timm.create_model("test_vit", num_classes=1).state_dict(), tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"w\.pth does not fit Classifier"):
        _loaded(tmp_path / "w.pth")
