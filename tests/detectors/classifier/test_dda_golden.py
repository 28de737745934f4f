"""DDA's net and objective against the numbers of its authors' code, loaded by its released names."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
import zoo_golden as zoo
from timm.layers import LayerNorm

import detectors.classifier.detector
from contracts.normalisations import NORMALISATIONS
from contracts.view import View
from datamodules.loading.transforms import evaluation_views
from detectors.backbones.backbones import Backbone
from detectors.classifier.detector import Classifier
from detectors.parts.normalise import IMAGENET_MEAN, IMAGENET_STD
from detectors.parts.training.contrast import pair_contrast
from detectors.parts.weights import load_weights

pytestmark = pytest.mark.golden


@pytest.fixture(scope="module")
def golden(golden_path: Callable[[str], Path]) -> dict[str, Any]:
    with np.load(golden_path("zoo_dda.npz"), allow_pickle=False) as file:
        return dict(file)


@pytest.mark.parametrize("trained", [False, True])
def test_the_net(golden: dict[str, Any], trained: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    patch, width, layers, heads, _, side = golden["toy_config_patch_width_layers_heads_pos_crop"].tolist()
    net = timm.models.VisionTransformer(
        side, patch, embed_dim=width, depth=layers, num_heads=heads, num_classes=0, init_values=1e-5,
        norm_layer=partial(LayerNorm, eps=1e-6),
    )  # fmt: skip
    record = Backbone(
        net,
        IMAGENET_MEAN,
        IMAGENET_STD,
        side,
        True,
        name="timm/vit_large_patch14_dinov2",
        feature_dim=width,
        sha256=None,
    )
    monkeypatch.setattr(detectors.classifier.detector, "create_backbone", lambda *_: record)
    view = View(crop=side, fill="zero")
    state = zoo.weights(golden, "lora")
    rank = next(value.shape[0] for key, value in state.items() if key.endswith("lora_A"))
    detector = Classifier(
        "timm/vit_large_patch14_dinov2", tune="lora", rank=rank, alpha=1, positions="dinov2", normalisation="clip",
        train_view=view, eval_view=view,
    ).eval()  # fmt: skip
    if not trained:
        state = {key: value * 0 if key.endswith("lora_B") else value for key, value in state.items()}
    torch.save({"model": state}, tmp_path / "dda.pth")
    load_weights(detector, tmp_path / "dda.pth")
    zoo.close(net.pos_embed[0, 1:, :8], golden["pos_interpolated_f32"], 3e-5)
    crops = torch.stack([evaluation_views(image, view, 0)[0] for image in zoo.images(golden)])
    inputs = detectors.classifier.detector.normalise(crops, *NORMALISATIONS["clip"])
    zoo.close(inputs.double().sum((2, 3)), golden["input_sum_f64"], 0.05)
    step = -(-side // golden["input_sample_f32"].shape[-1])
    zoo.close(inputs[:, :, ::step, ::step], golden["input_sample_f32"], 1e-6)
    name = "" if trained else "init_"
    zoo.close(detector.net.features(inputs), golden[f"{name}feature_f32"], 2e-5)
    logits = detector(crops)
    zoo.close(logits[:, None], golden[f"{name}logit_f32"], 2e-5)
    if trained:
        zoo.close(logits[:, None].sigmoid(), golden["prob_f32"], 2e-5)


@pytest.mark.parametrize("k", [0, 1, 2])
def test_the_objective(golden: dict[str, Any], k: int) -> None:
    features, labels, logits = (
        torch.from_numpy(golden[f"loss{k}_{name}"]) for name in ("features_f32", "labels", "logits_f32")
    )
    features.requires_grad_()
    contrast, entropy, total = golden[f"loss{k}_contrastive_bce_total_f32"].tolist()
    found = pair_contrast(features, labels)
    zoo.close(found, contrast, 2e-6)
    zoo.close(F.binary_cross_entropy_with_logits(logits, labels), entropy, 2e-6)
    zoo.close(0.5 * found + 0.5 * F.binary_cross_entropy_with_logits(logits, labels), total, 2e-6)
    found.backward()
    assert bool(features.grad.isfinite().all())
