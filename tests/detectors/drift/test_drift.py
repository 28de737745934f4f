"""Drift: nothing moves under no perturbation, noise belongs to the image, strength and sign are fitted."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import zoo_commands as zoo
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from synthetic_ai_genbench import miniature

import lightning_main
from benchmarks.ai_genbench.protocol.generators import load_generators
from contracts.batch import Batch
from contracts.errors import CheckpointError, ConfigError
from detectors.drift.choice import choose, delong
from detectors.drift.detector import Drift
from detectors.drift.perturbations import haar_high_band, patches


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Drift]:
    def made(**options: object) -> Drift:
        given = {"weights": zoo.backbone(tmp_path), "pretrained": False, "image_size": 32}
        return Drift("timm/test_vit", **(given | options)).eval()  # type: ignore[arg-type]

    return made


def _batch(size: int = 32, first: int = 0) -> Batch:
    order = torch.arange(5)
    images = torch.randint(0, 256, (5, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    return Batch(images, order % 2, order, order, order, order + first)


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"strengths": [0.0]}, 32),
        ({"strengths": [0.0], "statistic": "token_norm"}, 32),
        ({"strengths": [0.0], "statistic": "mean_feature", "draws": 3}, 32),
        ({"strengths": [0.0], "perturb_side": 48}, 48),
        ({"strengths": [0.0], "kind": "haar"}, 128),
    ],
)
def test_without_perturbation_nothing_moves(make: Callable[..., Drift], options: dict[str, object], size: int) -> None:
    detector = make(**options)
    assert detector.eval_view.resize == size
    distances = detector.distances(_batch(size).images, range(5), detector.candidates)
    assert float(distances.abs().max()) < 1e-7
    assert (
        float(make(**options | {"strengths": [0.3]}).distances(_batch(size).images, range(5), [(0.3, 0)]).min()) > 1e-6
    )


def test_noise_belongs_to_the_image(make: Callable[..., Drift]) -> None:
    detector, batch = make(strengths=[0.2]), _batch()
    whole = detector.score(batch).logits
    order = torch.tensor([3, 0, 4])
    some = Batch(batch.images[order], batch.label[order], order, order, torch.arange(3), batch.key[order])
    assert torch.allclose(detector.score(some).logits, whole[order], atol=1e-6)
    assert not torch.allclose(detector.score(_batch(first=9)).logits, whole, atol=1e-6)
    of_pixels = make(strengths=[0.2], noise_key="pixels")
    assert torch.equal(of_pixels.score(_batch(first=9)).logits, of_pixels.score(batch).logits)


def test_perturbing_before_shrinking_weakens_the_noise(make: Callable[..., Drift]) -> None:
    small, large = make(strengths=[0.05]), make(strengths=[0.05], perturb_side=128)
    flat = torch.full((2, 3, 128, 128), 128, dtype=torch.uint8)
    before = small.distances(flat[..., :32, :32], [1, 2], small.candidates)
    assert float((large.distances(flat, [1, 2], large.candidates) / before).max()) < 0.5


@given(st.integers(0, 99), st.integers(2, 30), st.integers(2, 30))
@settings(max_examples=20)
def test_the_area_is_that_of_the_ranks(seed: int, m: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    values, labels = rng.integers(0, 9, m + n).astype(float), np.repeat([1, 0], [m, n])
    auroc, low, high = delong(values, labels)
    assert auroc == pytest.approx(roc_auc_score(labels, values))
    assert 0 <= low <= auroc <= high <= 1
    kernel = (values[:m, None] > values[None, m:]) + 0.5 * (values[:m, None] == values[None, m:])
    variance = kernel.mean(1).var(ddof=1) / m + kernel.mean(0).var(ddof=1) / n
    if low > 0 and high < 1:
        assert high - low == pytest.approx(2 * 1.959964 * variance**0.5, rel=1e-6)


def test_strength_and_sign_are_chosen() -> None:
    labels = np.array([0, 0, 0, 1, 1, 1, -1])
    weak, inverted = np.array([1.0, 2, 5, 3, 4, 1, 99]), np.array([9.0, 8, 7, 1, 2, 3, 99])
    choice = choose(np.stack([weak, inverted], 1), labels, [(0.1, 0.0), (0.2, 0.0)])
    assert choice is not None
    assert (choice.index, choice.sign, choice.centre) == (1, -1.0, 5.0)
    assert [one.auroc for one in choice.judged] == [0.5, 0.0]
    assert "* strength 0.2, 0: AUROC 0.000" in str(choice)
    assert choose(weak[:3, None], labels[:3], [(0.1, 0.0)]) is None


def test_the_haar_band_has_no_block_means() -> None:
    x = torch.randn(2, 3, 16, 24)
    assert float(torch.nn.functional.avg_pool2d(haar_high_band(x), 4).abs().max()) < 1e-6
    assert torch.equal(patches(x, 8)[1, 4], x[1, :, 8:16, 8:16])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "nois"}, "did you mean 'noise'"),
        ({"strengths": []}, "strengths"),
        ({"strengths": [0.1, float("nan")]}, "strengths"),
        ({"kind": "blur", "blur_strengths": [0.0]}, "blur_strengths"),
        ({"draws": 0}, "draws=0"),
        ({"kind": "haar", "perturb_side": 64}, "perturb_side"),
        ({"kind": "blur", "statistic": "token_norm"}, "statistic"),
        ({"weights": None}, "random features"),
    ],
)
def test_bad_options_are_refused(make: Callable[..., Drift], options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(**options)


def test_another_backbone_is_refused(make: Callable[..., Drift], tmp_path: Path) -> None:
    checkpoint: dict[str, object] = {}
    detector = make()
    detector.on_save_checkpoint(checkpoint)
    detector.check_checkpoint(checkpoint)
    state = torch.load(zoo.backbone(tmp_path), weights_only=True)
    torch.save({key: value + 0.1 for key, value in state.items()}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="fitted on backbone"):
        make(weights=tmp_path / "other.pth").check_checkpoint(checkpoint)
    by_authors = make(positions="dinov2")
    images = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert 1e-6 < float((by_authors.features(images) - detector.features(images)).abs().max()) < 1
    with pytest.raises(CheckpointError, match=r"'positions': 'dinov2'\}"):
        by_authors.check_checkpoint(checkpoint)


@pytest.mark.filterwarnings("ignore")
def test_it_is_fitted_and_predicts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small = f"detector.backbone=timm/test_vit detector.weights={zoo.backbone(tmp_path)} detector.image_size=32"
    zoo.run(f"experiment=minder experiment_id=drift {small}", "detector.strengths=[0.01,0.1] detector.noise_key=pixels")
    best = torch.load(tmp_path / "experiments_data/drift/window_0/checkpoints/best.ckpt", weights_only=True)
    fitted = best["drift"]["fitted"]
    judged = fitted["judged"][fitted["index"]]
    assert judged["low"] <= judged["auroc"] <= judged["high"]
    assert fitted["sign"] == (1 if judged["auroc"] >= 0.5 else -1)
    assert abs(judged["auroc"] - 0.5) == max(abs(one["auroc"] - 0.5) for one in fitted["judged"])
    assert set(best["state_dict"]) == {"net.chosen", "net.line"}
    assert best["state_dict"]["net.line"].dtype == torch.float64
    assert zoo.area_of_twins(tmp_path, "drift") == 0.5


def test_warpad_goes_through_a_protocol_whose_crops_are_smaller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its 16 crops are cut from 4 times the backbone's size, so evaluated images are left to the detector's view."""
    monkeypatch.chdir(tmp_path)
    names = [generator.name for generator in load_generators()[:4]]
    miniature(tmp_path / "mini", train=1, validation=1, size=48, names=names)
    words = [
        *f"{zoo.QUIET} experiment=warpad detector.backbone=timm/test_vit detector.image_size=32".split(),
        *f"detector.weights={zoo.backbone(tmp_path)} datamodule=ai_genbench datamodule.path=mini".split(),
        *["benchmark=ai_genbench", "benchmark.crop_size=32", "benchmark.global_batch=4", "datamodule.batch_size=4"],
        *["benchmark.augmentation_factor=1", f"benchmark.generators=[{','.join(names)}]", "experiment_id=warpad"],
    ]
    assert lightning_main.main(words) == 2
    assert "benchmark.eval_cropping=as_is" in capsys.readouterr().err
    assert lightning_main.main([*words, "benchmark.eval_cropping=as_is"]) == 0
    assert lightning_main.main(["task=test", "experiment_id=warpad", "trainer.enable_progress_bar=false"]) == 0
    tables = json.loads((tmp_path / "experiments_data/warpad/ai_genbench.json").read_text())["warpad"]
    assert 0 <= tables["stages"][0]["auroc_per_window"][0] <= 1
