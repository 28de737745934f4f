"""The inverse decoder: what is trained, on which pairs, and the layouts its files come in."""

from pathlib import Path

import pytest
import safetensors.torch
import torch

from contracts.errors import CheckpointError
from detectors.tracer.measuring.inverse_decoder import (
    freeze_decoder,
    generated_pair,
    inverse_loss,
    load_inverse,
    roundtrip_pair,
    trained_modules,
)
from detectors.tracer.models.rar_vqgan import RarVqgan
from detectors.tracer.models.sizes import RarVqganSize, VarVqvaeSize
from detectors.tracer.models.var_vqvae import VarVqvae


def small(family: str, seed: int = 0) -> VarVqvae | RarVqgan:
    torch.manual_seed(seed)
    if family == "var":
        return VarVqvae(VarVqvaeSize(channels=32, latent=4, codebook=8, patch_nums=(1, 2)))
    return RarVqgan(RarVqganSize(channels=32, latent=4, codebook=8, side=2))


def inverse_state(tokenizer: VarVqvae | RarVqgan) -> dict[str, torch.Tensor]:
    """The retrained weights under ``encoder.*`` and ``quant_conv.*``."""
    parts = trained_modules(tokenizer).items()
    return {f"{name}.{key}": value for name, part in parts for key, value in part.state_dict().items()}


def save_inverse(tokenizer: VarVqvae | RarVqgan, path: Path) -> None:
    safetensors.torch.save_file(inverse_state(tokenizer), path)


@pytest.mark.parametrize("family", ["var", "rar"])
def test_training_lowers_the_loss_and_moves_the_encoder_alone(family: str) -> None:
    model = small(family)
    length = 5 if family == "var" else 4
    pair = generated_pair(model, torch.randint(0, 8, (4, length)))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    optimiser = torch.optim.Adam(freeze_decoder(model), lr=1e-3)
    losses = []
    for _ in range(6):
        loss = inverse_loss(model, pair)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    moved = {key.split(".")[0] for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert moved == ({"encoder", "quant_conv"} if family == "var" else {"encoder"})


@pytest.mark.parametrize("family", ["var", "rar"])
def test_pairs_hold_saved_images_and_exact_targets(family: str) -> None:
    model = small(family)
    low, high = model.value_range
    x = torch.rand(2, 3, 32, 32) * (high - low) + low
    pair = roundtrip_pair(model, x)
    with torch.no_grad():
        tokens, f_z = model.quantise(model.encode(x))
    torch.testing.assert_close(pair.features, f_z)
    torch.testing.assert_close(pair.images, generated_pair(model, tokens).images)
    levels = (pair.images - low) / (high - low) * 255
    torch.testing.assert_close(levels, levels.round(), atol=1e-4, rtol=0)
    with torch.no_grad():
        exact = (model.decode(f_z) - low) / (high - low) * 255
    # truncated, never rounded up
    assert ((exact - levels) > -1e-3).all()
    assert ((exact - levels) < 1 + 1e-3).all()


def test_loss_is_the_mean_square_against_the_clean_target() -> None:
    model = small("rar")
    pair = generated_pair(model, torch.randint(0, 8, (2, 4)))
    seen = pair.images.flip(-1)
    with torch.no_grad():
        expected = (model.encode(seen) - pair.features).pow(2).mean()
        torch.testing.assert_close(inverse_loss(model, pair, seen=seen), expected)
        assert inverse_loss(model, pair) != expected


@pytest.mark.parametrize("family", ["var", "rar"])
@pytest.mark.parametrize("layout", ["own", "official", "nested", "flat"])
def test_known_layouts_load(tmp_path: Path, family: str, layout: str) -> None:
    trained, fresh = small(family, seed=1), small(family, seed=2)
    state = inverse_state(trained)
    path = tmp_path / f"{family}_inverse_decoder.pth"
    if layout == "own":
        path = path.with_suffix(".safetensors")
        save_inverse(trained, path)
    elif layout == "flat":
        torch.save(state, path)
    elif layout == "official":
        renamed = {k.replace("encoder.", "module0.", 1): v for k, v in state.items() if k.startswith("encoder.")}
        renamed |= {k.replace("quant_conv.", "module1."): v for k, v in state.items() if k.startswith("quant_conv.")}
        torch.save(renamed, path)
    else:
        nested: dict[str, object] = {"family": family, "config": {"lr": 5e-5, "epochs": 10}}
        for name in {key.split(".")[0] for key in state}:
            nested[name] = {k.removeprefix(f"{name}."): v for k, v in state.items() if k.startswith(f"{name}.")}
        torch.save(nested, path)
    decoder = {k: v.clone() for k, v in fresh.state_dict().items() if k.startswith("decoder.")}
    load_inverse(fresh, path)
    for key, value in state.items():
        torch.testing.assert_close(fresh.state_dict()[key], value)
    for key, value in decoder.items():
        torch.testing.assert_close(fresh.state_dict()[key], value)


def test_the_other_familys_file_is_refused(tmp_path: Path) -> None:
    save_inverse(small("var"), tmp_path / "var.safetensors")
    with pytest.raises(CheckpointError, match="entries unknown to the inverse decoder"):
        load_inverse(small("rar"), tmp_path / "var.safetensors")
    save_inverse(small("rar"), tmp_path / "rar.safetensors")
    with pytest.raises(CheckpointError, match="has no quant_conv"):
        load_inverse(small("var"), tmp_path / "rar.safetensors")
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(CheckpointError, match=r"text\.pth"):
        load_inverse(small("rar"), tmp_path / "text.pth")
    with pytest.raises(CheckpointError, match="no checkpoint file"):
        load_inverse(small("rar"), tmp_path / "absent.pth")
