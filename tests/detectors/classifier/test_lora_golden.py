"""Low-rank adapters against the numbers of peft on a plain transformer of timm."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import zoo_golden as zoo

from detectors.classifier.lora import add_adapters, merged_adapters, translated_adapters

pytestmark = pytest.mark.golden
CASES = {"dda": (False, None), "rslora": (True, r"blocks\.\d+\.attn\.qkv")}


@pytest.fixture(scope="module")
def golden(golden_path: Callable[[str], Path]) -> dict[str, Any]:
    with np.load(golden_path("zoo_lora.npz"), allow_pickle=False) as file:
        return dict(file)


def net(golden: dict[str, Any]) -> torch.nn.Module:
    side, patch, width, depth, heads, _ = golden["toy_config_img_patch_width_depth_heads_r"].tolist()
    made = timm.models.VisionTransformer(side, patch, embed_dim=width, depth=depth, num_heads=heads, num_classes=0)
    made.load_state_dict(zoo.weights(golden, "base"))
    return made.eval()


def inputs(golden: dict[str, Any]) -> torch.Tensor:
    return (torch.stack(zoo.images(golden)).float() / 255 - 0.5) / 0.5


@pytest.mark.parametrize("case", CASES)
def test_adapters(golden: dict[str, Any], case: str) -> None:
    stabilised, modules = CASES[case]
    rank, alpha = int(golden["toy_config_img_patch_width_depth_heads_r"][-1]), float(golden["alpha"])
    made, x = net(golden), inputs(golden)
    before = made(x)
    zoo.close(before, golden["base_feature_f32"], 5e-5)
    add_adapters(made, "toy", rank, alpha, stabilised, modules)
    zoo.close(made(x), before, float(golden[f"{case}_init_diff"]))
    scale = alpha / (rank**0.5 if stabilised else rank)
    assert scale == float(golden[f"{case}_scale"])
    assert list(made.blocks[0].attn.qkv.scaling.values()) == [pytest.approx(scale)]
    adapters = translated_adapters(zoo.weights(golden, case))
    assert adapters.keys() == {key for key in made.state_dict() if "lora_" in key}
    made.load_state_dict(adapters, strict=False)
    after = made(x)
    zoo.close(after, golden[f"{case}_feature_f32"], 5e-5)
    plain = net(golden)
    plain.load_state_dict(merged_adapters(made))
    zoo.close(plain(x), after, 5e-5)
    zoo.close(plain.blocks[0].attn.qkv.weight[::7, ::5], golden[f"{case}_merged_qkv0_weight_sample_f32"], 5e-5)


def test_the_patch_embedding_is_left_alone(golden: dict[str, Any]) -> None:
    assert bool(golden["suffix_list_hits_patch_embed"])  # peft's rule by suffixes would adapt it
    made = net(golden)
    add_adapters(made, "toy", 4, 8, False, None)
    assert isinstance(made.patch_embed.proj, torch.nn.Conv2d)
