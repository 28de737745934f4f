"""Effort's split of attention matrices against the numbers of its authors' code, loaded by its released names."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import zoo_golden as zoo
from timm.layers import LayerNorm
from torch import Tensor

import detectors.classifier.detector
from contracts.batch import Batch
from contracts.normalisations import NORMALISATIONS
from contracts.view import View
from datamodules.loading.transforms import evaluation_views
from detectors.backbones.backbones import Backbone
from detectors.backbones.hf_clip import from_hf_clip
from detectors.backbones.library import Built
from detectors.classifier.detector import Classifier
from detectors.classifier.svd import Split, splits
from detectors.parts.weights import load_weights

pytestmark = pytest.mark.golden
CASES = ("r1", "rk")
LETTERS = {"q": 0, "k": 1, "v": 2}


@pytest.fixture(scope="module")
def golden(golden_path: Callable[[str], Path]) -> dict[str, Any]:
    with np.load(golden_path("zoo_effort.npz"), allow_pickle=False) as file:
        return dict(file)


@pytest.fixture(scope="module")
def crops(golden: dict[str, Any]) -> Tensor:
    view = View(crop=224, fill="zero")
    return torch.stack([evaluation_views(image, view, 0)[0] for image in zoo.images(golden)])


def tower(golden: dict[str, Any]) -> torch.nn.Module:
    """timm's transformer with the toy's weights, read under the names of transformers."""
    patch, width, layers, heads, hidden, side = golden["toy_config_patch_width_layers_heads_mlp_res"].tolist()
    net = timm.models.VisionTransformer(
        side, patch, embed_dim=width, depth=layers, num_heads=heads, mlp_ratio=hidden / width, num_classes=0,
        pre_norm=True, act_layer="quick_gelu", norm_layer=partial(LayerNorm, eps=1e-5),
    )  # fmt: skip
    net.load_state_dict(from_hf_clip(zoo.weights(golden, "clip")))
    return net.eval()


@pytest.fixture
def make(golden: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Classifier]:
    def made(case: str, **options: Any) -> Classifier:
        width = golden["pooler_base_f32"].shape[1]
        built = Built(tower(golden), *NORMALISATIONS["clip"], 224, True)
        record = Backbone(**vars(built), name="timm/test_vit", feature_dim=width, sha256=None)
        monkeypatch.setattr(detectors.classifier.detector, "create_backbone", lambda *_: record)
        rank = width - int(golden[f"{case}_r"])
        return Classifier("timm/test_vit", tune="svd", rank=rank, eval_view=View(crop=224), **options).eval()

    return made


def features(detector: Classifier, crops: Tensor) -> Tensor:
    return detector.net.features(detector.to_memory_format(normalised(detector, crops)))


def normalised(detector: Classifier, crops: Tensor) -> Tensor:
    return detectors.classifier.detector.normalise(crops, detector.mean, detector.std)


def matrices(detector: Classifier, names: list[str]) -> list[tuple[Split, int, Tensor]]:
    """Of each module of the original: our split, which part of it, and what is kept of that part."""
    found = []
    by_name = dict(detector.net.backbone.named_modules())
    for name in names:
        _, _, layer, _, projection = name.split(".")
        letter = projection[0]
        place = "proj" if projection == "out_proj" else "qkv"
        holder = by_name[f"blocks.{layer}.attn.{place}.parametrizations.weight"]
        split = holder[0]
        part = 0 if place == "proj" else LETTERS[letter]
        found.append((split, part, holder.original.unflatten(0, (len(split.S), -1))[part]))
    return found


def test_the_plain_net(golden: dict[str, Any], crops: Tensor) -> None:
    net = tower(golden)
    zoo.close(
        net(detectors.classifier.detector.normalise(crops, *NORMALISATIONS["clip"])), golden["pooler_base_f32"], 5e-5
    )


@pytest.mark.parametrize("case", CASES)
def test_the_start(golden: dict[str, Any], make: Callable[..., Classifier], crops: Tensor, case: str) -> None:
    detector = make(case, regulariser=1.0)
    zoo.close(features(detector, crops), golden[f"{case}_pooler_init_f32"], 5e-5)
    names = golden[f"{case}_modules"].tolist()
    trained = sum(p.numel() for p in detector.net.backbone.parameters() if p.requires_grad)
    assert trained == int(golden[f"{case}_trainable_count"])
    assert len(golden[f"{case}_trainable_names"]) == 3 * len(names)
    for k, (split, part, kept) in enumerate(matrices(detector, names)):
        zoo.close(split.S[part], golden[f"{case}_S_residual_f32"][k], 2e-6)
        orth, change = (float(one[part].detach()) for one in split.penalty(_main(split, detector)))
        assert orth < 2e-5 > float(golden[f"{case}_init_orth_f32"][k])
        assert change < 1e-4 > float(golden[f"{case}_init_keepsv_f32"][k])
        whole = kept + split.residual().unflatten(0, (len(split.S), -1))[part]
        norms = [float(torch.linalg.matrix_norm(m.detach())) for m in (whole, kept)]
        assert norms == pytest.approx(golden[f"{case}_fnorm_original_main_f32"][k].tolist(), abs=5e-5)
        assert float(whole.detach().square().sum()) == pytest.approx(float(golden[f"{case}_init_fn2_f32"][k]), abs=5e-4)
        if k == 0:  # the first module, whatever the key says
            residual = split.residual().unflatten(0, (len(split.S), -1))[part]
            zoo.close(residual, golden[f"{case}_q0_residual_matrix_f32"], 5e-6)
            if f"{case}_q0_weight_main_f32" in golden:
                zoo.close(kept, golden[f"{case}_q0_weight_main_f32"], 5e-6)


def _main(split: Split, detector: Classifier) -> Tensor:
    return next(main for found, main in splits(detector.net.backbone) if found is split)


def released(golden: dict[str, Any], case: str, keys: str, detector: Classifier) -> dict[str, Tensor]:
    """A checkpoint of the authors' with the stored displacement: their names, one entry a matrix, a head of two."""
    plain = zoo.weights(golden, "clip")
    names = golden[f"{case}_modules"].tolist()
    state = {}
    for k, (name, (_, _, kept)) in enumerate(zip(names, matrices(detector, names), strict=True)):
        for tensor in golden[f"{case}_{keys}"].tolist():
            stored = f"{case}_moved_{tensor[0]}_f32"
            state[f"{name}.{tensor}"] = (
                kept.detach().clone() if tensor == "weight_main"
                else plain.pop(f"{name}.bias") if tensor == "bias"
                else torch.zeros(1) if tensor.endswith("_r")
                else torch.from_numpy(golden[stored][k])
            )  # fmt: skip
        del plain[f"{name}.weight"]
    return {**plain, **state}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    ("keys", "prefix", "head"),
    [("module_state_keys", "backbone.", "head"), ("ufd_module_state_keys", "model.vision_model.", "fc")],
)
def test_a_trained_checkpoint(
    golden: dict[str, Any],
    make: Callable[..., Classifier],
    crops: Tensor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    case: str,
    keys: str,
    prefix: str,
    head: str,
) -> None:
    detector = make(case, regulariser=1.0)
    state = {f"{prefix}{key}": value for key, value in released(golden, case, keys, detector).items()}
    state |= {f"{head}.{key}": value for key, value in zoo.weights(golden, f"{case}_head2").items()}
    torch.save({"model": state} if head == "fc" else state, tmp_path / "effort.pth")
    load_weights(detector, tmp_path / "effort.pth")
    moved = features(detector, crops)
    zoo.close(moved, golden[f"{case}_moved_pooler_f32"], 5e-5)
    logits = detector(crops)
    two = golden[f"{case}_moved_logits2_f32"]
    zoo.close(logits, two[:, 1] - two[:, 0], 5e-5)
    zoo.close(logits.sigmoid(), golden[f"{case}_moved_prob_f32"], 1e-5)
    labels = torch.from_numpy(golden["labels"])
    order = torch.arange(len(crops))
    batch = Batch(crops, labels, order, order, order, order)
    entropies = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels.float(), reduction="none")
    overall = [entropies.mean(), entropies[labels == 0].mean(), entropies[labels == 1].mean()]
    zoo.close(torch.stack(overall), golden[f"{case}_moved_loss_overall_real_fake_f32"], 1e-5)
    penalty, total = golden[f"{case}_moved_reg_total_f32"].tolist()
    loss = detector.loss(batch)
    zoo.close(loss, total, 1e-4)
    zoo.close(loss - overall[0], penalty, 1e-4)
    loss.backward()
    names = golden[f"{case}_modules"].tolist()
    current = torch.zeros_like(next(iter(matrices(detector, names)))[2])
    for k, (split, part, kept) in enumerate(matrices(detector, names)):
        orth, change = (float(one[part].detach()) for one in split.penalty(_main(split, detector)))
        assert orth == pytest.approx(float(golden[f"{case}_moved_orth_f32"][k]), abs=3e-5)
        assert change == pytest.approx(float(golden[f"{case}_moved_keepsv_f32"][k]), abs=5e-4)
        whole = kept + split.residual().unflatten(0, (len(split.S), -1))[part]
        assert float(whole.detach().square().sum()) == pytest.approx(
            float(golden[f"{case}_moved_fn2_f32"][k]), abs=5e-4
        )
        current += whole.detach()
        zoo.close(split.S.grad[part], golden[f"{case}_moved_grad_S_f32"][k], 2e-6)
        if k == 0:
            zoo.close(split.U.grad[part], golden[f"{case}_moved_grad_U0_f32"], 2e-6)
            zoo.close(split.V.grad[part], golden[f"{case}_moved_grad_V0_f32"], 2e-6)
    effective = -torch.linalg.svdvals(current).mean()  # the authors' third penalty, of the sum of all matrices
    assert float(effective) == pytest.approx(float(golden[f"{case}_moved_weight_loss_f32"]), abs=1e-5)
    record = replace(detector.record, module=tower(golden))
    monkeypatch.setattr(detectors.classifier.detector, "create_backbone", lambda *_: record)
    plain = Classifier("timm/test_vit", eval_view=View(crop=224)).eval()
    plain.net.load_state_dict(detector.merged())
    zoo.close(plain(crops), logits, 5e-5)


def test_trained_parameters_of_the_published_size(golden: dict[str, Any]) -> None:
    layers, width = 24, 1024
    assert layers * 4 * (2 * width + 1) == int(golden["vitl14_trainable_residual"])
