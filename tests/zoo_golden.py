"""What the golden files of the detector collection have in common: weights by the rule of `golden_fill`, with gains."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from golden_fill import draw
from torch import Tensor, nn


def weights(golden: Mapping[str, Any], name: str) -> dict[str, Tensor]:
    """The state dict that a file describes under ``NAME_keys``, its sums checked."""
    seed = int(golden[f"{name}_fillseed"])
    gains = golden.get(f"{name}_gain", golden.get(f"{name}_gain_values", ()))
    gain = dict(zip(golden.get(f"{name}_gain_keys", ()), gains, strict=True))
    state = {}
    for key, shape, total in zip(
        golden[f"{name}_keys"], golden[f"{name}_shapes"], golden[f"{name}_fillsum"], strict=True
    ):
        sides = [int(side) for side in str(shape).split(",") if side]
        if str(key).endswith("num_batches_tracked"):  # integers are not filled
            state[str(key)] = torch.zeros(sides, dtype=torch.int64)
            continue
        state[str(key)] = torch.from_numpy(draw(str(key), sides, seed) * gain.get(key, 1.0)).float()
        assert float(state[str(key)].double().sum()) == pytest.approx(float(total), abs=1e-9), key
    return state


def image(golden: Mapping[str, Any], name: str) -> Tensor:
    """An image [3, H, W] uint8."""
    return torch.from_numpy(golden[name]).permute(2, 0, 1).contiguous()


def images(golden: Mapping[str, Any], prefix: str = "image_") -> list[Tensor]:
    """``image_0``, ``image_1``, … as `image`."""
    names = [f"{prefix}{k}" for k in range(len(golden)) if f"{prefix}{k}" in golden]
    return [image(golden, name) for name in names]


def close(found: Any, wanted: Any, tolerance: float, what: str = "") -> None:
    """Equal shapes, and values within a tolerance."""
    found, wanted = (np.asarray(one.detach() if isinstance(one, Tensor) else one) for one in (found, wanted))
    assert found.shape == wanted.shape, (what, found.shape, wanted.shape)
    assert np.abs(found.astype(np.float64) - wanted.astype(np.float64)).max(initial=0) <= tolerance, what


class Toy(nn.Module):
    """The net of ``zoo_warpad`` and ``zoo_rigid_minder``: a token for each position, their mean in front."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 24, 4, 4)
        self.mix = nn.Conv2d(24, 32, 3, 2, 1)
        self.out = nn.Linear(32, 48)
        self.load_state_dict(dict(state))
        self.blocks = nn.ModuleList()  # as transformers of timm have

    def forward_features(self, x: Tensor) -> Tensor:
        tokens = torch.tanh(self.mix(torch.tanh(self.patch(x)))).flatten(2).mT
        made: Tensor = self.out(torch.cat([tokens.mean(1, keepdim=True), tokens], 1))
        return made

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_features(x)[:, 0]


def clip_tower(golden: Mapping[str, Any]) -> nn.Module:
    """open_clip's vision tower of a toy CLIP, with QuickGELU."""
    from open_clip.model import CLIPVisionCfg, _build_vision_tower

    patch, width, layers, _, embed, side = golden["toy_config_patch_width_layers_heads_embed_res"].tolist()
    config = CLIPVisionCfg(layers=layers, width=width, patch_size=patch, image_size=side, head_width=64)
    tower: nn.Module = _build_vision_tower(embed, config, quick_gelu=True)
    state = {key.removeprefix("visual."): value for key, value in weights(golden, "clip").items()}
    tower.load_state_dict(state)
    return tower.eval()
