"""Both tokenizers against the originals: features, tokens, reconstructions, and what the transformers are fed."""

import numpy as np
import pytest
import torch

from tests.detectors.tracer.tracer_golden_models import (
    GoldenPath,
    check_probes,
    images,
    rar_vqgan,
    thinned,
    tokens,
    var_vqvae,
    vectors,
)

pytestmark = pytest.mark.golden
VAR_CASES = ["tiny", "10scale", pytest.param("full", marks=pytest.mark.slow)]
RAR_CASES = ["tiny", "256", pytest.param("full", marks=pytest.mark.slow)]


def close(got: torch.Tensor, expected: np.ndarray) -> None:
    """Float32 rounding through an encoder depends on the image: mostly 1e-4, on some crops up to 6e-3."""
    difference = np.abs(got.numpy() - expected)
    assert difference.mean() < 1e-3
    assert difference.max() < 1e-2


def passes(
    model: torch.nn.Module, x: torch.Tensor, f_z: torch.Tensor, z: dict[str, np.ndarray]
) -> dict[str, torch.Tensor]:
    """One encoding and one decoding of all images, which the named probes and everything else are read off."""
    found: dict[str, torch.Tensor] = {}
    hooks = [
        model.get_submodule(name).register_forward_hook(
            lambda _module, _args, output, name=name: found.__setitem__(name, output)
        )
        for name in ("encoder", "decoder")
    ]

    def run() -> None:
        with torch.no_grad():
            found["f"], found["rec"] = model.encode(x), model.decode(f_z)  # type: ignore[operator]

    check_probes(model, z, run, atol=1e-2)
    for hook in hooks:
        hook.remove()
    return found


def check_reconstruction(found: dict[str, torch.Tensor], z: dict[str, np.ndarray]) -> None:
    rec = found["rec"]
    np.testing.assert_allclose(thinned(rec, z["rec"]), z["rec"], atol=2e-4)
    per_image = torch.stack([rec.mean((2, 3)), rec.std((2, 3))])
    np.testing.assert_allclose(per_image, z["rec_mean_std"], atol=5e-4)
    np.testing.assert_allclose(thinned(found["decoder"][:1], z["rec_raw_img0"]), z["rec_raw_img0"], atol=2e-4)


@pytest.mark.parametrize("case", VAR_CASES)
def test_var_encoder_and_reconstruction(golden_path: GoldenPath, case: str) -> None:
    z = vectors(golden_path, f"var_vae_{case}")
    model = var_vqvae(golden_path, case)
    x = images(z, model.value_range)
    assert model.image_size == x.shape[-1]
    found = passes(model, x, torch.from_numpy(z["f_hat"]), z)
    close(found["encoder"], z["enc_out"])
    close(found["f"], z["f"])
    check_reconstruction(found, z)


@pytest.mark.parametrize("case", VAR_CASES[:2])
def test_var_decodes_any_tokens(golden_path: GoldenPath, case: str) -> None:
    z = vectors(golden_path, f"var_vae_{case}")
    model = var_vqvae(golden_path, case)
    with torch.no_grad():
        rand_rec = model.decode(model.features(tokens(z, "rand_tokens")))
    np.testing.assert_allclose(thinned(rand_rec, z["rand_rec"]), z["rand_rec"], atol=2e-4)


@pytest.mark.parametrize("case", VAR_CASES)
def test_var_quantiser_is_exact(golden_path: GoldenPath, case: str) -> None:
    z = vectors(golden_path, f"var_vae_{case}")
    model = var_vqvae(golden_path, case)
    with torch.no_grad():
        got, f_hat = model.quantise(torch.from_numpy(z["f"]))
        np.testing.assert_array_equal(got, z["tokens"])
        np.testing.assert_allclose(f_hat, z["f_hat"], atol=1e-5)
        parts = [part[0] for part in model.quantize.partial_features(tokens(z)[:1])]
        stored = z["f_hat_per_scale_img0"]
        for part, expected in zip(parts, stored, strict=True):
            np.testing.assert_allclose(part if stored.ndim > 1 else part.mean(), expected, atol=1e-5)
        for prefix in ("", "rand_"):
            given = tokens(z, f"{prefix}tokens")
            np.testing.assert_allclose(model.features(given), z[f"{prefix}f_hat"], atol=1e-5)
            np.testing.assert_allclose(model.quantize.teacher_input(given), z[f"{prefix}var_input"], atol=1e-5)


@pytest.mark.parametrize("case", RAR_CASES)
def test_rar_tokenizer(golden_path: GoldenPath, case: str) -> None:
    z = vectors(golden_path, f"rar_vqgan_{case}")
    model = rar_vqgan(golden_path, case)
    x = images(z, model.value_range)
    assert model.image_size == x.shape[-1]
    with torch.no_grad():
        got, f_z = model.quantise(torch.from_numpy(z["f"]))
    np.testing.assert_array_equal(got, z["tokens"])
    found = passes(model, x, f_z, z)
    close(found["f"], z["f"])
    check_reconstruction(found, z)


@pytest.mark.parametrize("case", RAR_CASES[:2])
def test_rar_decodes_any_tokens_and_unquantised_features(golden_path: GoldenPath, case: str) -> None:
    z = vectors(golden_path, f"rar_vqgan_{case}")
    model = rar_vqgan(golden_path, case)
    with torch.no_grad():
        unquantised = model.decode(torch.from_numpy(z["f"]))
        np.testing.assert_allclose(thinned(unquantised, z["rec_noquant"]), z["rec_noquant"], atol=2e-4)
        rand_rec = model.decode(model.features(tokens(z, "rand_tokens")))
        np.testing.assert_allclose(thinned(rand_rec, z["rand_rec"]), z["rand_rec"], atol=2e-4)
