"""Models of the golden vectors: sizes read from the files, weights drawn by the stated rule."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from detectors.tracer.models.rar_transformer import RarTransformer
from detectors.tracer.models.rar_vqgan import RarVqgan
from detectors.tracer.models.sizes import VAR_PATCH_NUMS, RarSize, RarVqganSize, VarSize, VarVqvaeSize
from detectors.tracer.models.var_transformer import VarTransformer
from detectors.tracer.models.var_vqvae import VarVqvae
from tests.golden_fill_prada import filled, seed_of

GoldenPath = Callable[[str], Path]


def vectors(golden_path: GoldenPath, name: str) -> dict[str, np.ndarray]:
    """One npz of the family."""
    with np.load(golden_path(f"prada/{name}.npz"), allow_pickle=False) as file:
        return dict(file)


def key_shapes(golden_path: GoldenPath, name: str) -> dict[str, tuple[int, ...]]:
    """One key list of the family."""
    listed = json.loads(golden_path(f"prada/keys_{name}.json").read_text(encoding="utf-8"))
    return {key: tuple(shape) for key, shape in listed.items()}


def fill(model: nn.Module, golden_path: GoldenPath, kind: str = "other") -> None:
    seed = seed_of(golden_path("prada"))
    model.load_state_dict(filled(model.state_dict(), seed, kind))
    model.eval().requires_grad_(False)


def patch_nums_or_none(side: int, scales: int, length: int) -> tuple[int, ...] | None:
    """The rising sides 1 … side of that many scales with that many tokens; the published ones where they fit."""
    fits = [
        (1, *middle, side)
        for middle in itertools.combinations(range(2, side), scales - 2)
        if 1 + side * side + sum(n * n for n in middle) == length
    ]
    return VAR_PATCH_NUMS if VAR_PATCH_NUMS in fits else next(iter(fits), None)


def patch_nums_of(side: int, scales: int, length: int) -> tuple[int, ...]:
    found = patch_nums_or_none(side, scales, length)
    assert found is not None, f"no rising grids 1 … {side}, {scales} of them, with {length} tokens"
    return found


def probe_shape(z: dict[str, np.ndarray], name: str) -> list[int]:
    shape = str(z["probe_shape"][z["probe_names"].tolist().index(name)])
    return [int(n) for n in shape.strip("()").split(",") if n.strip()]


def codebook_of(golden_path: GoldenPath, family: str, case: str) -> int:
    """Size of the codebook, which a tokenizer's own vectors do not state: from the key list, else from the logits."""
    keys = golden_path("prada") / f"keys_{family}_{case}.json"
    if keys.exists():
        return int(json.loads(keys.read_text(encoding="utf-8"))["quantize.embedding.weight"][0])
    transformer = {"var_vae": "var_transformer", "rar_vqgan": "rar_transformer"}[family]
    return int(vectors(golden_path, f"{transformer}_{case}")["logits"].shape[-1])


def var_vqvae(golden_path: GoldenPath, case: str) -> VarVqvae:
    z = vectors(golden_path, f"var_vae_{case}")
    scales = len(z["f_hat_per_scale_img0"])
    size = VarVqvaeSize(
        channels=probe_shape(z, "encoder.conv_in")[1],
        latent=z["f"].shape[1],
        codebook=codebook_of(golden_path, "var_vae", case),
        patch_nums=patch_nums_of(z["f"].shape[-1], scales, z["tokens"].shape[1]),
    )
    model = VarVqvae(size)
    fill(model, golden_path, "var_vae")
    return model


def rar_vqgan(golden_path: GoldenPath, case: str) -> RarVqgan:
    z = vectors(golden_path, f"rar_vqgan_{case}")
    size = RarVqganSize(
        channels=probe_shape(z, "encoder.conv_in")[1],
        latent=z["f"].shape[1],
        codebook=codebook_of(golden_path, "rar_vqgan", case),
        side=z["f"].shape[-1],
    )
    model = RarVqgan(size)
    fill(model, golden_path, "rar_vqgan")
    return model


def depth_of(keys: dict[str, tuple[int, ...]]) -> int:
    return 1 + max(int(key.split(".")[1]) for key in keys if key.startswith("blocks."))


def var_transformer(golden_path: GoldenPath, case: str) -> VarTransformer:
    z = vectors(golden_path, f"var_transformer_{case}")
    vae = vectors(golden_path, f"var_vae_{case}")
    keys = key_shapes(golden_path, "var_transformer_tiny")
    width = probe_shape(z, "word_embed")[-1]
    size = VarSize(
        depth=depth_of(keys),
        width=width,
        heads=keys["blocks.0.attn.scale_mul_1H11"][1],
        classes=int(z["null_label"]),
        codebook=z["logits"].shape[-1],
        latent=vae["f"].shape[1],
        patch_nums=patch_nums_of(vae["f"].shape[-1], len(vae["f_hat_per_scale_img0"]), z["tokens"].shape[1]),
    )
    model = VarTransformer(size)
    fill(model, golden_path)
    return model


def rar_transformer(golden_path: GoldenPath, case: str) -> RarTransformer:
    z = vectors(golden_path, f"rar_transformer_{case}")
    keys = key_shapes(golden_path, "rar_transformer_tiny")
    width, codebook = probe_shape(z, "embeddings")[-1], z["logits"].shape[-1]
    size = RarSize(
        width=width,
        depth=depth_of(keys),
        heads=width // keys["blocks.0.attn.q_norm.weight"][0],
        mlp=keys["blocks.0.mlp.fc1.weight"][0],
        classes=int(z["null_id"]) - codebook - 1,
        codebook=codebook,
        length=z["tokens"].shape[1],
    )
    model = RarTransformer(size)
    fill(model, golden_path)
    return model


def images(z: dict[str, np.ndarray], value_range: tuple[float, float]) -> torch.Tensor:
    """``x_uint8`` [N, H, W, 3] → [N, 3, H, W] in a tokenizer's range."""
    x = torch.from_numpy(z["x_uint8"]).permute(0, 3, 1, 2).float() / 255
    low, high = value_range
    return x * (high - low) + low


def tokens(z: dict[str, np.ndarray], key: str = "tokens") -> torch.Tensor:
    return torch.from_numpy(z[key].astype(np.int64))


def thinned(full: torch.Tensor, stored: np.ndarray) -> torch.Tensor:
    """Every n-th pixel of a reconstruction, as many as are stored."""
    step = full.shape[-1] // stored.shape[-1]
    return full[:, :, ::step, ::step]


def check_probes(model: nn.Module, z: dict[str, np.ndarray], run: Callable[[], object], atol: float) -> None:
    """Compare named submodule outputs for row 0 against the stored mean, deviation and first values."""
    caught: dict[str, torch.Tensor] = {}
    hooks = [
        model.get_submodule(name).register_forward_hook(
            lambda _module, _args, output, name=name: caught.__setitem__(name, output[:1])
        )
        for name in z["probe_names"].tolist()
    ]
    run()
    for hook in hooks:
        hook.remove()
    for i, name in enumerate(z["probe_names"].tolist()):
        got = caught[name].double()
        assert list(got.shape) == probe_shape(z, name), name
        first = z["probe_first16"][i][: got.numel()]
        np.testing.assert_allclose(got.flatten()[:16].numpy(), first, atol=atol, err_msg=name)
        stats = [got.mean().item(), got.std().item()]
        np.testing.assert_allclose(stats, [z["probe_mean"][i], z["probe_std"][i]], atol=atol, err_msg=name)
