"""Provenance signals and VAR's three quantisers against the originals, closed forms and guarantees."""

import itertools

import numpy as np
import pytest
import torch

from detectors.tracer.measuring.provenance import provenance_signals
from detectors.tracer.models.coordinate_descent import coordinate_descent, scale_maps
from detectors.tracer.models.quantise import algorithm_3, hard_error, quantise, soft_stage
from detectors.tracer.models.rar_vqgan import RarVqgan
from detectors.tracer.models.sizes import RarVqganSize, VarVqvaeSize
from detectors.tracer.models.var_quantiser import VarQuantiser, phi_index
from detectors.tracer.models.var_vqvae import VarVqvae
from tests.detectors.tracer.tracer_golden_models import GoldenPath, images, rar_vqgan, tokens, var_vqvae, vectors


def small_quantiser(codebook: int = 12, latent: int = 3, patch_nums: tuple[int, ...] = (1, 2, 4)) -> VarQuantiser:
    torch.manual_seed(0)
    return VarQuantiser(codebook, latent, patch_nums).requires_grad_(False)


@pytest.mark.golden
def test_var_signals(golden_path: GoldenPath) -> None:
    z = vectors(golden_path, "provenance_var")
    model = var_vqvae(golden_path, "10scale")
    got = provenance_signals(model, images(z, model.value_range))
    assert (got.tokens.numpy() == z["tokens_greedy"]).mean() > 0.95  # from pixels, near ties may flip
    for name, key in [
        ("quant_loss", "quant_loss"),
        ("enc_loss", "enc_loss"),
        ("score", "combined"),
        ("reconstruction", "reconstruction"),
        ("uncalibrated", "enc_loss_uncalibrated"),
        ("denominator", "enc_denominator"),
    ]:
        np.testing.assert_allclose(getattr(got, name), z[f"greedy_{key}"], rtol=1e-3, err_msg=name)


@pytest.mark.golden
def test_rar_signals(golden_path: GoldenPath) -> None:
    z = vectors(golden_path, "provenance_rar")
    model = rar_vqgan(golden_path, "tiny")
    got = provenance_signals(model, images(z, model.value_range), method="soft")
    assert (got.tokens.numpy() == z["tokens"]).mean() > 0.95  # from pixels, near ties may flip
    for name, key in [
        ("quant_loss", "quant_loss"),
        ("enc_loss", "enc_loss"),
        ("score", "combined"),
        ("reconstruction", "reconstruction"),
        ("uncalibrated", "enc_loss_uncalibrated"),
        ("denominator", "enc_denominator"),
    ]:
        np.testing.assert_allclose(getattr(got, name), z[key], rtol=1e-3, err_msg=name)


@pytest.mark.golden
def test_algorithm_3(golden_path: GoldenPath) -> None:
    z = vectors(golden_path, "provenance_var")
    quantiser = var_vqvae(golden_path, "10scale").quantize
    f = torch.from_numpy(z["alg3_f"])
    stages = len(quantiser.lengths) - len(quantiser.lengths) // 2 + 1
    for name in sorted(key.removesuffix("_loss") for key in z if key.startswith("alg3_it") and key.endswith("_loss")):
        expected = z[f"{name}_loss"]
        got, losses = algorithm_3(quantiser, f, steps=len(expected) // stages, guard=False)
        np.testing.assert_allclose(losses, expected, rtol=1e-3, err_msg=name)
        assert (got.numpy() == z[f"{name}_tokens"]).mean() >= 0.98
        np.testing.assert_allclose(hard_error(quantiser, f, got), z[f"{name}_hard_mse"], rtol=2e-2)


@pytest.mark.golden
def test_algorithm_3_stages(golden_path: GoldenPath) -> None:
    z = vectors(golden_path, "provenance_var")
    quantiser = var_vqvae(golden_path, "10scale").quantize
    f = torch.from_numpy(z["alg3_f"])
    greedy, _ = quantiser.quantise(f)
    for key in [key for key in z if key.startswith("stage_fix") and key.endswith("_loss")]:
        free = int(key.removeprefix("stage_fix").removesuffix("_loss"))
        got, losses = soft_stage(quantiser, f, greedy, free=free, steps=len(z[key]))
        np.testing.assert_allclose(losses, z[key], rtol=1e-3)
        assert (got.numpy() == z[key.replace("_loss", "_tokens")]).mean() >= 0.98


@pytest.mark.golden
def test_icm_beats_greedy_and_algorithm_3(golden_path: GoldenPath) -> None:
    z = vectors(golden_path, "provenance_var")
    quantiser = var_vqvae(golden_path, "10scale").quantize
    f = torch.from_numpy(z["alg3_f"])
    greedy, _ = quantiser.quantise(f)
    refined = hard_error(quantiser, f, coordinate_descent(quantiser, f))
    assert (refined < hard_error(quantiser, f, greedy)).all()
    for key in [key for key in z if key.startswith("alg3_it") and key.endswith("hard_mse")]:
        assert refined.item() <= z[key]


def test_published_phi_assignment() -> None:
    assert [phi_index(k, 10) for k in range(10)] == [0, 0, 1, 1, 1, 2, 2, 3, 3, 3]


def test_icm_tables_equal_the_affine_map() -> None:
    quantiser = small_quantiser()
    codebook = quantiser.embedding.weight
    for scale, part in enumerate(scale_maps(quantiser)):
        n = quantiser.lengths[scale]
        zero = quantiser.lift(torch.zeros(1, n, codebook.shape[1]), scale)
        table = torch.cat([group.table for group in part.groups])
        places = torch.cat([group.index for group in part.groups])
        assert sorted(places.tolist()) == list(range(n))
        for row, token in zip(table, places.tolist(), strict=True):
            one = torch.zeros(len(codebook), n, codebook.shape[1])
            one[:, token] = codebook
            energy = 0.5 * (quantiser.lift(one, scale) - zero).square().sum((1, 2, 3))
            torch.testing.assert_close(row, energy, atol=1e-5, rtol=1e-4)


def test_icm_ends_where_no_single_token_can_be_bettered() -> None:
    quantiser = small_quantiser()
    f = torch.randn(3, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    start, _ = quantiser.quantise(f)
    errors = [hard_error(quantiser, f, start)]
    for _ in range(8):
        start = coordinate_descent(quantiser, f, sweeps=1, start=start)
        errors.append(hard_error(quantiser, f, start))
    for before, after in itertools.pairwise(errors):
        assert (after <= before + 1e-6).all()
    assert (errors[-1] < errors[0]).any()
    for position in range(quantiser.length):
        for code in range(12):
            changed = start.clone()
            changed[:, position] = code
            assert (hard_error(quantiser, f, changed) >= errors[-1] - 1e-5).all()


def test_icm_and_algorithm_3_do_not_depend_on_the_batch() -> None:
    quantiser = small_quantiser()
    # features so small that a loss averaged over the batch would push gradients below Adam's epsilon
    quantiser.embedding.weight.mul_(1e-3)
    f = 1e-3 * torch.randn(16, 3, 4, 4, generator=torch.Generator().manual_seed(2))
    for search in (lambda x: coordinate_descent(quantiser, x), lambda x: algorithm_3(quantiser, x, steps=10)[0]):
        together = search(f)
        alone = torch.cat([search(row[None]) for row in f])
        torch.testing.assert_close(together, alone)


def test_guarded_algorithm_3_never_loses_to_greedy() -> None:
    quantiser = small_quantiser()
    f = torch.randn(4, 3, 4, 4, generator=torch.Generator().manual_seed(3))
    greedy = hard_error(quantiser, f, quantiser.quantise(f)[0])
    guarded, _ = algorithm_3(quantiser, f, steps=5)
    assert (hard_error(quantiser, f, guarded) <= greedy).all()


def test_tokens_of_their_own_features_come_back() -> None:
    torch.manual_seed(0)
    model = RarVqgan(RarVqganSize(channels=32, latent=4, codebook=16, side=2))
    at = torch.randint(0, 16, (3, 4))
    got, f_z = quantise(model, model.features(at).detach())
    torch.testing.assert_close(got, at)
    torch.testing.assert_close(f_z, model.features(at))


def test_only_one_scale_free_is_found_exactly() -> None:
    quantiser = small_quantiser()
    at, _ = quantiser.quantise(torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(4)))
    f = quantiser.features(at)
    wrong = at.clone()
    wrong[:, -1] = (wrong[:, -1] + 1) % 12
    torch.testing.assert_close(coordinate_descent(quantiser, f, start=wrong), at)


def test_unknown_method_and_sizes_are_named() -> None:
    torch.manual_seed(0)
    model = VarVqvae(VarVqvaeSize(channels=32, latent=3, codebook=8, patch_nums=(1, 2)))
    with pytest.raises(ValueError, match="greedy, soft or icm"):
        quantise(model, torch.zeros(1, 3, 2, 2), "best")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected 5 tokens"):
        model.features(torch.zeros(1, 4, dtype=torch.int64))
    with pytest.raises(ValueError, match="rise strictly"):
        VarQuantiser(8, 3, (1, 3, 2))


def test_score_is_the_product_and_a_fixed_point_has_ratio_one() -> None:
    torch.manual_seed(0)
    model = VarVqvae(VarVqvaeSize(channels=32, latent=3, codebook=8, patch_nums=(1, 2))).eval()
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    got = provenance_signals(model, x)
    torch.testing.assert_close(got.score, got.quant_loss * got.enc_loss)
    for method in ("soft", "icm"):
        refined = provenance_signals(model, x, method=method, steps=3)
        assert (refined.quant_loss <= got.quant_loss + 1e-7).all()
        torch.testing.assert_close(refined.enc_loss, got.enc_loss)
    assert tokens({"tokens": got.tokens.numpy()}).shape == (2, 5)
