"""AI-GenBench's YAML triple becomes an experiment that composes; what has no counterpart is named."""

from pathlib import Path
from typing import Any

import pytest
import yaml

import lightning_main
from benchmarks.ai_genbench.foreign_config import converted
from conf.check import check
from conf.cli.groups import CONF
from conf.compose import compose
from contracts.errors import ConfigError

PIPELINE: dict[str, Any] = {
    "seed_everything": True,
    "trainer": {
        "accelerator": "auto",
        "max_epochs": 1,
        "min_epochs": 1,
        "use_distributed_sampler": True,
        "inference_mode": True,
        "gradient_clip_val": 1.0,
        "logger": [
            {"class_path": "lightning.pytorch.loggers.TensorBoardLogger", "init_args": {"save_dir": "./logs"}},
            {"class_path": "lightning.pytorch.loggers.WandbLogger", "init_args": {"project": "AIGenBench"}},
        ],
        "callbacks": [{"class_path": "training_metrics.PredictionsDump", "init_args": {"gt_keys": ["label"]}}],
    },
    "data": {
        "train_batch_size": 128,
        "num_workers": 8,
        "train_subset_size": 0,
        "deterministic_augmentations": True,
        "augmentation_factor": 4,
        "augmentations_base_seed": 4321,
        "maximum_processing_size": 1080,
    },
    "experiment_info": {
        "sliding_windows_definition": {
            "n_generators_per_window": 4,
            "current_window": None,
            "benchmark_type": "cumulative",
        }
    },
}
MODEL: dict[str, Any] = {
    "trainer": {"accumulate_grad_batches": 32},
    "data": {"train_batch_size": 16, "eval_batch_size": 24},
    "model": {
        "class_path": "algorithms.SoftTrainAugmentationsModel",
        "init_args": {"model_name": "dinov2_vitl14_tune", "model_input_size": [224, 224]},
    },
    "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 1e-3, "momentum": 0.9, "weight_decay": 1e-4}},
    "lr_scheduler": {"class_path": "torch.optim.lr_scheduler.OneCycleLR", "init_args": {"max_lr": 1e-3}},
}
LOCAL: dict[str, Any] = {"data": {"dataset_path": "/data/ai_gen_bench_v1.0.0"}}


def test_the_triple_becomes_an_experiment_that_composes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = []
    for name, content in (("pipeline", PIPELINE), ("model", MODEL), ("local", LOCAL)):
        files.append(tmp_path / f"{name}.yaml")
        files[-1].write_text(yaml.safe_dump(content))
    out = tmp_path / "mine.yaml"
    words = ["task=convert", f"convert.inputs=[{','.join(map(str, files))}]", f"convert.out={out}"]
    assert lightning_main.main(words) == 0
    assert "experiment=mine" in capsys.readouterr().out
    conf = tmp_path / "conf"
    conf.mkdir()
    for entry in CONF.iterdir():  # the house's groups, and the new experiment among its own
        if entry.name != "experiment":
            (conf / entry.name).symlink_to(entry)
    (conf / "experiment").mkdir()
    (conf / "experiment/mine.yaml").write_text(out.read_text())
    composed = compose(["experiment=mine", f"datamodule.path={tmp_path}"], conf)
    assert check(composed) == []
    found = composed.resolved
    assert found["detector"]["backbone"] == "dinov2_vitl14_tune"
    assert found["benchmark"]["global_batch"] == 512
    assert found["benchmark"]["train_pipeline"] == "soft"
    assert found["benchmark"]["mode"] == "cumulative"
    assert found["datamodule"]["batch_size"] == 16
    assert found["datamodule"]["eval_batch_size"] == 24
    assert set(found["logger"]) == {"tensorboard", "wandb"}
    assert found["detector"]["optimizer"]["momentum"] == 0.9
    assert lightning_main.main(words) == 2  # never written over


def test_without_windows_it_is_the_full_training() -> None:
    pipeline = {key: value for key, value in PIPELINE.items() if key != "experiment_info"}
    assert converted([pipeline, MODEL, LOCAL])["benchmark"]["mode"] == "full"


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"trainer": {"max_epoch": 1}}, "trainer.max_epoch is unknown; did you mean 'trainer.max_epochs'"),
        ({"data": {"deterministic_augmentations": False}}, "deterministic_augmentations=False: only True"),
        ({"data": {"train_subset_size": 100}}, "train_subset_size=100: only 0 or None"),
        ({"lr_scheduler": {"init_args": {"max_lr": 0.1}}}, "max_lr=0.1 differs from optimizer.lr=0.001"),
        ({"lr_scheduler": {"class_path": "torch.optim.lr_scheduler.StepLR"}}, "only OneCycleLR"),
        ({"trainer": {"callbacks": [{"class_path": "my.Callback"}]}}, "trainer.callbacks Callback is unknown"),
        ({"trainer": {"logger": [{"class_path": "my.Logger"}]}}, "trainer.logger Logger is unknown"),
    ],
)
def test_settings_without_a_counterpart_are_named(change: dict[str, Any], part: str) -> None:
    with pytest.raises(ConfigError) as error:
        converted([PIPELINE, MODEL, LOCAL, change])
    assert part in str(error.value)


def test_every_problem_is_reported_at_once() -> None:
    with pytest.raises(ConfigError, match="2 settings"):
        converted([PIPELINE, MODEL, {"trainer": {"a": 1, "b": 2}}])
