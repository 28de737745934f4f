from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor, nn

from contracts.batch import Batch
from contracts.errors import CheckpointError, ConfigError
from contracts.view import View
from detectors.classifier.detector import Classifier
from detectors.classifier.device_augment import DeviceAugment
from detectors.parts.weights import load_weights


def _batch(n: int = 4, side: int = 32) -> Batch:
    rows = torch.arange(n)
    images = torch.randint(0, 256, (n, 3, side, side), dtype=torch.uint8)
    return Batch(images, rows % 2, rows, rows, rows, rows * 7919)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(3)
    file = tmp_path / "backbone.pth"
    torch.save(timm.create_model("test_resnet").state_dict(), file)
    return file


def _snapshot(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in [*module.named_parameters(), *module.named_buffers()]}


def test_a_probe_trains_its_head_alone(weights: Path) -> None:
    detector = Classifier("timm/test_resnet", mode="probe", weights=weights).train()
    assert not any(module.training for module in detector.net.backbone.modules())
    assert {id(p) for p in detector.trainable()} == {id(p) for p in detector.net.head.parameters()}
    before = _snapshot(detector)
    detector.loss(_batch()).backward()
    assert all(p.grad is None for p in detector.net.backbone.parameters())
    torch.optim.SGD(detector.trainable(), 1.0).step()
    changed = [name for name, value in _snapshot(detector).items() if not torch.equal(value, before[name])]
    assert changed == ["net.head.weight", "net.head.bias"]


def test_a_probes_checkpoint_holds_its_head_alone_and_loads_strictly(weights: Path, tmp_path: Path) -> None:
    source = Classifier("timm/test_resnet", mode="probe", weights=weights)
    assert list(source.state_dict()) == ["net.head.weight", "net.head.bias"]
    target = Classifier("timm/test_resnet", mode="probe", weights=weights)
    target.load_state_dict(source.state_dict())
    assert torch.equal(target.net.head.weight, source.net.head.weight)
    backbone = _snapshot(target.net.backbone)
    torch.save({"state_dict": source.state_dict()}, tmp_path / "probe.ckpt")
    load_weights(target, tmp_path / "probe.ckpt")
    assert all(torch.equal(v, backbone[k]) for k, v in _snapshot(target.net.backbone).items())
    with pytest.raises(RuntimeError, match=r"Missing key.*net\.head\.bias"):
        target.load_state_dict({"net.head.weight": source.net.head.weight})


def test_a_probe_is_refused_on_another_backbone(weights: Path, tmp_path: Path) -> None:
    source = Classifier("timm/test_resnet", mode="probe", weights=weights)
    checkpoint: dict[str, object] = {}
    source.on_save_checkpoint(checkpoint)
    assert checkpoint["backbone"] == {"name": "timm/test_resnet", "sha256": source.record.sha256}
    other = tmp_path / "other.pth"
    torch.save(timm.create_model("test_resnet").state_dict(), other)
    with pytest.raises(CheckpointError, match="trained on backbone"):
        Classifier("timm/test_resnet", mode="probe", weights=other).on_load_checkpoint(checkpoint)
    source.on_load_checkpoint(checkpoint)
    torch.save({**checkpoint, "state_dict": source.state_dict()}, tmp_path / "probe.ckpt")
    with pytest.raises(CheckpointError, match="trained on backbone"):
        load_weights(Classifier("timm/test_resnet", mode="probe", weights=other), tmp_path / "probe.ckpt")


def test_tuning_trains_everything_and_saves_it() -> None:
    detector = Classifier("timm/test_resnet", pretrained=False).train()
    assert any(key.startswith("net.backbone.") for key in detector.state_dict())
    detector.loss(_batch()).backward()
    assert all(p.grad is not None for p in detector.parameters())


def test_label_smoothing_enters_the_loss() -> None:
    detector = Classifier("timm/test_resnet", pretrained=False, label_smoothing=0.2).eval()
    batch = _batch()
    logits = detector.score(batch).logits
    target = torch.tensor([0.1, 0.9, 0.1, 0.9])
    expected = -(target * logits.sigmoid().log() + (1 - target) * (1 - logits.sigmoid()).log()).mean()
    assert torch.allclose(detector.loss(batch), expected, atol=1e-6)


def test_augmentation_is_for_training_alone() -> None:
    detector = Classifier("timm/test_resnet", pretrained=False, augment=DeviceAugment(flip_p=1.0)).eval()
    batch = _batch()
    flipped = batch._replace(images=batch.images.flip(-1).flip(-2))
    plain = Classifier("timm/test_resnet", pretrained=False).eval()
    plain.load_state_dict(detector.state_dict())
    assert torch.allclose(detector.loss(batch), plain.loss(flipped), atol=1e-6)
    assert torch.equal(detector.score(batch).logits, plain.score(batch).logits)


def test_scores_leave_in_float32_under_autocast() -> None:
    detector = Classifier("timm/test_resnet", pretrained=False).eval()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        logits = detector.score(_batch()).logits
    assert logits.dtype == torch.float32
    assert not torch.equal(logits, logits.to(torch.bfloat16).float())


def test_views_follow_the_backbone() -> None:
    assert Classifier("timm/test_resnet", pretrained=False, image_size=48).eval_view == View(resize=48)
    assert Classifier("timm/test_vit", pretrained=False).train_view == View(resize=160)
    with pytest.raises(ConfigError, match="gives images of side 96, but timm/test_vit takes 160"):
        Classifier("timm/test_vit", pretrained=False, eval_view=View(resize=96))


def test_a_checkpoint_of_a_tuned_net_needs_no_download() -> None:
    arguments = {"backbone": "timm/resnet18", "pretrained": True, "weights": "gone.pth"}
    assert Classifier.for_checkpoint(arguments) == {"backbone": "timm/resnet18", "pretrained": False, "weights": None}
    assert Classifier.for_checkpoint({**arguments, "mode": "probe"})["pretrained"] is True


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "tun"}, "did you mean 'tune'"),
        ({"mode": "probe", "pretrained": False}, "random features"),
        ({"label_smoothing": 1.0}, "label_smoothing=1.0"),
        ({"dropout": -0.1}, "dropout=-0.1"),
    ],
)
def test_bad_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Classifier("timm/test_resnet", **options)  # type: ignore[arg-type]
