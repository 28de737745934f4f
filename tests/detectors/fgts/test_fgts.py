"""FGTS against the numbers of its authors' code, and through the command line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zoo_commands as commands
import zoo_golden as zoo

from contracts.batch import Batch
from contracts.errors import CheckpointError, ConfigError
from detectors.fgts.detector import FGTS
from detectors.fgts.fisher import best_tokens, fisher_scores, nearer_centroid
from detectors.parts.precision import linear_float32
from detectors.parts.weights import load_weights


@pytest.fixture(scope="module")
def golden(golden_path: Callable[[str], Path]) -> dict[str, Any]:
    with np.load(golden_path("zoo_fgts.npz"), allow_pickle=False) as file:
        return dict(file)


@pytest.mark.golden
@pytest.mark.parametrize("parts", [1, 5])
def test_golden(golden: dict[str, Any], parts: int) -> None:
    tokens, labels = torch.from_numpy(golden["tokens_f32"]), torch.from_numpy(golden["labels"])
    n, prefix = int(golden["n_reference"]), 1 + int(golden["num_register_tokens"])
    reference = list(zip(tokens[:n].chunk(parts), labels[:n].chunk(parts), strict=True))
    scores, means = fisher_scores(lambda: reference)
    zoo.close(scores, golden["fisher_f64"], 1e-6)
    best = best_tokens(scores, int(golden["top_k"]), prefix)
    assert best.tolist() == golden["top_indices"].tolist()
    assert best_tokens(scores, len(scores), prefix).tolist() == golden["top_all"].tolist()
    centroids = means[:, best].mean(1)
    zoo.close(centroids, golden["centroid_real_fake_f32"], 1e-6)
    pooled = tokens[n:][:, best].mean(1)
    logits = nearer_centroid(pooled, centroids)
    zoo.close(logits.sigmoid(), golden["zeroshot_prob_f64"], 1e-6)
    assert (logits > 0).int().tolist() == golden["zeroshot_pred"].tolist()
    probe = torch.nn.Linear(tokens.shape[2], 2)
    probe.load_state_dict({key.removeprefix("fc."): value for key, value in zoo.weights(golden, "probe").items()})
    two = linear_float32(pooled, probe)
    zoo.close(two, golden["probe_logits_f32"], 2e-6)
    zoo.close((two[:, 1] - two[:, 0]).sigmoid(), golden["probe_prob_fake_f32"], 2e-6)


def make(folder: Path, **options: Any) -> FGTS:
    weights = commands.backbone(folder)
    return FGTS("timm/test_vit", **({"weights": weights, "image_size": 64, "tokens": 3} | options)).eval()


def test_a_released_probe_is_read(tmp_path: Path) -> None:
    detector = make(tmp_path)
    head = {"fc.weight": torch.randn(2, 64), "fc.bias": torch.randn(2)}
    file = {"model_state_dict": head, "token_indices": np.array([7, 2, 11]), "fisher_scores": np.ones(17), "config": {}}
    torch.save(file, tmp_path / "linear_probe.pth")
    load_weights(detector, tmp_path / "linear_probe.pth")
    images = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8)
    order = torch.arange(4)
    two = detector.all_tokens(images)[:, [7, 2, 11]].mean(1) @ head["fc.weight"].T + head["fc.bias"]
    wanted = two.softmax(1)[:, 1]
    batch = Batch(images, order % 2, order, order, order, order)
    assert torch.allclose(detector.score(batch).logits.sigmoid(), wanted, atol=1e-5)
    kept = detector.frozen_part()
    assert kept.dim == 17 * 64
    assert torch.equal(
        detector.score(batch._replace(images=kept.features(images))).logits, detector.score(batch).logits
    )
    with pytest.raises(CheckpointError, match="token indices"):
        load_weights(make(tmp_path, tokens=4), tmp_path / "linear_probe.pth")
    torch.save(file | {"token_indices": torch.tensor([7, 2, 11])}, tmp_path / "tensor.pth")
    load_weights(other := make(tmp_path), tmp_path / "tensor.pth")
    assert torch.equal(other.score(batch).logits, detector.score(batch).logits)
    torch.save(file | {"token_indices": [7, -1, 11]}, tmp_path / "negative.pth")
    with pytest.raises(CheckpointError, match=r"token indices \[7, -1, 11\]"):
        load_weights(make(tmp_path), tmp_path / "negative.pth")


@pytest.mark.parametrize(
    ("options", "message"),
    [({"tokens": 17}, "Give 1 to 16"), ({"head": "linaer"}, "did you mean 'linear'"), ({"tokens": 0}, "tokens=0")],
)
def test_bad_options_are_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(tmp_path, **options)


def test_a_class_without_images_is_named() -> None:
    with pytest.raises(ValueError, match=r"\[3, 0\]"):
        fisher_scores(lambda: [(torch.randn(3, 4, 2), torch.zeros(3, dtype=torch.int64))])


@pytest.mark.parametrize("head", ["linear", "centroid"])
@pytest.mark.filterwarnings("ignore")
def test_it_trains_and_predicts(head: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    commands.run(
        f"detector=fgts detector.backbone=timm/test_vit detector.weights={commands.backbone(tmp_path)}",
        f"detector.image_size=32 detector.tokens=2 detector.head={head} experiment_id={head} benchmark.features=kept",
    )
    best = torch.load(tmp_path / f"experiments_data/{head}/window_0/checkpoints/best.ckpt", weights_only=True)
    state = best["state_dict"]
    scores = state["net.fisher_scores"]
    assert scores[state["net.token_indices"]].tolist() == sorted(scores[1:].tolist(), reverse=True)[:2]
    assert not any("backbone" in key for key in state)
    assert commands.area_of_twins(tmp_path, head) == 0.5
