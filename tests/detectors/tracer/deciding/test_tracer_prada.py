"""PRADA against the original: scores, fitting, decisions; and the joint calibration on made-up siblings."""

import math

import numpy as np
import pytest
import torch

from detectors.tracer.deciding.prada import PradaCalibrator, auroc, fit, noise_scale, smoothed
from detectors.tracer.deciding.prada_joint import JointPrada, fit_joint
from detectors.tracer.measuring.features import icas
from detectors.tracer.models.sizes import VAR_PATCH_NUMS, scale_lengths
from tests.detectors.tracer.tracer_golden_models import GoldenPath, patch_nums_or_none, vectors
from tests.golden_fill_prada import filled, seed_of


def lengths_of(scales: int, length: int) -> tuple[int, ...]:
    """Scale lengths: the published ten, else 1, 4, 9, …; one scale holds everything."""
    if scales == 1:
        return (length,)
    published = scale_lengths(VAR_PATCH_NUMS)
    if (scales, length) == (len(published), sum(published)):
        return published
    sides = (patch_nums_or_none(side, scales, length) for side in range(scales, math.isqrt(length) + 1))
    return scale_lengths(next(found for found in sides if found is not None))


def calibrator(golden_path: GoldenPath, lengths: tuple[int, ...], inputs: int = 1) -> PradaCalibrator:
    model = PradaCalibrator(lengths, inputs)
    model.load_state_dict(filled(model.state_dict(), seed_of(golden_path("prada")), "prada"))
    return model


@pytest.mark.golden
@pytest.mark.parametrize("case", ["K10", "K1"])
@torch.no_grad()
def test_scores(golden_path: GoldenPath, case: str) -> None:
    z = vectors(golden_path, "prada")
    lp = torch.from_numpy(z[f"{case}_lp"])
    lengths = lengths_of(len(z[f"{case}_w"]), lp.shape[1])
    model = calibrator(golden_path, lengths)
    assert set(model.state_dict()) == {"alpha", "w"} | {f"net.{i}.{n}" for i in (0, 2, 4) for n in ("weight", "bias")}
    np.testing.assert_allclose(model.alpha, z[f"{case}_alpha"], rtol=1e-6)
    np.testing.assert_allclose(model.w, z[f"{case}_w"], rtol=1e-6)
    np.testing.assert_allclose(model(lp), z[f"{case}_score"], atol=1e-5)
    np.testing.assert_allclose(model(lp), z[f"{case}_score_f64"], atol=1e-5)
    np.testing.assert_allclose(model.token_scores(model.ratio(lp[:1]))[0], z[f"{case}_token_score_img0_f64"], atol=1e-5)
    grid = torch.from_numpy(z[f"{case}_grid_d"]).float()
    np.testing.assert_allclose(model.token_scores(grid[:, None]), z[f"{case}_grid_g"], atol=1e-5)
    noise = [0.1 * noise_scale(part) for part in torch.split(model.ratio(lp), list(lengths), 1)]
    np.testing.assert_allclose(noise, z[f"{case}_noise_std"], rtol=1e-4)
    np.testing.assert_allclose(icas(lp[..., 0], lp[..., 1]), z[f"{case}_icas"], atol=1e-5)
    np.testing.assert_allclose((lp[..., 0] - lp[..., 1]).mean(1), z[f"{case}_logratio_mean"], atol=1e-5)
    both = calibrator(golden_path, lengths, inputs=2)
    np.testing.assert_allclose(both(lp), z[f"{case}_score_dim2"], atol=1e-5)


@pytest.mark.golden
@pytest.mark.parametrize("case", ["trainK4", "trainK1"])
def test_fit(golden_path: GoldenPath, case: str) -> None:
    z = vectors(golden_path, "prada")
    lp, y = torch.from_numpy(z[f"{case}_lp"]), torch.from_numpy(z[f"{case}_y"])
    model = calibrator(golden_path, lengths_of(len(z[f"{case}_final_w"]), lp.shape[1]))
    torch.testing.assert_close(smoothed(y > 0.5), y)
    history = fit(model, lp, y, epochs=len(z[f"{case}_loss"]), noise=0.0)
    np.testing.assert_allclose(history.loss, z[f"{case}_loss"], rtol=1e-4)
    np.testing.assert_allclose(history.alpha, z[f"{case}_alpha"], rtol=1e-4)
    np.testing.assert_allclose(history.auroc, z[f"{case}_auroc"], atol=5e-3)
    with torch.no_grad():
        np.testing.assert_allclose(model(lp), z[f"{case}_final_score"], atol=1e-3)
    for key, value in model.state_dict().items():
        np.testing.assert_allclose(value, z[f"{case}_final_{key}"], atol=1e-3, err_msg=key)


@pytest.mark.golden
def test_decision(golden_path: GoldenPath) -> None:
    z = vectors(golden_path, "prada")
    scores = z["decision_scores"]
    zero_for_real = np.concatenate([np.zeros_like(scores[:, :1]), scores], 1)  # as `JointPrada` has it
    np.testing.assert_array_equal(zero_for_real.argmax(1), z["decision_pred"])
    np.testing.assert_allclose(scores.max(1), z["decision_detect"])


def test_identity_g_gives_the_mean_ratio() -> None:
    """With α = 1 and g the identity (ELU is linear above 0) the score is the weighted mean log ratio."""
    model = PradaCalibrator((2, 3))
    for layer in (0, 2, 4):
        torch.nn.init.zeros_(model.net[layer].weight)
        torch.nn.init.zeros_(model.net[layer].bias)
        model.net[layer].weight.data[0, 0] = 1.0
    lp = torch.rand(4, 5, 2)
    lp[..., 0] += 2  # keeps d positive
    d = lp[..., 0] - lp[..., 1]
    expected = 0.5 * d[:, :2].mean(1) + 0.5 * d[:, 2:].mean(1)
    torch.testing.assert_close(model(lp), expected)


def test_noise_follows_its_seed() -> None:
    model, lp = PradaCalibrator((4,)), torch.randn(3, 4, 2)
    noisy = [model(lp, 0.1, torch.Generator().manual_seed(s)) for s in (1, 1, 2)]
    torch.testing.assert_close(noisy[0], noisy[1])
    assert not torch.equal(noisy[0], noisy[2])
    assert not torch.equal(noisy[0], model(lp))


def test_auroc_closed_forms() -> None:
    own = torch.tensor([True, True, False, False])
    assert auroc(torch.tensor([3.0, 2.0, 1.0, 0.0]), own) == 1.0
    assert auroc(torch.tensor([1.0, 1.0, 1.0, 1.0]), own) == 0.5
    assert auroc(torch.tensor([0.0, 2.0, 1.0, 3.0]), own) == 0.25


def test_misfits_are_named() -> None:
    model = PradaCalibrator((1, 4))
    with pytest.raises(ValueError, match="right family"):
        model(torch.randn(2, 6, 2))
    with pytest.raises(ValueError, match="on one side"):
        fit(model, torch.randn(2, 5, 2), torch.full((2,), 0.975), epochs=1)


def siblings(seed: int, each: int = 40) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Two siblings that like each other's images nearly as well as their own, and outliers nobody likes."""
    generator = torch.Generator().manual_seed(seed)
    classes = torch.arange(3).repeat_interleave(each)
    lp = {}
    for i, name in enumerate(("a", "b"), start=1):
        advantage = torch.where(classes == i, 0.9, torch.where(classes == 0, 0.0, 0.6))
        cond = advantage[:, None] + 0.5 * torch.randn(len(classes), 30, generator=generator)
        lp[name] = torch.stack([cond - 4, torch.full_like(cond, -4.0)], -1)
    return lp, classes


def test_joint_calibration_distinguishes_siblings_where_single_ones_do_not() -> None:
    lp, classes = siblings(0)
    fresh, truth = siblings(1)
    torch.manual_seed(0)
    single = {name: PradaCalibrator((30,)) for name in lp}
    for i, name in enumerate(lp, start=1):
        against_real = (classes == i) | (classes == 0)
        fit(single[name], lp[name][against_real], smoothed(classes[against_real] == i), epochs=300, lr=1e-2)
    joint = JointPrada(single)
    with torch.no_grad():
        before = (joint(fresh).argmax(1) == truth).float().mean()
    losses = fit_joint(joint, lp, classes, epochs=200)
    with torch.no_grad():
        after = (joint(fresh).argmax(1) == truth).float().mean()
    assert losses[-1] < losses[0]
    assert after >= before
    assert after > 0.9
    with pytest.raises(ValueError, match="no log-probabilities for b"):
        joint({"a": lp["a"]})
    with pytest.raises(ValueError, match="classes must be 0"):
        fit_joint(joint, lp, classes + 1, epochs=1)
