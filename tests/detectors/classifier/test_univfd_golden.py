"""UnivFD against the numbers of its authors' code."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zoo_golden as zoo
from golden_fill import draw

import detectors.classifier.detector
from benchmarks.metrics import METRICS
from benchmarks.oracle import oracle_accuracy, oracle_threshold
from contracts.normalisations import NORMALISATIONS
from contracts.view import View
from datamodules.loading.transforms import evaluation_views
from detectors.backbones.backbones import Backbone
from detectors.backbones.library import Built
from detectors.classifier.detector import Classifier
from detectors.parts.normalise import normalise
from detectors.parts.training.degradations import blur, jpeg
from detectors.parts.weights import load_weights

pytestmark = pytest.mark.golden


@pytest.fixture(scope="module")
def golden(golden_path: Callable[[str], Path]) -> dict[str, Any]:
    with np.load(golden_path("zoo_univfd.npz"), allow_pickle=False) as file:
        return dict(file)


@pytest.fixture(scope="module")
def crops(golden: dict[str, Any]) -> torch.Tensor:
    view = View(crop=224, fill="zero")
    return torch.stack([evaluation_views(image, view, 0)[0] for image in zoo.images(golden)])


def test_crops(golden: dict[str, Any], crops: torch.Tensor) -> None:
    for k, crop in enumerate(crops):
        pixels = np.ascontiguousarray(crop.permute(1, 2, 0).numpy())
        assert int(pixels.astype(np.int64).sum()) == golden["crop_sum_int"][k]
        assert sha256(pixels.tobytes()).hexdigest() == golden["crop_sha256"][k]
    inputs = normalise(crops, *NORMALISATIONS["clip"])
    zoo.close(inputs.double().sum((2, 3)), golden["input_sum_f64"], 0.02)
    step = -(-inputs.shape[-1] // golden["input_sample_f32"].shape[-1])
    zoo.close(inputs[:, :, ::step, ::step], golden["input_sample_f32"], 1e-6)


def test_scores(golden: dict[str, Any], crops: torch.Tensor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    width = golden["features_f32"].shape[1]
    built = Built(zoo.clip_tower(golden), *NORMALISATIONS["clip"], 224, True)
    record = Backbone(**vars(built), name="timm/test_vit", feature_dim=width, sha256=None)
    monkeypatch.setattr(detectors.classifier.detector, "create_backbone", lambda *_: record)
    detector = Classifier("timm/test_vit", mode="probe", eval_view=View(crop=224, fill="zero")).eval()
    zoo.close(detector.frozen_part().features(crops), golden["features_f32"], 2e-5)
    head = zoo.weights(golden, "fc")
    for state in (head, {f"fc.{key}": value for key, value in head.items()}):
        torch.save(state, tmp_path / "fc_weights.pth")
        load_weights(detector, tmp_path / "fc_weights.pth")
        logits = detector(crops)
        zoo.close(logits[:, None], golden["logits_f32"], 2e-5)
        zoo.close(logits[:, None].sigmoid(), golden["prob_f32"], 2e-5)


def test_the_released_head(golden: dict[str, Any], golden_dir: Path) -> None:
    assert golden["official_keys"].tolist() == ["weight", "bias"]
    file = golden_dir / "fc_weights.pth"
    if file.exists():  # not ours to include
        state = torch.load(file, map_location="cpu", weights_only=True)
        shape = (len(golden["official_logits_f32"]), state["weight"].shape[1])
        features = draw("ufd_official_features", shape, int(golden["fc_fillseed"])) * golden["official_feature_gain"]
        logits = torch.nn.functional.linear(torch.from_numpy(features).float(), state["weight"], state["bias"])
        zoo.close(logits, golden["official_logits_f32"], 5e-6)


def test_degradations(golden: dict[str, Any]) -> None:
    image = zoo.image(golden, "degrade_image")
    for key in (key for key in golden if key.startswith("blur_sigma")):
        sigma = float(key.removeprefix("blur_sigma").removesuffix("_u8"))
        zoo.close(blur(image, sigma, truncate=True).permute(1, 2, 0), golden[key], 0)
    shift = blur(image, 2).double().mean() - blur(image, 2, truncate=True).double().mean()
    assert 0.5 < float(shift) < 1.5
    for key in (key for key in golden if key.startswith("jpeg_q")):
        zoo.close(jpeg(image, int(key.removeprefix("jpeg_q").removesuffix("_u8"))).permute(1, 2, 0), golden[key], 0)


@pytest.mark.parametrize("k", [0, 1])
def test_the_oracle_threshold(golden: dict[str, Any], k: int) -> None:
    scores, labels = golden[f"threshold{k}_scores"], golden["threshold_labels"].astype(np.int64)
    best = oracle_threshold(scores, labels)
    assert best == float(golden[f"threshold{k}_best"])
    for threshold, name in ((best, "r_f_acc"), (0.5, "r_f_acc_at_half")):
        real, generated, both = golden[f"threshold{k}_{name}"].tolist()
        assert METRICS["specificity"](scores, labels, threshold) == pytest.approx(real)
        assert METRICS["recall"](scores, labels, threshold) == pytest.approx(generated)
        assert METRICS["accuracy"](scores, labels, threshold) == pytest.approx(both)
    assert oracle_accuracy(scores, labels, 0.5) == pytest.approx(golden[f"threshold{k}_r_f_acc"][2])
