from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from golden_fill import filled
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import CenterCrop, Resize

from contracts.batch import Batch
from contracts.errors import CheckpointError, ConfigError, DataError
from contracts.view import View
from detectors.npr import fold
from detectors.npr.detector import NPR
from detectors.npr.net import NPRNet
from detectors.npr.residual import even_size, npr_residual, npr_residual_by_resampling, scale_residual
from detectors.parts.normalise import normalise
from detectors.parts.weights import load_weights

VIEW = View()


def _batch(images: Tensor) -> Batch:
    rows = torch.arange(len(images))
    return Batch(images, rows % 2, rows, rows, rows, rows)


def _score(detector: NPR, image: np.ndarray) -> float:
    with torch.inference_mode():
        return float(detector.score(_batch(torch.from_numpy(image).permute(2, 0, 1)[None])).logits)


@pytest.fixture(scope="module")
def golden(golden_path: Callable[[str], Path]) -> dict[str, Any]:
    with np.load(golden_path("npr_single.npz"), allow_pickle=False) as file:
        return dict(file)


def _golden_detector(golden: dict[str, Any], exact: bool, key: str = "npr") -> NPR:
    detector = NPR(VIEW, VIEW, exact=exact).eval()
    detector.configure_model()
    state = filled(detector.net.state_dict(), int(golden[f"{key}_fillseed"]))
    assert list(state) == list(golden[f"{key}_keys"]), "keys and their order"
    for name, shape, total in zip(state, golden[f"{key}_shapes"], golden[f"{key}_fillsum"], strict=True):
        assert ",".join(map(str, state[name].shape)) == shape
        assert float(state[name].double().sum()) == pytest.approx(float(total), abs=1e-9), name
    detector.net.load_state_dict(state)
    return detector


@pytest.mark.golden
@pytest.mark.parametrize(("exact", "tolerance"), [(True, 2e-6), (False, 1e-5)])
def test_golden_logits(golden: dict[str, Any], exact: bool, tolerance: float) -> None:
    detector = _golden_detector(golden, exact)
    for index, expected in enumerate(golden["logits_f32"]):
        assert _score(detector, golden[f"image_{index}"]) == pytest.approx(float(expected), abs=tolerance), index


@pytest.mark.golden
def test_golden_resized_logits(golden: dict[str, Any]) -> None:
    detector = _golden_detector(golden, exact=True)
    for row, index in enumerate(golden["resize_index"]):
        whole = Resize((256, 256))(Image.fromarray(golden[f"image_{index}"]))
        crop = CenterCrop(224)(whole)
        if row == 0:
            assert np.array_equal(np.asarray(whole), golden["resize256_image_first"])
        for image, key in ((whole, "resize256_logits_f32"), (crop, "resize256_crop224_logits_f32")):
            assert _score(detector, np.array(image)) == pytest.approx(float(golden[key][row]), abs=2e-6), (index, key)


@pytest.mark.golden
def test_golden_details(golden: dict[str, Any]) -> None:
    net = _golden_detector(golden, exact=True).net
    image = torch.from_numpy(golden[f"image_{int(golden['detail_index'])}"]).permute(2, 0, 1)[None]
    normalised = normalise(image)
    assert np.array_equal(normalised[0].numpy(), golden["detail_normalised_input_f32"])
    for residual in (npr_residual, npr_residual_by_resampling):
        assert np.array_equal(residual(normalised)[0].numpy(), golden["detail_npr_residual_f32"])
    seen: dict[str, Tensor] = {}
    for name, module in {"conv1_input": net.conv1, "layer1": net.layer1[-1], "layer2": net.layer2[-1]}.items():
        module.register_forward_hook(
            lambda _, inputs, output, name=name: seen.update({name: inputs[0] if "input" in name else output})
        )
    net.layer1[0].register_forward_pre_hook(lambda _, inputs: seen.update({"maxpool": inputs[0]}))
    with torch.no_grad():
        pooled = net.features(net.scaled_residual(normalised))
    assert np.array_equal(seen["conv1_input"][0].numpy(), golden["detail_conv1_input_f32"])
    np.testing.assert_allclose(pooled[0].numpy(), golden["detail_pooled512_f32"], rtol=0, atol=2e-6)
    for name in ("maxpool", "layer1", "layer2"):
        mean = seen[name][0].double().mean((1, 2)).numpy()
        np.testing.assert_allclose(mean, golden[f"detail_{name}_channel_mean_f64"], rtol=0, atol=2e-6)


@pytest.mark.parametrize("size", [(2, 2), (6, 4), (48, 64), (34, 254)])
def test_fast_residual_is_bit_identical(size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *size)
    expected = npr_residual_by_resampling(x)
    assert torch.equal(npr_residual(x), expected)
    assert torch.equal(npr_residual(x.contiguous(memory_format=torch.channels_last)), expected)
    assert torch.equal(scale_residual(x, 0.5), expected)
    assert (expected[..., ::2, ::2] == 0).all()


def test_odd_sizes_lose_their_last_row_and_column() -> None:
    x = torch.randn(1, 3, 7, 5)
    assert torch.equal(even_size(x), x[..., :6, :4])
    net = NPRNet().eval()
    assert torch.equal(net(x), net(x[..., :6, :4]))
    with pytest.raises(DataError, match="1x9"):
        net(torch.randn(1, 3, 1, 9))


def _trained_like(seed: int = 0) -> NPR:
    torch.manual_seed(seed)
    detector = NPR(VIEW, VIEW).train()
    for _ in range(2):
        detector.loss(_batch(torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8))).backward()
    return detector.eval()


def test_folding_never_uses_stale_weights() -> None:
    fast, exact = _trained_like(), NPR(VIEW, VIEW, exact=True).eval()
    image = torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8)
    for change in (
        lambda: None,
        lambda: fast.net.conv1.weight.data.mul_(-1.5),  # behind the back of the version counter
        lambda: fast.net.layer1[0].bn1.running_var.data.mul_(2),
        lambda: fast.net.load_state_dict(_trained_like(1).net.state_dict()),
    ):
        change()
        exact.net.load_state_dict(fast.net.state_dict())
        with torch.inference_mode():
            logits = fast.score(_batch(image)).logits
            assert torch.allclose(logits, exact.score(_batch(image)).logits, atol=1e-5, rtol=0)


def test_while_weights_stay_they_are_folded_once_and_afterwards_afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    fast, make = _trained_like(), fold._fold
    folds: list[nn.Conv2d] = []

    def counted(conv: nn.Conv2d, bn: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
        folds.append(conv)
        return make(conv, bn)

    monkeypatch.setattr(fold, "_fold", counted)
    image = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    with torch.inference_mode():
        expected, each = fast.score(_batch(image)).logits, len(folds)
        with fold.folded_once():
            assert all(torch.equal(fast.score(_batch(image)).logits, expected) for _ in range(3))
        assert each == len(set(folds)) == 24  # convolutions of the network
        assert len(folds) == 2 * each
        fast.net.conv1.weight.data.mul_(-1.5)
        changed = fast.score(_batch(image)).logits
        assert not torch.equal(changed, expected)
        with fold.folded_once():
            assert torch.equal(fast.score(_batch(image)).logits, changed)
            folds.clear()
            with fold.folded_once():
                assert torch.equal(fast.score(_batch(image)).logits, changed)
            assert not folds
    with fold.folded_once():
        fast(image).sum().backward()
    assert fast.net.conv1.weight.grad is not None


def test_training_does_not_fold() -> None:
    torch.manual_seed(0)
    fast = NPRNet(exact=False).train()
    slow = NPRNet(exact=True).train()
    slow.load_state_dict(fast.state_dict())
    x = torch.randn(4, 3, 16, 16)
    for net in (fast, slow):
        net(x).sum().backward()
    for (name, a), b in zip(fast.named_parameters(), slow.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad), name  # type: ignore[arg-type]
    for (name, c), d in zip(fast.state_dict().items(), slow.state_dict().values(), strict=True):
        assert torch.equal(c, d), name


@pytest.mark.parametrize("precision", ["autocast", "weights"])
def test_bf16_scores_leave_in_float32(precision: str) -> None:
    detector = _trained_like()
    batch = _batch(torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8))
    with torch.inference_mode():
        expected = detector.score(batch).logits
        if precision == "weights":
            detector.to(torch.bfloat16)
        with torch.autocast("cpu", torch.bfloat16):
            logits = detector.score(batch).logits
    assert logits.dtype == torch.float32
    assert torch.allclose(logits, expected, atol=0.05)
    assert not torch.equal(logits, logits.to(torch.bfloat16).float()), "rounded to bfloat16 on the way"


def test_exact_ignores_autocast() -> None:
    detector = NPR(VIEW, VIEW, exact=True).eval()
    batch = _batch(torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8))
    with torch.inference_mode():
        expected = detector.score(batch).logits
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(detector.score(batch).logits, expected)


def test_float_images_are_unit_range() -> None:
    detector = _trained_like()
    image = torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8)
    with torch.inference_mode():
        assert torch.equal(detector(image), detector(image.float() / 255))


def test_five_crops_share_the_label_of_their_image() -> None:
    detector = _trained_like()
    images = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8)
    one = torch.arange(2)
    batch = Batch(images, torch.tensor([0, 1]), one, one, torch.tensor([0, 0, 1, 1]), one)
    logits = detector.score(batch).logits
    expected = torch.nn.functional.softplus(torch.cat([logits[:2], -logits[2:]])).mean()
    assert torch.allclose(detector.loss(batch), expected)


def test_published_form_of_npr_pth_loads(tmp_path: Path) -> None:
    source, target = _trained_like(0), _trained_like(1)
    torch.save({"model": {f"module.{k}": v for k, v in source.net.state_dict().items()}}, tmp_path / "NPR.pth")
    load_weights(target, tmp_path / "NPR.pth")
    assert torch.equal(target.net.fc1.weight, source.net.fc1.weight)
    torch.save({"state_dict": source.state_dict(), "epoch": 1}, tmp_path / "ours.ckpt")
    load_weights(_trained_like(2), tmp_path / "ours.ckpt")


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    from torchvision.models import resnet50

    torch.save(resnet50().state_dict(), tmp_path / "resnet50.pth")
    with pytest.raises(CheckpointError, match=r"missing: fc1\.bias, fc1\.weight\n .*unexpected: fc\.bias"):
        load_weights(NPR(VIEW, VIEW), tmp_path / "resnet50.pth")


def test_exact_cannot_be_compiled() -> None:
    with pytest.raises(ConfigError, match="exact=true"):
        NPR(VIEW, VIEW, exact=True, compile=True)


@pytest.mark.slow
def test_compiled_agrees_within_1e_5() -> None:
    plain, compiled = _trained_like(), NPR(VIEW, VIEW, compile=True).eval()
    compiled.load_state_dict(plain.state_dict())
    compiled.configure_model()
    assert list(compiled.state_dict()) == list(plain.state_dict())
    batch = _batch(torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8))
    with torch.inference_mode():
        assert torch.allclose(compiled.score(batch).logits, plain.score(batch).logits, atol=1e-5, rtol=0)
