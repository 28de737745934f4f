"""Probes on kept features train and score as they do live; what never looks the same again is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from synthetic_ai_genbench import miniature

import lightning_main
from benchmarks.ai_genbench.protocol.generators import load_generators
from benchmarks.predictions import read_predictions
from detectors.classifier.detector import Classifier, ClassifierNet

NAMES = [generator.name for generator in load_generators()[:4]]
COMMON = (
    "datamodule=ai_genbench datamodule.path=mini datamodule.batch_size=4 "
    "benchmark=ai_genbench benchmark.window_size=2 benchmark.crop_size=32 benchmark.global_batch=8 "
    "benchmark.protocol=fixed benchmark.stochastic=false benchmark.augmentation_factor=2 benchmark.monitor_images=6 "
    "benchmark.eval_cropping=multicrop "
    "detector=classifier detector.backbone=timm/test_resnet detector.mode=probe detector.weights=backbone.pth "
    "detector.image_size=32 trainer=cpu trainer.max_epochs=1 trainer.enable_progress_bar=false"
)
WORDS = [*COMMON.split(), f"benchmark.generators=[{','.join(NAMES)}]"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("probe")
    miniature(folder / "mini", train=2, validation=2, size=48, names=NAMES)
    torch.manual_seed(0)
    torch.save(timm.create_model("test_resnet", num_classes=0).state_dict(), folder / "backbone.pth")
    return folder


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Images of which the backbone computes features, call by call."""
    calls: list[int] = []
    real = ClassifierNet.features

    def features(self: ClassifierNet, images: torch.Tensor) -> torch.Tensor:
        calls.append(len(images))
        return real(self, images)

    monkeypatch.setattr(ClassifierNet, "features", features)
    return calls


def test_kept_and_live_features_agree_and_are_computed_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, computed: list[int]
) -> None:
    monkeypatch.chdir(folder)

    def run(name: str, *more: str) -> dict[str, Any]:
        words = [*WORDS, f"experiment_id={name}", *more]
        assert lightning_main.main(words) == 0
        assert lightning_main.main([*words, "task=test"]) == 0
        dumps = [folder / f"experiments_data/{name}/window_{k}/predictions_test_all.npz" for k in range(2)]
        tables = json.loads((folder / f"experiments_data/{name}/ai_genbench.json").read_text())[name]
        return {"logits": [read_predictions(dump).crop_logits for dump in dumps], "tables": tables}

    live = run("live")
    spent = sum(computed)
    computed.clear()
    kept = run("kept", "benchmark.features=features")
    for ours, theirs in zip(kept["logits"], live["logits"], strict=True):
        assert np.abs(ours - theirs).max() < 1e-3
        assert len(ours) > 16  # some images are large enough for five crops
    assert [stage["auroc_per_window"] for stage in kept["tables"]["stages"]] == [
        stage["auroc_per_window"] for stage in live["tables"]["stages"]
    ]
    # every copy of every training image once, whatever the windows; every evaluated image once
    assert sum(computed) < 0.6 * spent
    computed.clear()
    words = [*WORDS, "experiment_id=again", "benchmark.features=features", "detector.optimizer.lr=1e-3"]
    assert lightning_main.main(words) == 0
    assert sum(computed) == 0
    heads = [
        torch.load(folder / f"experiments_data/{name}/window_0/checkpoints/best.ckpt", weights_only=True)["state_dict"]
        for name in ("kept", "again")
    ]
    assert any(not torch.allclose(heads[0][key], heads[1][key]) for key in heads[0])


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["benchmark.stochastic=true"], "rotates, mirrors or crops at random"),
        (["benchmark.train_cropping=random_crop"], "rotates, mirrors or crops at random"),
        (["detector.mode=tune"], "Classifier has no frozen part"),
    ],
)
def test_what_never_looks_the_same_again_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], part: str
) -> None:
    monkeypatch.chdir(folder)
    name = f"experiment_id=refused{abs(hash(tuple(words)))}"
    assert lightning_main.main([*WORDS, *words, "benchmark.features=features", name]) == 2
    assert part in capsys.readouterr().err


def test_other_weights_have_other_features(folder: Path) -> None:
    def settings(weights: Path) -> dict[str, Any]:
        part = Classifier("timm/test_resnet", "probe", weights=weights, image_size=32).frozen_part()
        assert part is not None
        return part.settings

    other = folder / "other.pth"
    state = torch.load(folder / "backbone.pth", weights_only=True)
    torch.save(state, other)
    assert settings(other) == settings(folder / "backbone.pth")
    next(iter(state.values())).view(-1)[0] += 1e-3
    torch.save(state, other)
    assert settings(other) != settings(folder / "backbone.pth")
