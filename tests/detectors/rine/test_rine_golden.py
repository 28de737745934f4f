"""RINE against the numbers of its authors' code."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zoo_golden as zoo
from golden_fill import draw
from torchvision.transforms import Normalize

import detectors.backbones.on_frozen
from benchmarks.fusion import mean_logit
from contracts.batch import Batch
from contracts.normalisations import NORMALISATIONS
from contracts.view import View
from datamodules.loading.transforms import evaluation_views
from detectors.backbones.backbones import Backbone
from detectors.parts.weights import load_weights
from detectors.rine.detector import RINE
from detectors.rine.net import RineNet, supervised_contrast

pytestmark = pytest.mark.golden
HEADS = ("head_a", "head_b")


@pytest.fixture(scope="module")
def golden(golden_path: Callable[[str], Path]) -> dict[str, Any]:
    with np.load(golden_path("zoo_rine.npz"), allow_pickle=False) as file:
        return dict(file)


@pytest.fixture
def make(golden: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., RINE]:
    """A detector on the toy tower, with a head loaded from a file as it was released."""

    def made(head: str, **options: Any) -> RINE:
        tower = zoo.clip_tower(golden)
        side = int(golden["toy_config_patch_width_layers_heads_embed_res"][-1])
        record = Backbone(tower, *NORMALISATIONS["clip"], side, True, name="toy", feature_dim=48, sha256=None)
        monkeypatch.setattr(detectors.backbones.on_frozen, "create_backbone", lambda *_: record)
        layers, dim = golden[f"{head}_nproj_dim"].tolist()
        detector = RINE("toy", layers=layers, dim=dim, **options).eval()
        state = zoo.weights(golden, head)
        assert set(detector.net.state_dict()) == set(state)
        torch.save(state, tmp_path / "head.pth")
        load_weights(detector, tmp_path / "head.pth")
        return detector

    return made


def _batch(images: torch.Tensor, golden: dict[str, Any]) -> Batch:
    order = torch.arange(len(images))
    return Batch(images, torch.from_numpy(golden["labels"]), order, order, order, order)


@pytest.fixture(scope="module")
def crops(golden: dict[str, Any]) -> torch.Tensor:
    """Every image by the view that conf/detector/rine.yaml evaluates."""
    view = View(crop=224, fill="zero")
    return torch.stack([evaluation_views(image, view, 0)[0] for image in zoo.images(golden)])


def test_inputs_and_tokens(golden: dict[str, Any], make: Callable[..., RINE], crops: torch.Tensor) -> None:
    detector = make("head_a")
    inputs = detector.normalised(crops)
    zoo.close(inputs.double().sum((2, 3)), golden["input_sum_f64"], 0.02)
    step = math.ceil(inputs.shape[-1] / golden["input_sample_f32"].shape[-1])
    zoo.close(inputs[:, :, ::step, ::step], golden["input_sample_f32"], 1e-6)
    zoo.close(detector.tokens(crops), golden["cls_ln2_f32"], 2e-5)
    names = [name for name, part in detector.record.module.named_modules() if part in detector.net.backbone.module.taps]
    assert names == golden["hook_names"].tolist()


@pytest.mark.parametrize("head", HEADS)
def test_scores_losses_and_gradients(
    golden: dict[str, Any], make: Callable[..., RINE], crops: torch.Tensor, head: str
) -> None:
    detector = make(head, contrast=0.2)
    tokens = detector.tokens(crops)
    logits, embeddings = detector.net(tokens)
    zoo.close(logits[:, None], golden[f"{head}_logit_f32"], 1e-5)
    zoo.close(embeddings, golden[f"{head}_z_f32"], 1e-5)
    zoo.close(detector.net.pooled(tokens), golden[f"{head}_pooled_before_proj2_f32"], 1e-5)
    batch = _batch(crops, golden)
    zoo.close(detector.score(batch).logits[:, None], golden[f"{head}_logit_f32"], 1e-5)
    kept = detector.frozen_part().features(crops)
    zoo.close(detector.score(batch._replace(images=kept)).logits[:, None], golden[f"{head}_logit_f32"], 1e-5)
    entropy, contrast, total = golden[f"{head}_loss_bce_supcon_total_f32"].tolist()
    loss = detector.loss(batch)
    zoo.close(loss, total, 2e-5)
    found = supervised_contrast(embeddings, batch.label)
    zoo.close(found, contrast, 2e-5)
    zoo.close(loss - 0.2 * found, entropy, 2e-5)
    loss.backward()
    zoo.close(detector.net.alpha.grad, golden[f"{head}_grad_alpha_f32"], 3e-6)
    norms = dict(zip(golden[f"{head}_grad_norms_keys"], golden[f"{head}_grad_norms_f32"], strict=True))
    for key, parameter in detector.net.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None
            assert float(parameter.grad.norm()) == pytest.approx(float(norms.pop(key)), abs=2e-5, rel=1e-5), key
    assert not norms


@pytest.mark.parametrize("head", HEADS)
def test_ten_crops(golden: dict[str, Any], make: Callable[..., RINE], head: str) -> None:
    detector = make(head)
    image = zoo.image(golden, f"image_{int(golden['tencrop_index'])}")
    ten = torch.stack(evaluation_views(image, View(crop=224, crops="ten"), 0))
    logits = detector.net(detector.tokens(ten))[0].detach()
    zoo.close(logits[:, None], golden[f"{head}_tencrop_logits_f32"], 1e-5)
    fused = torch.from_numpy(mean_logit(logits.double().numpy()[None]))
    zoo.close(fused.sigmoid(), golden[f"{head}_tencrop_score_f32"], 1e-5)


def test_the_contrastive_term(golden: dict[str, Any]) -> None:
    for k in range(sum(key.endswith("_loss_f64") and key.startswith("supcon") for key in golden)):
        features, labels = (torch.from_numpy(golden[f"supcon{k}_{name}"]) for name in ("features_f32", "labels"))
        zoo.close(supervised_contrast(features, labels), golden[f"supcon{k}_loss_f32"], 5e-6)
        zoo.close(supervised_contrast(features.double(), labels), golden[f"supcon{k}_loss_f64"], 5e-6)


def test_the_released_head(golden: dict[str, Any], golden_dir: Path) -> None:
    net = RineNet(torch.nn.Identity(), 24, 1024, 4, 128).eval()
    assert set(net.state_dict()) == set(golden["official2_keys"])
    shape = (len(golden["official2_g_sum_f64"]), 24, 1024)
    seeds = (1000, int(golden["clip_fillseed"]))  # the file does not say which
    made = [(draw("rine_official_g", shape, seed) * math.sqrt(24 * 1024)).astype(np.float32) for seed in seeds]
    g = min(made, key=lambda g: np.abs(g.astype(np.float64).sum((1, 2)) - golden["official2_g_sum_f64"]).max())
    zoo.close(g.astype(np.float64).sum((1, 2)), golden["official2_g_sum_f64"], 1e-3)
    file = golden_dir / "model_2class_trainable.pth"
    if file.exists():  # not ours to include
        net.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
        logits, z = net(torch.from_numpy(g))
        zoo.close(logits[:, None], golden["official2_logit_f32"], 5e-6)
        zoo.close(z, golden["official2_z_f32"], 5e-6)


def test_the_view_normalises_as_torchvision(crops: torch.Tensor, make: Callable[..., RINE]) -> None:
    wanted = Normalize(*NORMALISATIONS["clip"])(crops.float() / 255)
    zoo.close(make("head_a").normalised(crops), wanted, 1e-6)
