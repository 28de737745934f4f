"""Configurations build what is allowed, and run nothing else."""

import os
import sys
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from conf.build import build, build_each, build_for_scoring
from conf.cli.typed import typed_config
from conf.keys.targets import current, resolve
from contracts.errors import ConfigError
from contracts.view import View

NPR = {
    "_target_": "detectors.npr.detector.NPR",
    "train_view": {"_target_": "contracts.view.View", "crop": 32},
    "eval_view": {"_target_": "contracts.view.View", "crop": 32},
    "optimizer": {"_target_": "torch.optim.AdamW", "_partial_": True, "lr": 1e-3},
}


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "logging.os.system",
        "shutil.copy",
        "torch.load",
        "builtins.eval",
        "pathlib.Path",
        "hydra.utils.instantiate",
        "torch.optim.os.system",
        "torch.optim.lr_scheduler.partial",
        "torch.optim.swa_utils.deepcopy",
        "detectors.base.torch.load",
        "detectors.base.L.Trainer.test",
        "detectors.base.nn.Linear",
        "detectors.npr.detector.NPR.load_from_checkpoint",
        "conf.build.build",
        "pytorch_lightning.Trainer.fit",
        "pytorch_lightning.loggers.os.system",
        "pytorch_lightning.cli.LightningCLI",
        "detectors",
        "detectors.npr.detector.Nothing",
        "detectors.nothing.NPR",
        "",
        None,
        7,
        ["os.system"],
    ],
)
def test_hostile_and_wrong_targets_are_refused(target: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "system", lambda command: pytest.fail(f"ran {command}"))
    with pytest.raises(ConfigError):
        build({"_target_": target, "command": "true"})
    with pytest.raises(ConfigError):  # as deep as can be
        build({"_target_": "contracts.view.View", "augment": [{"inner": {"_target_": target}}]})


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """One of our modules, with foreign names imported into it."""
    module = ModuleType("detectors.planted")
    exec("from os import system\nfrom torch import load\nimport pathlib\nhere = pathlib.Path()\n", module.__dict__)  # noqa: S102 - the point of the test
    exec("def own(x): return x\nclass Own: pass\nlazy = __import__('functools').partial(own)", module.__dict__)  # noqa: S102
    monkeypatch.setitem(sys.modules, "detectors.planted", module)
    return module


def test_what_our_modules_import_is_not_ours(planted: ModuleType) -> None:
    for name in ("system", "load", "here", "here.unlink", "pathlib.Path", "lazy"):
        with pytest.raises(ConfigError, match="which is not allowed"):
            resolve(f"detectors.planted.{name}")
    assert resolve("detectors.planted.own") is planted.own
    assert resolve("detectors.planted.Own") is planted.Own


def test_nothing_outside_the_list_is_even_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("conf.keys.targets.importlib.import_module", lambda name: pytest.fail(f"imported {name}"))
    with pytest.raises(ConfigError):
        resolve("antigravity.fly")


def test_nested_nodes_partials_and_extra_objects() -> None:
    made = build({"_target_": "contracts.view.View", "crop": 8}, resize=9)
    assert made == View(resize=9, crop=8)
    optimiser = build(NPR["optimizer"])
    assert isinstance(optimiser, partial)
    assert optimiser.keywords == {"lr": 1e-3}
    detector = build(NPR)
    assert detector.train_view == View(crop=32)
    marker = partial(dict)
    assert build(NPR, scheduler=marker).make_scheduler is marker  # handed over, not copied
    with pytest.raises(ConfigError, match="no _target_"):
        build({})


def test_values_are_not_interpolated_again() -> None:
    assert build({"_target_": "contracts.keys.random_key", "_partial_": True, "parts": "${oc.env:HOME}"}).keywords == {
        "parts": "${oc.env:HOME}"
    }


def test_members_get_the_extra_arguments_they_name(tmp_path: Path) -> None:
    nodes = {
        "view": {"_target_": "contracts.view.View", "crop": 3},
        "logger": {"_target_": "pytorch_lightning.loggers.CSVLogger", "save_dir": str(tmp_path)},
    }
    made = build_each(nodes, "logger", name="x", crop=5)
    assert made["view"].crop == 3
    assert made["logger"].name == "x"


@pytest.mark.usefixtures("planted")
def test_from_a_checkpoint_come_detectors_and_views_alone() -> None:
    detector = build_for_scoring(NPR, from_checkpoint=True)
    assert detector.make_optimizer is None
    for target in ("detectors.planted.own", "detectors.planted.Own", "torch.optim.AdamW", "contracts.keys.random_key"):
        with pytest.raises(ConfigError):
            build_for_scoring({"_target_": target}, from_checkpoint=True)
        with pytest.raises(ConfigError):
            build_for_scoring(NPR | {"extra": {"_target_": target}}, from_checkpoint=True)


AUGMENT = [{"_target_": "detectors.zed.augment.Jpeg"}]


def test_what_is_done_to_evaluated_images_belongs_to_the_scores() -> None:
    node = NPR | {"eval_view": {"_target_": "contracts.view.View", "augment": AUGMENT}}
    assert len(build_for_scoring(node, from_checkpoint=False).eval_view.augment) == 1
    with pytest.raises(ConfigError, match=r"detector\.eval_view\.augment"):
        build_for_scoring(node, from_checkpoint=True)


def test_what_is_done_to_training_images_does_not() -> None:
    node = NPR | {"train_view": {"_target_": "contracts.view.View", "augment": AUGMENT}}
    assert build_for_scoring(node, from_checkpoint=True).train_view.augment == ()


def test_a_tuned_backbone_is_not_fetched_to_be_overwritten() -> None:
    node = {
        "_target_": "detectors.classifier.detector.Classifier",
        "backbone": "timm/resnet10t",
        "mode": "tune",
        "weights": "nowhere.safetensors",
    }
    assert build_for_scoring(node, from_checkpoint=True).net is not None


@pytest.mark.parametrize(
    "former",
    [
        "detectors.npr.NPR",
        "detectors.npr_multiscale.NPRMultiScale",
        "detectors.classifier.Classifier",
        "detectors.schedules.OneCycle",
        "detectors.device_augment.DeviceAugment",
        "benchmarks.attribution_stages.OwnImages",
        "detectors.parts.degradations.sometimes_jpeg",
        "detectors.parts.optimisers.adamw_without_vector_decay",
        "detectors.parts.paired.Paired",
        "detectors.parts.schedules.OneCycle",
        "callbacks.explain.Explain",
        "callbacks.history.History",
        "callbacks.wandb_logger.wandb_logger",
    ],
)
def test_former_names_of_classes_are_still_read(former: str) -> None:
    found = resolve(former)
    assert found.__name__ == former.rpartition(".")[2]
    assert (
        typed_config({"detector": {"_target_": former}})["detector"]["_target_"]
        == f"{found.__module__}.{found.__name__}"
    )
    assert current("detectors.zed.detector.ZED") == "detectors.zed.detector.ZED"
