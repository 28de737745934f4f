import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from golden_fill import filled
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from contracts.batch import Batch
from contracts.errors import CheckpointError, ConfigError
from contracts.view import View
from detectors.npr.multiscale import NPRMultiScale, entropy
from detectors.npr.residual import nearest_sources, scale_residual
from detectors.parts.normalise import normalise
from detectors.parts.weights import load_weights

VIEW = View()


def _batch(images: Tensor) -> Batch:
    rows = torch.arange(len(images))
    return Batch(images, rows % 2, rows, rows, rows, rows)


def _pixels(b: int, h: int = 32, w: int = 32) -> Tensor:
    return torch.randint(0, 256, (b, 3, h, w), dtype=torch.uint8, generator=torch.Generator().manual_seed(b))


@pytest.fixture(scope="module")
def golden(golden_path: Callable[[str], Path]) -> dict[str, Any]:
    with np.load(golden_path("npr_multiscale.npz"), allow_pickle=False) as file:
        return dict(file)


def _families(golden: dict[str, Any]) -> list[str]:
    return [key.removesuffix("_scales") for key in golden if key.endswith("_scales")]


def _golden_detector(golden: dict[str, Any], family: str, exact: bool) -> NPRMultiScale:
    detector = NPRMultiScale(VIEW, VIEW, scales=golden[f"{family}_scales"].tolist(), exact=exact).eval()
    detector.configure_model()
    state = dict(detector.net.state_dict())
    scales = state.pop("scales")
    state = filled(state, int(golden[f"{family}_fillseed"]))
    assert sorted(state) == sorted(golden[f"{family}_keys"])
    rows = zip(golden[f"{family}_keys"], golden[f"{family}_shapes"], golden[f"{family}_fillsum"], strict=True)
    for name, shape, total in rows:
        assert ",".join(map(str, state[name].shape)) == shape
        assert float(state[name].double().sum()) == pytest.approx(float(total), abs=1e-9), name
    detector.net.load_state_dict({**state, "scales": scales})
    return detector


@pytest.mark.golden
@pytest.mark.parametrize(("exact", "tolerance"), [(True, 1e-6), (False, 1e-5)])
def test_golden_logits_and_attention(golden: dict[str, Any], exact: bool, tolerance: float) -> None:
    for family in _families(golden):
        detector = _golden_detector(golden, family, exact)
        for index, expected in enumerate(golden[f"{family}_logits_f32"]):
            image = torch.from_numpy(golden[f"image_{index}"]).permute(2, 0, 1)[None]
            with torch.inference_mode():
                scores = detector.score(_batch(image))
            assert float(scores.logits) == pytest.approx(float(expected), abs=tolerance), (family, index)
            attention = golden[f"{family}_attention_f32"][index]
            np.testing.assert_allclose(scores.extras["attention"][0].numpy(), attention, rtol=0, atol=tolerance)


@pytest.mark.golden
def test_golden_details(golden: dict[str, Any]) -> None:
    image = torch.from_numpy(golden[f"image_{int(golden['detail_index'])}"]).permute(2, 0, 1)[None]
    normalised = normalise(image)
    for key in golden:
        if key.startswith("detail_npr_residual_scale"):
            scale = float(key.removeprefix("detail_npr_residual_scale").removesuffix("_f32"))
            assert np.array_equal(scale_residual(normalised, scale)[0].numpy(), golden[key]), key
    for family in _families(golden):
        with torch.inference_mode():
            features = _golden_detector(golden, family, exact=True).net.features(normalised)[0]
        np.testing.assert_allclose(features, golden[f"{family}_detail_branch_features_f32"], rtol=0, atol=2e-6)


def _plain(x: Tensor, scale: float) -> Tensor:
    small = F.interpolate(x, scale_factor=scale, mode="nearest")
    return x - F.interpolate(small, scale_factor=1 / scale, mode="nearest")


@pytest.mark.parametrize("size", [(8, 12), (224, 252), (256, 512)])
@pytest.mark.parametrize("scale", [0.25, 0.5, 0.75])
def test_residuals_are_bit_identical_where_the_original_works(size: tuple[int, int], scale: float) -> None:
    x = torch.randn(1, 3, *size)
    assert torch.equal(scale_residual(x, scale), _plain(x, scale))


@settings(max_examples=60)
@given(st.integers(1, 600), st.floats(0.01, 0.99))
def test_any_scale_and_size_work(size: int, scale: float) -> None:
    small = int(size * scale)
    if small < 1:
        with pytest.raises(ConfigError, match="leaves no pixel"):
            nearest_sources(size, scale)
        return
    sources = nearest_sources(size, scale)
    down = torch.arange(small) * size // small
    assert torch.equal(sources, down[torch.arange(size) * small // size])
    assert sources[0] == 0
    assert (sources.diff() >= 0).all()
    assert (sources <= torch.arange(size)).all()
    assert len(sources.unique()) == small


@pytest.mark.parametrize("scales", [(0.2, 0.4, 0.6, 0.8), (0.1, 0.2, 0.3), (0.33,), (0.6, 0.7, 0.8, 0.9)])
def test_the_seeds_own_examples_run_at_odd_sizes(scales: tuple[float, ...]) -> None:
    detector = NPRMultiScale(VIEW, VIEW, scales=scales).eval()
    scores = detector.score(_batch(_pixels(2, 45, 37)))
    attention = scores.extras["attention"]
    assert attention.shape == (2, len(scales))
    assert torch.allclose(attention.sum(1), torch.ones(2))


def test_fast_and_exact_agree_after_training() -> None:
    torch.manual_seed(0)
    fast, exact = NPRMultiScale(VIEW, VIEW), NPRMultiScale(VIEW, VIEW, exact=True).eval()
    fast.train().loss(_batch(_pixels(4)))  # moves the running statistics
    fast.eval()
    exact.load_state_dict(fast.state_dict())
    with torch.inference_mode():
        one, other = (detector.score(_batch(_pixels(3))) for detector in (fast, exact))
    assert torch.allclose(one.logits, other.logits, atol=1e-5, rtol=0)
    assert torch.allclose(one.extras["attention"], other.extras["attention"], atol=1e-5, rtol=0)


def test_entropy_weight_has_the_sign_it_says() -> None:
    def moved(weight: float) -> float:
        torch.manual_seed(0)
        detector = NPRMultiScale(VIEW, VIEW, dropout=0.0, entropy_weight=weight).eval()
        bias = detector.net.attention_fusion.attention_net[3].bias
        batch = _batch(_pixels(2))

        def now() -> float:
            return float(entropy(detector.score(batch).extras["attention"].detach()).mean())

        before = now()
        for _ in range(5):
            detector.zero_grad()
            detector.loss(batch).backward()
            bias.data.sub_(bias.grad, alpha=0.02)  # type: ignore[union-attr, operator, arg-type]
        return now() - before

    assert moved(10.0) > 0.005
    assert moved(-10.0) < -0.005


def test_entropy_of_known_weights() -> None:
    weights = torch.tensor([[1.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3], [0.5, 0.5, 0.0]])
    assert torch.allclose(entropy(weights), torch.tensor([0.0, math.log(3), math.log(2)]))


def test_residual_fusion_changes_scores_and_learns() -> None:
    detector = NPRMultiScale(VIEW, VIEW, residual_fusion=True).eval()
    plain = NPRMultiScale(VIEW, VIEW).eval()
    state = {key: value for key, value in detector.state_dict().items() if not key.endswith("residual_weight")}
    plain.load_state_dict(state)
    batch = _batch(_pixels(2))
    assert not torch.allclose(detector.score(batch).logits, plain.score(batch).logits, atol=1e-3)
    detector.loss(batch).backward()
    assert detector.net.residual_weight is not None
    assert detector.net.residual_weight.grad is not None
    assert float(detector.net.residual_weight.grad.abs()) > 0


def test_branches_may_be_any_backbone_and_features_any_length() -> None:
    detector = NPRMultiScale(
        VIEW, VIEW, scales=(0.5, 0.75), branch="timm/test_efficientnet", feature_dim=24, reduction=8
    )
    assert detector.eval().net.features(torch.randn(2, 3, 40, 40)).shape == (2, 2, 24)
    wide = NPRMultiScale(VIEW, VIEW, feature_dim=256, reduction=2)
    assert wide.net.attention_fusion.attention_net[0].weight.shape == (128, 768)


def test_extension_checkpoints_load_and_ours_keep_their_scales(tmp_path: Path) -> None:
    source = NPRMultiScale(VIEW, VIEW, scales=(0.25, 0.5))
    extension = {key: value for key, value in source.net.state_dict().items() if key != "scales"}
    torch.save({"model_state_dict": extension, "epoch": 3, "loss": 0.1}, tmp_path / "theirs.pth")
    torch.save({"state_dict": source.state_dict()}, tmp_path / "ours.ckpt")
    target = NPRMultiScale(VIEW, VIEW, scales=(0.25, 0.5))
    for name in ("theirs.pth", "ours.ckpt"):
        torch.nn.init.zeros_(target.net.classifier.weight)
        load_weights(target, tmp_path / name)
        assert torch.equal(target.net.classifier.weight, source.net.classifier.weight), name
    with pytest.raises(CheckpointError, match=r"has 2 branches, detector\.scales=\[0\.25, 0\.5, 0\.75\] has 3"):
        load_weights(NPRMultiScale(VIEW, VIEW), tmp_path / "theirs.pth")
    other = NPRMultiScale(VIEW, VIEW, scales=(0.5, 0.25))
    with pytest.raises(CheckpointError, match=r"Set detector\.scales=\[0\.25,0\.5\]"):
        load_weights(other, tmp_path / "ours.ckpt")
    with pytest.raises(CheckpointError, match="was trained with scales"):
        other.load_state_dict(source.state_dict())


def test_attention_means_are_logged_while_training(monkeypatch: pytest.MonkeyPatch) -> None:
    detector = NPRMultiScale(VIEW, VIEW, scales=(0.25, 0.5))
    logged: dict[str, Tensor] = {}
    monkeypatch.setattr(detector, "log", lambda name, value, **_: logged.update({name: value}))
    monkeypatch.setattr(detector, "log_dict", lambda values, **_: logged.update(values))
    detector.training_step(_batch(_pixels(2)), 0)
    assert set(logged) == {"train/loss", "train/attention_0.25", "train/attention_0.5", "train/attention_entropy"}
    assert float(logged["train/attention_0.25"] + logged["train/attention_0.5"]) == pytest.approx(1)


def test_bf16_scores_and_attention_leave_in_float32() -> None:
    detector = NPRMultiScale(VIEW, VIEW).eval()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        scores = detector.score(_batch(_pixels(2)))
    for values in (scores.logits, scores.extras["attention"]):
        assert values.dtype == torch.float32
        assert not torch.equal(values, values.to(torch.bfloat16).float())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scales": [0.5, 1.0]}, r"scales=\[0\.5, 1\.0\] holds 1"),
        ({"scales": []}, r"scales=\[\]"),
        ({"scales": [0.5, 0.5]}, "different factors"),
        ({"reduction": 256}, "leaves no hidden unit"),
        ({"exact": True, "compile": True}, "exact=true"),
        ({"branch": "efficientnet_b00"}, "did you mean 'efficientnet_b0'"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        NPRMultiScale(VIEW, VIEW, **options)
