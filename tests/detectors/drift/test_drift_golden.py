"""RIGID, MINDER and WaRPAD against the numbers of public code, on a toy net."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zoo_golden as zoo
from torch import Tensor

import detectors.backbones.on_frozen
from contracts.batch import Batch, as_unit_float
from contracts.view import View
from datamodules.loading.transforms import evaluation_views
from detectors.backbones.backbones import Backbone
from detectors.drift.detector import Drift
from detectors.drift.perturbations import blurred, haar_high_band, mean_feature_similarity, patches
from detectors.parts.normalise import IMAGENET_MEAN, IMAGENET_STD, normalise

TOLERANCE = 2e-6

pytestmark = pytest.mark.golden


def load(file: Path) -> dict[str, Any]:
    with np.load(file, allow_pickle=False) as stored:
        return dict(stored)


@pytest.fixture
def rigid(golden_path: Callable[[str], Path]) -> dict[str, Any]:
    return load(golden_path("zoo_rigid_minder.npz"))


@pytest.fixture
def warpad(golden_path: Callable[[str], Path]) -> dict[str, Any]:
    return load(golden_path("zoo_warpad.npz"))


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Drift]:
    """A detector on the toy net."""

    def made(golden: dict[str, Any], side: int, **options: Any) -> Drift:
        toy = zoo.Toy(zoo.weights(golden, "toy"))
        assert sum(p.numel() for p in toy.parameters()) == int(golden["toy_n_parameters"])
        record = Backbone(toy, IMAGENET_MEAN, IMAGENET_STD, side, False, name="toy", feature_dim=48, sha256=None)
        monkeypatch.setattr(detectors.backbones.on_frozen, "create_backbone", lambda *_: record)
        return Drift("toy", **options).eval()

    return made


def with_noise(detector: Drift, draws: list[Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the detector use stored noise: by draw, [B, 3, H, W]."""
    monkeypatch.setattr(detector, "_noises", lambda unit, keys, draw: draws[draw])  # noqa: ARG005


def test_rigid(rigid: dict[str, Any], make: Callable[..., Drift], monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.stack(zoo.images(rigid))
    keys = list(range(len(images)))
    sigmas = [float(sigma) for sigma in rigid["rigid_sigmas"]]
    noise = torch.from_numpy(rigid["rigid_noise_f32"])
    detector = make(rigid, images.shape[-1], strengths=sigmas)
    with_noise(detector, [noise], monkeypatch)
    zoo.close(detector.features(as_unit_float(images)), rigid["toy_cls_features_f32"], TOLERANCE)
    found = detector.distances(images, keys, detector.candidates)
    zoo.close(1 - found.T, rigid["rigid_cls_similarity_f32"], TOLERANCE)
    one = make(rigid, images.shape[-1], strengths=[float(s) for s in rigid["minder_sigma_noise"]])
    with_noise(one, [noise], monkeypatch)
    zoo.close(one.distances(images, keys, one.candidates).T, rigid["minder_one_noise_distance_f32"], TOLERANCE)
    tokens = make(rigid, images.shape[-1], strengths=sigmas[:1], statistic="token_norm")
    with_noise(tokens, [noise], monkeypatch)
    count = tokens.features(as_unit_float(images)).shape[1]
    found = tokens.distances(images, keys, tokens.candidates)[:, 0]
    zoo.close((1 - found) * count**0.5, rigid["rigid_norm_similarity_f32"], 10 * TOLERANCE)  # it is 7, in float32


def test_rigid_with_several_draws(
    rigid: dict[str, Any], make: Callable[..., Drift], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The noise of the first image alone is stored."""
    images = torch.stack(zoo.images(rigid))[:1]
    draws = [torch.from_numpy(one)[None] for one in rigid["rigid_multi5_noise_image0_f32"]]
    sigma = float(rigid["rigid_sigmas"][0])
    detector = make(rigid, images.shape[-1], strengths=[sigma], statistic="mean_feature", draws=len(draws))
    with_noise(detector, draws, monkeypatch)
    found = 1 - detector.distances(images, [0], detector.candidates)[:, 0]
    zoo.close(found, rigid["rigid_multi5_similarity_f32"][:1], TOLERANCE)
    unit = as_unit_float(images)
    after = torch.stack([detector.features((unit + sigma * one).clamp(0, 1)) for one in draws])
    weighted = mean_feature_similarity(detector.features(unit), after, rigid["rigid_multi5_weights"].tolist())
    zoo.close(weighted, rigid["rigid_multi5_weighted_similarity_f32"][:1], TOLERANCE)


def test_minder(rigid: dict[str, Any], make: Callable[..., Drift], monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.stack(zoo.images(rigid))
    keys, side = list(range(len(images))), images.shape[-1]
    blurs = [float(sigma) for sigma in rigid["minder_sigma_blur"]]
    sigmas = [float(sigma) for sigma in rigid["minder_sigma_noise"]]
    for sigma in blurs:
        wanted = rigid[f"minder_blurred01_sigma{sigma}_image0_f32"]
        zoo.close(blurred(as_unit_float(images[:1]), sigma)[0], wanted, TOLERANCE)
    blur = make(rigid, side, kind="blur", blur_strengths=blurs)
    distances = blur.distances(images, keys, blur.candidates)
    zoo.close(distances.T, rigid["minder_blur_distance_f32"], TOLERANCE)
    draws = [torch.from_numpy(one)[None] for one in rigid["minder_noise3_image0_f32"]]
    noise = make(rigid, side, strengths=sigmas, draws=len(draws))
    with_noise(noise, draws, monkeypatch)
    found = noise.distances(images[:1], [0], noise.candidates)
    zoo.close(found[0], rigid["minder_noise_distance_f32"][:, 0], TOLERANCE)
    both = make(
        rigid, side, kind="minimum", strengths=sigmas[:1], blur_strengths=blurs[:1], draws=len(draws)
    )  # fmt: skip
    with_noise(both, draws, monkeypatch)
    found = both.distances(images[:1], [0], both.candidates)
    zoo.close(found[0], rigid["minder_min_f32"][:1], TOLERANCE)
    # the stored minimum of the other images is that of the stored distances
    smaller = np.minimum(rigid["minder_blur_distance_f32"][0], rigid["minder_noise_distance_f32"][0])
    zoo.close(smaller, rigid["minder_min_f32"], TOLERANCE)


def test_warpad(warpad: dict[str, Any], make: Callable[..., Drift]) -> None:
    images = zoo.images(warpad)
    for setting, (side, patch, level) in enumerate(warpad["conf_prep_patch_level"].tolist()):
        view = View(resize=int(side), interpolation="bicubic")
        detector = make(warpad, int(patch), kind="haar", strengths=[level], eval_view=view)
        if side == 4 * patch:
            assert make(warpad, int(patch), kind="haar").eval_view == view
        for k, image in enumerate(images):
            (seen,) = evaluation_views(image, view, 0)
            found = detector.distances(seen[None], [0], detector.candidates)[0, 0]
            zoo.close(1 - found, warpad[f"c{setting}_mean_similarity_f32"][k], TOLERANCE)
            zoo.close(1 - found, warpad[f"c{setting}_mean_similarity_f64"][k], TOLERANCE)
            normalised = normalise(seen[None])
            for n, one in enumerate(patches(normalised, int(patch))[0]):
                again = detector._haar(_unit(one), level)
                zoo.close(1 - again[0], warpad[f"c{setting}_patch_similarities_f32"][k, n], TOLERANCE)
            if setting == 0:
                total = float(normalised.double().sum())
                assert total == pytest.approx(float(warpad[f"c0_resized_normalised_{k}_sum_f64"]), abs=0.05)
            if (setting, k) == (0, 0):
                assert np.array_equal(seen.permute(1, 2, 0).numpy(), warpad["c0_resized_uint8_0"])
                sixth = patches(normalised, int(patch))[:, 5]
                zoo.close(sixth[0], warpad["c0_patch5_f32"], TOLERANCE)
                zoo.close(haar_high_band(sixth)[0], warpad["c0_patch5_highband_f32"], TOLERANCE)


def _unit(normalised: Tensor) -> Tensor:
    """One patch back on the unit range."""
    mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
    return (normalised * std[:, None, None] + mean[:, None, None])[None]


def test_a_batch_scores_as_its_images_do(rigid: dict[str, Any], make: Callable[..., Drift]) -> None:
    images = torch.stack(zoo.images(rigid))
    order = torch.arange(len(images))
    detector = make(rigid, images.shape[-1], kind="minimum", draws=2)
    batch = Batch(images, order % 2, order, order, order, order + 7)
    whole = detector.score(batch).logits
    for k in order.tolist():
        one = Batch(images[k : k + 1], order[:1], order[:1], order[:1], order[:1], order[k : k + 1] + 7)
        zoo.close(detector.score(one).logits, whole[k : k + 1], TOLERANCE)
