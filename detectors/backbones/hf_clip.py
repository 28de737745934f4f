"""CLIP vision towers of transformers under timm's names, with Effort's split attention matrices."""

import re

import torch
from torch import Tensor

from detectors.backbones.library import State

NAMES = {
    "embeddings.patch_embedding.": "patch_embed.proj.",
    "pre_layrnorm.": "norm_pre.",
    "post_layernorm.": "norm.",
    "encoder.layers.": "blocks.",
    ".layer_norm1.": ".norm1.",
    ".layer_norm2.": ".norm2.",
    ".self_attn.out_proj.": ".attn.proj.",
}
PARTS = {"weight_main": "original", "U_residual": "0.U", "S_residual": "0.S", "V_residual": "0.V"}
"""Effort's tensors of one matrix, and ours; it also stores the directions that are not trained."""
QKV = re.compile(r"^encoder\.layers\.(\d+)\.self_attn\.([qkv])_proj\.(\w+)$")
OUT = re.compile(r"^encoder\.layers\.(\d+)\.self_attn\.out_proj\.(\w+)$")


def is_hf_clip(state: State) -> bool:
    """Whether the names are those of transformers' CLIP vision tower."""
    return "embeddings.class_embedding" in state


def from_hf_clip(state: State) -> State:
    """Translate such a state dict; queries, keys and values are joined in this order."""
    found: State = {}
    joined: dict[tuple[str, str], dict[str, Tensor]] = {}
    for key, value in state.items():
        matrix, out = QKV.match(key), OUT.match(key)
        if key == "embeddings.class_embedding":
            found["cls_token"] = value.reshape(1, 1, -1)
        elif key == "embeddings.position_embedding.weight":
            found["pos_embed"] = value[None]
        elif matrix:
            joined.setdefault((matrix[1], matrix[3]), {})[matrix[2]] = value
        elif out and out[2] in PARTS:
            found[_place(f"blocks.{out[1]}.attn.proj", out[2])] = value if out[2] == "weight_main" else value[None]
        elif not key.endswith(("position_ids", ".S_r", ".U_r", ".V_r")):
            for theirs, ours in NAMES.items():
                key = key.replace(theirs, ours)
            found[key] = value
    for (block, tensor), three in joined.items():
        if tensor in ("S_r", "U_r", "V_r") or set(three) != set("qkv"):
            continue
        values = [three[name] for name in "qkv"]
        stacked = tensor in PARTS and tensor != "weight_main"
        found[_place(f"blocks.{block}.attn.qkv", tensor)] = torch.stack(values) if stacked else torch.cat(values)
    return found


def _place(layer: str, tensor: str) -> str:
    return f"{layer}.parametrizations.weight.{PARTS[tensor]}" if tensor in PARTS else f"{layer}.{tensor}"
