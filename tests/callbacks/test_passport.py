"""What a checkpoint says of itself."""

from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from callbacks.checkpoints import Checkpoints
from callbacks.collector import Collector
from callbacks.passport import FORMAT, Passport, passport
from callbacks.validation_metrics import ValidationMetrics
from conf.build import build_for_scoring
from contracts.errors import CheckpointError, ConfigError
from detectors.base import PASSPORT

NODE = {"_target_": "detectors.npr.detector.NPR", "exact": True}


def test_every_checkpoint_carries_it_and_the_best_one_the_threshold_of_its_epoch(tmp_path: Path) -> None:
    collector = Collector()
    metrics = ValidationMetrics(collector)
    made = tiny.trainer(
        collector,
        metrics,
        Passport(NODE, metrics, {"seed": 4, "seen_generators": ["a"]}),
        Checkpoints(tmp_path),
        max_epochs=1,
    )
    made.fit(tiny.Tiny(), datamodule=tiny.data(tmp_path))
    for name in ("best.ckpt", "last.ckpt"):
        found = passport(torch.load(tmp_path / name, weights_only=True), name)
        assert found is not None
        assert found["detector"] == NODE
        assert (found["seed"], found["seen_generators"], found["format"]) == (4, ["a"], FORMAT)
        assert metrics.threshold is not None
        assert found["threshold"]["value"] == metrics.threshold.value
        assert found["threshold"]["images"] == 6


def test_somebody_elses_checkpoint_has_none() -> None:
    assert passport({"state_dict": {}}, "x.ckpt") is None


@pytest.mark.parametrize(
    ("entry", "named"), [({"format": FORMAT + 1}, f"{FORMAT + 1}"), ({}, "None"), ("text", "'str'")]
)
def test_another_format_is_refused(entry: Any, named: str) -> None:
    with pytest.raises(CheckpointError, match=rf"x\.ckpt was written in format {named}; this version reads {FORMAT}"):
        passport({PASSPORT: entry}, "x.ckpt")


@pytest.mark.parametrize(
    "node",
    [
        {"_target_": "os.system", "command": "true"},
        {"_target_": "pytorch_lightning.Trainer"},
        {"_target_": "datamodules.folder.FolderDataModule", "path": "/"},
        {"_target_": "detectors.parts.weights.read_checkpoint", "path": "/etc/passwd"},
        NODE | {"train_view": {"_target_": "callbacks.checkpoints.Checkpoints", "folder": "/"}},
    ],
)
def test_a_configuration_out_of_a_checkpoint_builds_detectors_and_views_alone(node: Any) -> None:
    with pytest.raises(ConfigError, match="not allowed"):
        build_for_scoring(node, from_checkpoint=True)
