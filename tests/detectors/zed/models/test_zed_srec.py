"""SReC against the reference code's numbers, and the loader of its checkpoints."""

import math

import numpy as np
import pytest
import torch

from detectors.zed.entropy.entropy import entropy
from detectors.zed.entropy.logistic import SREC_CLAMP, mixture_log_prob
from detectors.zed.models.coding import coding_cost, lossless_bits_per_subpixel, overhead_bits
from detectors.zed.models.pyramid import build_pyramid
from detectors.zed.models.srec import SReC, subpixel_mixtures
from tests.detectors.zed.scored import score_image
from tests.detectors.zed.zed_golden_models import filled_state, images, srec

MODELS = ("r3", "r5")


@pytest.fixture(scope="module", params=MODELS)
def case(request, golden_dir):
    file = golden_dir / "srec.npz"
    if not file.exists():
        pytest.skip(f"{golden_dir} holds no srec.npz: this family's vectors are absent there")
    vectors = np.load(file, allow_pickle=False)
    if f"{request.param}_keys" not in vectors:
        pytest.skip(f"srec.npz holds no model {request.param}")
    return request.param, vectors, srec(vectors, request.param)


@pytest.mark.golden
def test_golden_size_of_network(case):
    name, vectors, model = case
    # the golden model names end in their number of blocks
    assert model.blocks == int(name[1:])
    sizes = [math.prod(int(n) for n in shape.split(",")) for shape in vectors[f"{name}_shapes"]]
    assert sum(p.numel() for p in model.parameters()) == sum(sizes)


@pytest.mark.golden
def test_golden_scores(case):
    name, vectors, model = case
    for i, image in images(vectors).items():
        prefix = f"{name}_im{i}_"
        if f"{prefix}D" not in vectors:
            continue
        scores = score_image(model, image, levels=(0, 1, 2))
        for level in range(3):
            assert scores[f"D{level}"].item() == pytest.approx(vectors[f"{prefix}D"][level], abs=5e-6)
            assert scores[f"NLL{level}"].item() == pytest.approx(vectors[f"{prefix}nll_exact_mean"][level], abs=5e-6)
            assert scores[f"H{level}"].item() == pytest.approx(vectors[f"{prefix}H_mean"][level], abs=5e-6)
        assert scores["Delta01"].item() == pytest.approx(vectors[f"{prefix}delta01"].item(), abs=5e-6)
        assert scores["bpsp"].item() == pytest.approx(vectors[f"{prefix}total_bpsp"].item(), abs=1e-5)


@pytest.mark.golden
def test_golden_bits_of_every_part(case):
    name, vectors, model = case
    keys = [str(k) for k in vectors["bit_keys"]]
    for i, image in images(vectors).items():
        if f"{name}_im{i}_bits" not in vectors:
            continue
        bits = dict(zip(keys, vectors[f"{name}_im{i}_bits"], strict=True))
        sizes = dict(zip(keys, vectors[f"{name}_im{i}_sizes"], strict=True))
        with torch.inference_mode():
            costs = coding_cost(model, image, clamp_p=SREC_CLAMP)
        for level in range(3):
            parts = [f"eval/{2 - level}_{sub}" for sub in range(3)]
            assert costs[level].subpixels == sum(sizes[p] for p in parts)
            assert costs[level].bits.item() == pytest.approx(sum(bits[p] for p in parts), rel=2e-6)
        fixed = bits["eval/codes_0"] + sum(bits[f"eval/{s}_rounding"] for s in range(3))
        H, W = image.shape[-2:]
        assert overhead_bits(H, W) == fixed
        total = lossless_bits_per_subpixel(costs, H, W).item()
        assert total == pytest.approx(vectors[f"{name}_im{i}_total_bpsp"].item(), abs=1e-5)


@pytest.mark.golden
def test_golden_maps_and_raw_parameters(case):
    name, vectors, model = case
    for i, image in images(vectors).items():
        if f"{name}_im{i}_L0_sub0_nll_exact_f64" not in vectors:
            continue
        pyramid, context = build_pyramid(image, 3), None
        for level in (2, 1, 0):
            y = pyramid.y[level]
            with torch.inference_mode():
                if context is not None:
                    context = model.expand(level, context)[..., : y.shape[-2], : y.shape[-1]]
                for sub, (block, latest) in enumerate(model.steps(level, pyramid.x[level].float(), y, context)):
                    context = latest
                    prefix = f"{name}_im{i}_L{level}_sub{sub}_"
                    expected = vectors[f"{prefix}nll_exact_f64"]
                    h, w = expected.shape[-2:]
                    nll = -mixture_log_prob(block.value, block.mixture)[0, :, :h, :w]
                    np.testing.assert_allclose(nll, expected, atol=2e-3, rtol=0)
                    H = entropy(block.mixture)[0, :, :h, :w]
                    np.testing.assert_allclose(H, vectors[f"{prefix}H_exact_f64"], atol=3e-4, rtol=0)
                    if f"{prefix}params_f32" in vectors:
                        K = block.mixture.mu.shape[-1]
                        raw = vectors[f"{prefix}params_f32"].reshape(4, 3, K, h, w)
                        logits = block.mixture.logits[0, :, :h, :w].movedim(-1, 1)
                        np.testing.assert_allclose(logits, raw[0], atol=2e-3, rtol=0)
                        mu_red = block.mixture.mu[0, 0, :h, :w].movedim(-1, 0)
                        np.testing.assert_allclose(mu_red, raw[1, 0].clip(0, 255), atol=2e-3, rtol=0)


@pytest.mark.golden
def test_golden_stress_of_the_likelihood(golden_path):
    vectors = np.load(golden_path("srec.npz"), allow_pickle=False)
    raw = torch.from_numpy(vectors["stress_params_f32"])[None].double()
    value = torch.from_numpy(vectors["stress_x"])[None].double()
    mixture = subpixel_mixtures(raw, value)
    exact = -mixture_log_prob(value, mixture)[0]
    np.testing.assert_allclose(exact, vectors["stress_nll_exact_f64"], rtol=1e-11, atol=1e-11)
    clamped = -mixture_log_prob(value, mixture, SREC_CLAMP)[0]
    np.testing.assert_allclose(clamped, vectors["stress_nll_clamped_f64"], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(entropy(mixture)[0], vectors["stress_H_exact_f64"], atol=1e-11, rtol=0)
    single = subpixel_mixtures(raw.float(), value.float())
    np.testing.assert_allclose(entropy(single)[0], vectors["stress_H_exact_f64"], atol=2e-5, rtol=0)
    np.testing.assert_allclose(-mixture_log_prob(value.float(), single)[0], exact, rtol=1e-4, atol=1e-4)


@pytest.mark.golden
def test_published_file_is_loaded_and_a_misfit_named(golden_path, tmp_path):
    vectors = np.load(golden_path("srec.npz"), allow_pickle=False)
    state = filled_state(vectors, MODELS[0])
    torch.save({"nets": state, "epoch": 3, "best_bpsp": 2.7}, tmp_path / "openimages.pth")
    model = SReC.from_published(tmp_path / "openimages.pth")
    assert torch.equal(model.decoders[0].rgb_decs[0].head.weight, state["1.0.rgb_decs.0.head.weight"])
    torch.save({"state_dict": state}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"other\.pth: no entry 'nets'"):
        SReC.from_published(tmp_path / "other.pth")
    del state["1.1.feat_convs.2.bias"]
    with pytest.raises(ValueError, match=r"keys do not fit.*1\.feat_convs\.2\.bias.*1 in all"):
        SReC.from_published(state)
    with pytest.raises(ValueError, match="not an SReC state dict"):
        SReC.from_published({"conv1.weight": torch.zeros(1)})


def test_overhead_of_sides_divisible_by_eight_is_known():
    assert overhead_bits(64, 96) / (3 * 64 * 96) == 0.78125
