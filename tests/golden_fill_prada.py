"""Weights for the golden vectors of the tracer, drawn by the rule stated with them.

One generator a key, ``PCG64(crc32(key) + seed)``, float64, C order:

* 1-D ``.weight``: uniform on [0.5, 1.5]; ``scale_mul_1H11``: uniform on [0.5, 2.5];
* other 1-D entries: normal, standard deviation 0.1;
* embedding tables and bare position parameters: normal, standard deviation 0.5;
* the rest: normal, standard deviation 1 / sqrt(fan-in).

The last convolution of a decoder is damped so that pixels stay off the clamp, and PRADA's alpha and w are moved to
where they live. Buffers stay as the model builds them.
"""

import math
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

BUFFERS = {"ema_vocab_hit_SV", "lvl_1L", "attn_bias_for_masking", "zero_k_bias", "attn_mask"}
TABLES = ("embedding.weight", "embeddings.weight", "class_emb.weight", "lvl_embed.weight")
POSITIONS = {"pos_start", "pos_1LC", "cls_token", "pos_embed", "target_aware_pos_embed", "timesteps_embeddings"}

# per kind of model: key -> what becomes of the draw
AFTER: dict[str, dict[str, Callable[[np.ndarray], np.ndarray]]] = {
    "var_vae": {"decoder.conv_out.weight": lambda v: 0.5 * v},
    "rar_vqgan": {"decoder.conv_out.weight": lambda v: 0.25 * v, "decoder.conv_out.bias": lambda v: v + 0.5},
    "prada": {
        "alpha": lambda v: v + 1.0,
        "w": lambda v: 0.5 * v + 1.0 / v.size if v.size > 1 else np.ones_like(v),
    },
    "other": {},
}


def draw(key: str, shape: Sequence[int], seed: int) -> np.ndarray:
    """One tensor of the rule, float64, before the exceptions of its kind."""
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(key.encode()) + seed))
    name = key.rpartition(".")[2]
    if name == "scale_mul_1H11":
        return 0.5 + 2.0 * rng.random(shape)
    if len(shape) == 1:
        return 0.5 + rng.random(shape) if name == "weight" else 0.1 * rng.standard_normal(shape)
    spread = 0.5 if key.endswith(TABLES) or name in POSITIONS else 1.0 / math.sqrt(math.prod(shape[1:]))
    return spread * rng.standard_normal(shape)


def filled(state: Mapping[str, torch.Tensor], seed: int, kind: str = "other") -> dict[str, torch.Tensor]:
    """A copy of a state dict with everything but the buffers drawn by the rule."""
    result = {}
    for key, value in state.items():
        if key.rpartition(".")[2] in BUFFERS:
            result[key] = value
        else:
            values = draw(key, tuple(value.shape), seed)
            result[key] = torch.from_numpy(AFTER[kind].get(key, lambda v: v)(values)).to(torch.float32)
    return result


def seed_of(folder: Path) -> int:
    """The seed that the README beside the vectors states (``SEED = …``); without a README that of the first set."""
    readme = folder / "README.md"
    if not readme.exists():
        return 20261
    found = re.search(r"SEED\s*=\s*(\d+)", readme.read_text(encoding="utf-8"))
    if found is None:
        raise ValueError(f"{readme} states no SEED")
    return int(found[1])
